"""Which trials of a study count: the finished, the trained, the best so far, the front."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweeps.contracts import Parameter, Record, Summary


@dataclass(frozen=True)
class Results:
    """What the complete trials reached in one objective, by number."""

    objective: str
    maximize: bool
    trials: list[Record]
    values: list[float]

    @property
    def best(self) -> int:
        """Where the best of them is in the lists."""
        return self.values.index((max if self.maximize else min)(self.values))


def results(summary: Summary, objective: int = 0) -> Results:
    """The complete trials whose values are finite."""
    complete = (trial for trial in summary.trials if trial.state == "complete" and trial.values is not None)
    trials = sorted((trial for trial in complete if all(map(math.isfinite, trial.values))), key=lambda one: one.number)
    maximize = summary.directions[objective] == "maximize"
    return Results(summary.objectives[objective], maximize, trials, [float(one.values[objective]) for one in trials])


def trained(summary: Summary) -> list[Record]:
    """The trials that reported a finite value; where one of their values is not, it is left out."""
    finite = [
        replace(trial, curve={epoch: value for epoch, value in sorted(trial.curve.items()) if math.isfinite(value)})
        for trial in summary.trials
        if trial.curve
    ]
    return [trial for trial in finite if trial.curve]


def used(name: str, trials: Iterable[Record]) -> list[Any]:
    """The values of a parameter in the trials that have it."""
    return [trial.params[name] for trial in trials if name in trial.params]


def parameter_called(name: str, summary: Summary) -> Parameter:
    return next((one for one in summary.parameters if one.name == name), Parameter(name))


def best_so_far(values: Sequence[float], maximize: bool) -> list[float]:
    """The best of all values up to each one."""
    return (np.maximum if maximize else np.minimum).accumulate(np.asarray(values, float)).tolist()


def pareto_front(values: np.ndarray, maximize: Sequence[bool]) -> np.ndarray:
    """(trials, objectives) -> which trials no other one equals or beats in everything and beats in something."""
    signed = np.where(maximize, 1.0, -1.0) * np.asarray(values, float)
    no_worse = (signed[:, None] >= signed[None]).all(axis=2)
    better = (signed[:, None] > signed[None]).any(axis=2)
    return ~(no_worse & better).any(axis=0)
