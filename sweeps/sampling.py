"""Which point comes next, and which trial ends early: Optuna's samplers and pruners by their configuration."""

import warnings
from collections.abc import Mapping
from typing import Any

import optuna
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler

from pipeline.errors import PipelineError, first_line
from sweeps.space import Space, is_finite, size, values, walk

GRID = "optuna.samplers.GridSampler"
SHAREABLE = ("RandomSampler", "TPESampler", "QMCSampler", "NSGAIISampler", "NSGAIIISampler")  # all they know: the study
LARGEST_GRID = 500  # points that a sweep visits without being asked how many


def sampler(given: Mapping[str, Any], space: Space, n_trials: int | None, seen: int) -> BaseSampler | None:
    """The sampler that is asked for; None for a grid. Raises PipelineError where Optuna refuses it.

    Where none is named: a grid that the budget covers, else TPE.

    Its seed moves on with the number of trials seen: the same one would repeat its points after a resume.
    """
    settings = {key: value for key, value in given.items() if key != "_partial_"}
    target = settings.pop("_target_", None)
    if target is None:
        fits = is_finite(space) and size(space) <= (n_trials or LARGEST_GRID)
        target = GRID if fits else "optuna.samplers.TPESampler"
    if target == GRID:
        for swept in walk(space):
            values(swept)
        return None
    if not isinstance(settings.get("seed"), int | None):
        raise PipelineError(f"sampler.seed={settings['seed']}: must be a whole number, or null")
    name = target.rpartition(".")[2]
    if (
        settings.get("seed") is not None and name != "QMCSampler"
    ):  # which keeps its place in the study, and needs its seed
        settings["seed"] += seen
    if name == "TPESampler" and any(swept.branches for swept in space.parameters):
        settings.setdefault("group", True)  # learn from the trials that share a branch
        settings.setdefault("multivariate", True)
    return _instance("sampler", {"_target_": target, **settings})


def check_shared(given: Mapping[str, Any]) -> None:
    """Raises PipelineError for a sampler that several drivers cannot ask by turns. A grid is none."""
    name = (given.get("_target_") or "TPESampler").rpartition(".")[2]
    if name not in SHAREABLE:
        right = "random, tpe, qmc, nsgaii or a grid"
        raise PipelineError(
            f"sampler={name}: must be {right} with sweep.shared=true; it keeps to itself what it learned"
        )
    if given.get("constant_liar") is False:
        raise PipelineError("sampler.constant_liar=false: must be true with sweep.shared=true, or drivers try the same")
    if name == "QMCSampler" and given.get("seed") is None:
        raise PipelineError("sampler.seed=null: must be a whole number with sampler=qmc and sweep.shared=true")


def pruner(given: Mapping[str, Any]) -> BasePruner:
    return _instance("pruner", given) if given.get("_target_") else NopPruner()


def _instance(what: str, settings: Mapping[str, Any]) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        try:
            return instantiate(dict(settings))
        except InstantiationException as error:
            name = settings["_target_"].rpartition(".")[2]
            raise PipelineError(f"{what}={name}: {first_line(error)}") from error
