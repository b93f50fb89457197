"""What the files of this room hand each other: a study as plain values, without Optuna, and what its replicates are."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Parameter:
    """A swept parameter. choices are the values of a categorical one, in the order they were given; else None."""

    name: str
    log: bool = False
    choices: tuple[Any, ...] | None = None


@dataclass(frozen=True)
class Record:
    """One trial. params has the active parameters alone: in a conditional space, trials differ in what they have."""

    number: int
    state: str  # complete | pruned | failed | running | waiting
    params: Mapping[str, Any]
    values: tuple[float, ...] | None = None  # one for each objective, where the trial is complete
    curve: Mapping[int, float] | None = None  # what was reported after each epoch, counted from 1
    seconds: float | None = None
    cause: str | None = None  # why it failed
    reuses: int | None = None  # the number of the trial whose result it has: an equal configuration is trained once
    run_id: str | None = None  # in MLflow


@dataclass(frozen=True)
class Summary:
    """A study, as its figures, its tables and the live view need it."""

    name: str
    objectives: tuple[str, ...]
    directions: tuple[str, ...]  # maximize | minimize, one for each objective
    curve_metric: str  # what Record.curve holds
    parameters: tuple[Parameter, ...]
    trials: tuple[Record, ...]
    n_trials: int  # the budget


def key(value: Any) -> tuple[str, Any]:
    """What makes two values the same: 1 and 1.0 are, 1 and True are not. Lists have one too, and all can be sorted."""
    return ("", float(value)) if is_number(value) else (type(value).__name__, repr(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def replicates(trials: Iterable[Record], parameter: str | None = None) -> list[list[Record]]:
    """Groups of trials that are equal in everything but seeds. A reused result is no further replicate.

    parameter tells trials apart even where it is a seed.
    """
    groups: dict[tuple, dict[int, Record]] = {}
    for trial in trials:
        names = sorted(name for name in trial.params if name == parameter or not is_seed(name))
        group = groups.setdefault(tuple((name, key(trial.params[name])) for name in names), {})
        group.setdefault(trial.number if trial.reuses is None else trial.reuses, trial)
    return [list(group.values()) for group in groups.values()]


def is_seed(name: str) -> bool:
    return name.split(".")[-1] == "seed"
