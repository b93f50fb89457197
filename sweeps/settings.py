"""hydra.sweeper, read and checked: what a sweep is asked to do."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import OmegaConf

from pipeline.errors import PipelineError

DIRECTIONS = ("maximize", "minimize")


@dataclass(frozen=True)
class Settings:
    """The values under hydra.sweeper, by the same names."""

    sampler: Mapping[str, Any]
    directions: tuple[str, ...]  # empty: by the objectives' names
    storage: str | None
    study_name: str | None
    n_trials: int | None  # null: a whole grid, else 20
    n_jobs: int
    max_failure_rate: float
    params: Mapping[str, Any]
    custom_search_space: str | None
    pruner: Mapping[str, Any]
    pruning_metric: str | None
    executor: Mapping[str, Any]
    retries: int
    diverged: str
    target: float | None
    max_hours: float | None
    enqueue: tuple[Mapping[str, Any], ...]
    warm_start: str | None
    check: str | None
    shared: bool = False


def read(given: Mapping[str, Any]) -> Settings:
    """Raises PipelineError for the first value that cannot be right."""
    plain = {key: OmegaConf.to_container(v, resolve=True) if OmegaConf.is_config(v) else v for key, v in given.items()}
    directions = plain.pop("direction")
    named = directions if isinstance(directions, list) else [] if directions is None else [directions]
    plain["directions"] = tuple(str(getattr(each, "name", each)) for each in named)
    for key in ("sampler", "params", "pruner", "executor"):
        plain[key] = plain[key] or {}
    if not isinstance(plain["enqueue"] or [], list):
        raise PipelineError(f"enqueue={plain['enqueue']}: must be a list of points: [{{batch_size: 64}}]")
    plain["enqueue"] = tuple(plain["enqueue"] or ())
    names = {field.name for field in fields(Settings)}
    for key in plain.keys() - names - {"experiment_sequence"}:  # of the official plugin's history
        raise PipelineError(f"hydra.sweeper.{key}: no such key; there are {', '.join(sorted(names))}")
    settings = Settings(**{key: value for key, value in plain.items() if key in names})
    _check(settings)
    return settings


def _check(settings: Settings) -> None:
    rules: tuple[tuple[str, Any, bool, str], ...] = (
        (
            "n_trials",
            settings.n_trials,
            settings.n_trials is None or _is_count(settings.n_trials),
            "a whole number of at least 1",
        ),
        ("n_jobs", settings.n_jobs, _is_count(settings.n_jobs), "a whole number of at least 1"),
        ("shared", settings.shared, isinstance(settings.shared, bool), "true or false"),
        ("retries", settings.retries, _is_count(settings.retries, 0), "a whole number of at least 0"),
        (
            "max_failure_rate",
            settings.max_failure_rate,
            _is_number(settings.max_failure_rate) and 0 <= settings.max_failure_rate <= 1,
            "a number from 0 to 1",
        ),
        ("diverged", settings.diverged, settings.diverged in ("fail", "worst"), "fail or worst"),
        ("target", settings.target, settings.target is None or _is_number(settings.target), "a number, or null"),
        (
            "max_hours",
            settings.max_hours,
            settings.max_hours is None or (_is_number(settings.max_hours) and settings.max_hours > 0),
            "a number above 0, or null",
        ),
        (
            "direction",
            ", ".join(settings.directions),
            all(each in DIRECTIONS for each in settings.directions),
            "maximize or minimize, a list of them, or null",
        ),
        (
            "enqueue",
            settings.enqueue,
            all(
                isinstance(each, Mapping) and not any(isinstance(value, Mapping | list) for value in each.values())
                for each in settings.enqueue
            ),
            "a list of points: [{batch_size: 64}]",
        ),
        ("params", settings.params, isinstance(settings.params, Mapping), "a mapping of keys to what is swept"),
    )
    executor = settings.executor
    trials, timeout = executor.get("trials_per_worker", 1), executor.get("timeout")
    name = executor.get("name", "serial")
    of_executor = (
        ("executor.name", name, name in ("serial", "local", "dask"), "serial, local or dask"),
        ("executor.trials_per_worker", trials, _is_count(trials), "a whole number of at least 1"),
        ("executor.timeout", timeout, timeout is None or (_is_number(timeout) and timeout > 0), "seconds, or null"),
    )
    for key, value, holds, right in (*rules, *of_executor):
        if not holds:
            raise PipelineError(f"{key}={value}: must be {right}")


def check_objectives(settings: Settings) -> None:
    """Raises PipelineError for what goes with one objective alone."""
    count = len(settings.directions)
    if count == 1:
        return
    if settings.pruner.get("_target_"):
        name = settings.pruner["_target_"].rpartition(".")[2]
        raise PipelineError(f"pruner={name}: must be none with {count} objectives")
    if settings.target is not None:
        raise PipelineError(f"target={settings.target}: must be null with {count} objectives")
    if settings.diverged == "worst":
        raise PipelineError(f"diverged=worst: must be fail with {count} objectives")
    if "CmaEs" in (settings.sampler.get("_target_") or ""):
        raise PipelineError(f"sampler=CmaEsSampler: must be another one with {count} objectives, such as nsgaii")


def check_threshold(settings: Settings) -> None:
    """Raises PipelineError for a bound on the side where the best trials are."""
    if not (settings.pruner.get("_target_") or "").endswith(".ThresholdPruner"):
        return
    wrong, right = ("lower", "upper") if settings.directions == ("minimize",) else ("upper", "lower")
    if settings.pruner.get(wrong) is not None:
        raise PipelineError(
            f"pruner.{wrong}={settings.pruner[wrong]}: would end the best trials where the objective is to "
            f"{settings.directions[0]}; give hydra.sweeper.pruner.{wrong}=null +hydra.sweeper.pruner.{right}=..."
        )


def _is_count(value: Any, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= least


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
