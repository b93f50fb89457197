"""What a sweep consists of, read from its configuration and checked before any of it is run."""

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf
from optuna.trial import Trial

from pipeline.config import PATHS
from pipeline.errors import PipelineError
from sweeps import drivers, sampling, settings, space, storage, study
from sweeps.compose import composer, composer_of_runs, digest
from sweeps.settings import Settings
from sweeps.space import Space

DEFAULT_TRIALS = 20
SWEEPS_OWN = ("sweep", "executor", "sampler", "pruner")  # groups and keys that a single run has no use for


@dataclass(frozen=True)
class Plan:
    """As far as it can be said before it begins."""

    name: str
    settings: Settings
    storage: str | None  # as it was written: what it takes from the environment is not to be seen
    space: Space
    is_grid: bool
    about: Mapping[str, Any]  # what is written into the study for its figures and commands
    base: DictConfig  # of the first point, without Hydra's node
    content: Mapping[str, str]  # a digest of what lies at each path of the data
    compose: Callable[[list[str]], DictConfig]
    compose_run: Callable[[list[str]], DictConfig]  # without the sweep
    digest: Callable[[DictConfig], str]
    extend: Callable[[Trial], None]  # custom_search_space


def make_plan(config: DictConfig, loader: ConfigLoader, given: Mapping[str, Any], arguments: Sequence[str]) -> Plan:
    """What the configuration asks for, checked. Raises PipelineError, or Hydra's errors, for what cannot be."""
    asked = _with_names(settings.read(given), config)
    settings.check_objectives(asked)
    settings.check_threshold(asked)
    of_trials = [word for word in arguments if not re.match(r"\+*sweep\.storage=", word)]  # no business of theirs
    swept = space.read(asked.params, of_trials)
    if "objective" in config:
        _check_is_of_trials(swept)
    compose = composer(loader, config)
    check = get_method(asked.check) if asked.check else lambda cfg: None
    paths = set()
    for point in space.samples(swept):
        cfg = compose(space.overrides(swept, point))
        check(OmegaConf.masked_copy(cfg, [key for key in cfg if key != "hydra"]))
        if "objective" in config:  # else it is another application's, whose data are its own
            paths |= {cfg.dataset.get(key) for key in PATHS} - {None}
    custom = asked.custom_search_space
    extend = partial(get_method(custom), config) if custom else lambda optuna_trial: None
    if asked.sampler.get("_target_") is None and custom:
        asked = replace(asked, sampler={**asked.sampler, "_target_": "optuna.samplers.TPESampler"})
    # refused now, not when a study has been made
    is_grid = sampling.sampler(asked.sampler, swept, asked.n_trials, 0) is None
    if asked.shared:
        drivers.check_shared(asked.storage)
        if not is_grid:
            sampling.check_shared(asked.sampler)
    sampling.pruner(asked.pruner)
    points = space.size(swept) if is_grid else DEFAULT_TRIALS
    asked = replace(asked, n_trials=min(asked.n_trials or points, points) if is_grid else asked.n_trials or points)
    study.check_enqueued(asked.enqueue, swept, is_grid, asked.n_trials)
    first = compose(space.overrides(swept, next(space.samples(swept))))
    base = OmegaConf.masked_copy(first, [key for key in first if key != "hydra"])
    if base.get("train_on") == "train_val":
        raise PipelineError("train_on=train_val: must be train in a sweep, which chooses by the validation split")
    about = {
        "objectives": _objectives(config, len(asked.directions)),
        "curve_metric": asked.pruning_metric,
        "parameters": [vars(parameter) for parameter in space.parameters(swept)],
        "n_trials": asked.n_trials,
        "is_grid": is_grid,
        "overrides": [*OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False), *arguments],
    }
    name = str(asked.study_name or config.hydra.job.name)
    if not re.fullmatch(r"\w[\w .,=+@-]*", name):  # it names a folder, and stands in queries
        raise PipelineError(f"sweep.name={name}: must be of letters, digits, spaces and . , = + @ _ - alone")
    written = storage.as_written(config)
    content = {path: _content(Path(path).expanduser()) for path in sorted(paths)}
    compose_run = composer_of_runs(loader, config)
    return Plan(name, asked, written, swept, is_grid, about, base, content, compose, compose_run, digest, extend)


def _content(path: Path) -> str:
    """A digest of a file; of a folder, the names and sizes in it."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        there = "".join(f"{each.relative_to(path)} {each.stat().st_size}\n" for each in files)
        return hashlib.sha256(there.encode()).hexdigest()[:12]
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:12]


def _with_names(asked: Settings, config: DictConfig) -> Settings:
    """What follows from the objective's name, where it isn't said: the direction, and what a pruner looks at."""
    if "objective" not in config:
        return asked if asked.directions else replace(asked, directions=("minimize",))
    names = [config.objective] if isinstance(config.objective, str) else list(config.objective)
    directions = asked.directions or tuple(map(_direction, names))
    metric = asked.pruning_metric or names[0].removeprefix("best_")
    has_pruner = asked.pruner.get("_target_") is not None and len(directions) == 1
    if has_pruner and asked.pruning_metric and _direction(metric) != directions[0]:
        raise PipelineError(
            f"pruning_metric={metric}: must be one that is better where the objective is, to {directions[0]}; "
            "a pruner would end the best trials"
        )
    return replace(asked, directions=directions, pruning_metric=metric)


def _direction(name: str) -> str:
    return "maximize" if "accuracy" in name or name == "images_per_second" else "minimize"


def _check_is_of_trials(swept: Space) -> None:
    """Raises PipelineError where settings of the sweep itself are swept, which would make equal trials."""
    for each in space.walk(swept):
        if re.match(rf"\+*({'|'.join(SWEEPS_OWN)})\b", each.key):
            raise PipelineError(f"{each.key}: takes one value, as all trials of a sweep share it")


def _objectives(config: DictConfig, count: int) -> list[str]:
    """Their names. Raises PipelineError where there are not as many as directions."""
    named = config.get("objective", "objective")
    names = [named] if isinstance(named, str) else list(named)
    if "objective" in config and len(names) != count:
        raise PipelineError(f"objective={','.join(names)}: must be as many as sweep.direction, which has {count}")
    return names if len(names) == count else [f"objective {number + 1}" for number in range(count)]
