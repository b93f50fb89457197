"""What a study says to its driver: the budget that is left, what has been trained already, what others train now."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps import study as studies
from sweeps.plan import Plan
from sweeps.space import grid
from sweeps.trial import Result

LASTING = ("error", "diverged")  # causes of failure that an equal configuration would meet again


@dataclass
class Known:
    """At one look. The driver adds what it does itself, until the next."""

    left: int  # of the budget
    waiting: int  # put back or enqueued: these come first
    points: Iterator[dict[str, Any]] | None  # of a grid, those to come
    finished: int
    failed: int
    trained: dict[str, int]  # a configuration's digest -> the trial that has its result
    hopeless: dict[str, Result]  # a configuration's digest -> how it failed, and would again
    elsewhere: dict[int, str | None]  # a trial at another driver -> its configuration's digest


def known(trials: Sequence[FrozenTrial], plan: Plan, own: Collection[int]) -> Known:
    """own: the numbers of those in this driver's hands."""
    named = [trial for trial in trials if studies.CONFIGURATION in trial.user_attrs]
    running = [trial for trial in trials if trial.state == TrialState.RUNNING]
    return Known(
        left=studies.budget_left(trials, plan.settings.n_trials),
        waiting=sum(trial.state == TrialState.WAITING for trial in trials),
        points=_points(trials, plan) if plan.is_grid else None,
        finished=sum(
            trial.state.is_finished() and not {studies.RETRY_OF, studies.FROM} & trial.user_attrs.keys()
            for trial in trials
        ),
        failed=sum(counts_as_failure(trial.user_attrs.get(studies.CAUSE), plan) for trial in trials),
        trained={
            trial.user_attrs[studies.CONFIGURATION]: trial.number
            for trial in named
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) and studies.REUSES not in trial.user_attrs
        },
        hopeless={
            trial.user_attrs[studies.CONFIGURATION]: failure(trial)
            for trial in named
            if trial.state.is_finished() and trial.user_attrs.get(studies.CAUSE) in LASTING
        },
        elsewhere={
            trial.number: trial.user_attrs.get(studies.CONFIGURATION) for trial in running if trial.number not in own
        },
    )


def counts_as_failure(cause: str | None, plan: Plan) -> bool:
    """In a grid nothing is sought: all points are visited, whatever they return."""
    return cause is not None and not (cause == "invalid value" and plan.is_grid)


def failure(trial: Trial | FrozenTrial) -> Result:
    """For a trial of the same configuration as this one, which failed."""
    attributes = trial.user_attrs
    return Result(
        "failed", cause=attributes[studies.CAUSE], message=f"{attributes[studies.MESSAGE]} (as trial {trial.number})"
    )


def _points(trials: Sequence[FrozenTrial], plan: Plan) -> Iterator[dict[str, Any]]:
    """Those that no trial has or had; one that was put back comes again by itself."""
    tried = {_hashable(studies.point(trial)) for trial in trials if studies.FROM not in trial.user_attrs}
    for point in grid(plan.space):
        if _hashable(point) not in tried:
            yield point


def _hashable(point: Mapping[str, Any]) -> frozenset:
    return frozenset((name, type(value), value) for name, value in point.items())
