"""The study: created or resumed, its budget, what a dead driver left put back."""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.exceptions import UpdateFinishedTrialError
from optuna.storages import BaseStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial

from pipeline.errors import PipelineError
from sweeps.drivers import Hold
from sweeps.space import Space, describe, grid, named, walk
from sweeps.storage import one_line
from sweeps.trial import Result

# what is remembered of a trial, in Optuna's user attributes
CONFIGURATION = "configuration"  # digest of what was trained: equal ones are trained once
CAUSE, MESSAGE = "cause", "message"  # of a failure
RETRY_OF, ATTEMPT = "retry_of", "attempt"  # the trial that this one repeats; how many died by their own fault
REUSES = "reuses"  # whose result it has
FROM = "from"  # the older study that it was taken over from

# and of a study
SPACE, BASE, CONTENT = "space", "base", "content"  # what was swept, everything else, and the data: none may change
ABOUT = "about"  # what figures and commands need to know; brought up to date at every start


def open_study(
    store: BaseStorage,
    name: str | None,
    directions: tuple[str, ...],
    space: Mapping[str, Any],
    base: Mapping[str, Any],
    content: Mapping[str, str],
) -> Study:
    """Create the study, or resume it. Raises PipelineError where any of the rest is not what it was."""
    with one_line():
        study = optuna.create_study(storage=store, study_name=name, directions=list(directions), load_if_exists=True)
        if SPACE not in study.user_attrs and not study.get_trials(deepcopy=False):
            study.set_user_attr(BASE, dict(base))
            study.set_user_attr(CONTENT, dict(content))
            study.set_user_attr(SPACE, dict(space))
            return study
    check_unchanged(study, directions, space, base, content)
    return study


def check_unchanged(
    study: Study,
    directions: Sequence[str],
    space: Mapping[str, Any],
    base: Mapping[str, Any],
    content: Mapping[str, str],
) -> None:
    """Raises PipelineError where a study was begun with others, with what has changed."""
    then = study.user_attrs
    if SPACE not in then:
        raise PipelineError(f"study {study.study_name}: was made by another program; take another sweep.name")
    was = {"direction": ", ".join(each.name.lower() for each in study.directions)}
    now = {"direction": ", ".join(directions)}
    changed = [
        *differences(was, now),
        *differences(then[SPACE], json.loads(json.dumps(space)), "swept "),
        *differences(then[BASE], json.loads(json.dumps(base))),
        *differences(then.get(CONTENT, content), content, "content of "),  # an older study doesn't say
    ]
    if changed:
        raise PipelineError(
            f"sweep {study.study_name}: has changed since it began: {'; '.join(changed[:5])}"
            f"{f'; and {len(changed) - 5} more' if len(changed) > 5 else ''}. Put it back, or take another sweep.name"
        )


def differences(then: Any, now: Any, prefix: str = "") -> list[str]:
    """`key: then, now` for each leaf that is not the same."""
    if isinstance(then, Mapping) and isinstance(now, Mapping):
        keys = [*then, *(key for key in now if key not in then)]
        dot = prefix if not prefix or prefix.endswith((" ", ".")) else f"{prefix}."
        return [
            line
            for key in keys
            for line in differences(then.get(key, "(nothing)"), now.get(key, "(nothing)"), f"{dot}{key}")
        ]
    return [] if then == now else [f"{prefix} was {then}, is {now}"]


def trials(study: Study, *states: TrialState) -> list[FrozenTrial]:
    return study.get_trials(deepcopy=False, states=states or None)


def put_back(study: Study, number: int, message: str, *, fault: bool) -> None:
    """End a trial that was cut off, and let it come again under another number. A fault of its own counts against it.

    The new one is there before the old one ends: a kill between the two loses nothing, and doing it again mends it.
    One that has ended already, by the hand of another driver, stays as it is.
    """
    known = trials(study)
    trial = known[number]
    if trial.state.is_finished():
        return
    if number not in repeated(known):
        attempt = trial.user_attrs.get(ATTEMPT, 0) + fault
        study.enqueue_trial(point(trial), user_attrs={RETRY_OF: number, ATTEMPT: attempt, MESSAGE: message})
    study.tell(number, state=TrialState.FAIL)


