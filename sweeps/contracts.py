"""What the files of this room hand each other: a study as plain values, without Optuna."""

from collections.abc import Mapping
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
