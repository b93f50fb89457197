"""Which trials of a study count: the finished, the trained, replicates over seeds, the best so far, the front."""

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


def key(value: Any) -> tuple[str, Any]:
    """What makes two values the same: 1 and 1.0 are, 1 and True are not. Lists have one too, and all can be sorted."""
    return ("", float(value)) if is_number(value) else (type(value).__name__, repr(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def replicates(trials: Iterable[Record], parameter: str | None) -> list[list[Record]]:
    """Groups of trials that are equal in everything but the seed. A reused result is no further replicate."""
    groups: dict[tuple, list[Record]] = {}
    for trial in trials:
        names = sorted(name for name in trial.params if name == parameter or name.split(".")[-1] != "seed")
        group = groups.setdefault(tuple((name, key(trial.params[name])) for name in names), [])
        if all(trial.reuses != other.number for other in group):
            group.append(trial)
    return list(groups.values())


def best_so_far(values: Sequence[float], maximize: bool) -> list[float]:
    """The best of all values up to each one."""
    return (np.maximum if maximize else np.minimum).accumulate(np.asarray(values, float)).tolist()


def pareto_front(values: np.ndarray, maximize: Sequence[bool]) -> np.ndarray:
    """(trials, objectives) -> which trials no other one equals or beats in everything and beats in something."""
    signed = np.where(maximize, 1.0, -1.0) * np.asarray(values, float)
    no_worse = (signed[:, None] >= signed[None]).all(axis=2)
    better = (signed[:, None] > signed[None]).any(axis=2)
    return ~(no_worse & better).any(axis=0)