def point(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial has been given, whether it got as far as to take them or not."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def repeated(known: Collection[FrozenTrial]) -> set[int]:
    """The numbers of trials that came again as another one."""
    return {trial.user_attrs[RETRY_OF] for trial in known if RETRY_OF in trial.user_attrs}


def budget_left(known: Collection[FrozenTrial], n_trials: int) -> int:
    """Of a total number of trials, where repeated ones and those of an older study don't count."""
    again = repeated(known)
    return n_trials - sum(trial.number not in again and FROM not in trial.user_attrs for trial in known)


def reclaim(
    study: Study, hold: Hold, result_of: Callable[[FrozenTrial], Result | None], own: Collection[int] = ()
) -> list[FrozenTrial]:
    """All trials, once those that dead drivers left RUNNING are told, where they finished, or put back.

    own are in hand here.
    """
    known = trials(study)
    orphans = hold.orphans([trial for trial in known if trial.state == TrialState.RUNNING], own)
    again = repeated(known) if orphans else ()
    for trial in orphans:
        result = result_of(trial)
        if result is not None and result.state != "failed" and trial.number not in again:
            tell(study, trial.number, result)
        else:
            put_back(study, trial.number, "its driver ended", fault=False)
    return trials(study) if orphans else known


def tell(study: Study, number: int, result: Result) -> bool:
    """Whether the study has the result now; it has not where another driver took the trial over in the meantime."""
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[result.state]
    values = result.values if state == TrialState.COMPLETE else None
    try:
        told = study.tell(number, values, state, skip_if_finished=True)
    except UpdateFinishedTrialError:  # a moment ago
        told = trials(study)[number]
    return told.state == state


def existing(store: BaseStorage, name: str) -> Study:
    """Raises PipelineError where there is no such study."""
    try:
        return optuna.load_study(study_name=name, storage=store)
    except KeyError:
        there = ", ".join(sorted(summary.study_name for summary in store.get_all_studies())) or "none yet"
        raise PipelineError(f"{name}: no such sweep; there are {there}") from None


def take_over(study: Study, older: Study, space: Space) -> int:
    """Give a new study the finished trials of an older one that fit its space. Returns how many."""
    if older.directions != study.directions:
        was = ", ".join(each.name.lower() for each in older.directions)
        raise PipelineError(f"warm_start={older.study_name}: has other directions: {was}")
    known = {swept.name: swept.distribution for swept in walk(space)}
    taken = {trial.user_attrs.get(FROM) for trial in trials(study)}
    count = 0
    for trial in trials(older, TrialState.COMPLETE, TrialState.PRUNED):
        if f"{older.study_name} {trial.number}" in taken or REUSES in trial.user_attrs:
            continue
        if trial.params.keys() <= known.keys() and all(_holds(known[k], v) for k, v in trial.params.items()):
            attributes = {FROM: f"{older.study_name} {trial.number}"}
            if CONFIGURATION in trial.user_attrs:
                attributes[CONFIGURATION] = trial.user_attrs[CONFIGURATION]
            study.add_trial(
                create_trial(
                    state=trial.state,
                    values=trial.values if trial.state == TrialState.COMPLETE else None,
                    params=trial.params,
                    distributions={name: known[name] for name in trial.params},
                    intermediate_values=trial.intermediate_values,
                    user_attrs=attributes,
                )
            )
            count += 1
    return count


def enqueue(study: Study, points: Sequence[Mapping[str, Any]], space: Space) -> None:
    """Let these be tried first, those that weren't yet."""
    for point in points:
        study.enqueue_trial(_typed(named(space, point), space), skip_if_exists=True)


def _typed(point: Mapping[str, Any], space: Space) -> dict[str, Any]:
    """As a trial has its values: 1 is 1.0 where fractions are swept."""
    known = {swept.name: swept.distribution for swept in walk(space)}
    return {key: known[key].to_external_repr(known[key].to_internal_repr(value)) for key, value in point.items()}


def check_enqueued(points: Sequence[Mapping[str, Any]], space: Space, is_grid: bool, n_trials: int) -> None:
    """Raises PipelineError for a point outside of the space, and for more points than trials."""
    known = {swept.name: swept.distribution for swept in walk(space)}
    if len(points) > n_trials:
        raise PipelineError(f"enqueue: has {len(points)} points; n_trials is {n_trials}")
    for given in points:
        point = named(space, given)
        for key, value in point.items():
            if key not in known:
                raise PipelineError(f"enqueue: {key} is not swept; there are {', '.join(known)}")
            if not _holds(known[key], value):
                raise PipelineError(f"enqueue: {key}={value}: must be one of {describe(space)[key]}")
        if is_grid and _typed(point, space) not in grid(space):
            raise PipelineError(f"enqueue: {dict(given)}: must give every parameter of the grid")


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return False
