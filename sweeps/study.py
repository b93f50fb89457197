"""The study: where it is stored, one driver at a time, created or resumed, what a dead driver left put back."""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import optuna
from filelock import FileLock, Timeout
from optuna.distributions import BaseDistribution
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import PipelineError, first_line
from sweeps.space import Space, describe, grid, named, walk
from sweeps.trial import Result

SECONDS_TO_WAIT = 10  # for another process that writes to the same SQLite file

# what is remembered of a trial, in Optuna's user attributes
CONFIGURATION = "configuration"  # digest of what was trained: equal ones are trained once
CAUSE, MESSAGE = "cause", "message"  # of a failure
RETRY_OF, ATTEMPT = "retry_of", "attempt"  # the trial that this one repeats; how many died by their own fault
REUSES = "reuses"  # whose result it has
FROM = "from"  # the older study that it was taken over from

# and of a study
SPACE, BASE = "space", "base"  # what was swept, and everything else: neither may change
ABOUT = "about"  # what figures and commands need to know; brought up to date at every start


@contextmanager
def one_line() -> Iterator[None]:
    """What Optuna and SQLAlchemy raise about a storage, in one line."""
    try:
        yield
    except ImportError as error:  # of what a sampler or a database needs
        raise PipelineError(first_line(error)) from error
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        cause = error.__cause__ or error
        raise PipelineError(f"the study's storage: {first_line(getattr(cause, 'orig', None) or cause)}") from error


def storage(url: str | None) -> BaseStorage:
    """Optuna's storage by its URL, tables made where there are none. Raises PipelineError where it cannot be used."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None:
        return InMemoryStorage()
    file = sqlite_file(url)
    try:
        with one_line():
            if file is None:
                return RDBStorage(url)
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(file.with_name(f".{file.name}.lock")):  # two that create one database break it
                settings = {"connect_args": {"timeout": SECONDS_TO_WAIT}}
                found = RDBStorage(f"sqlite:///{file}", engine_kwargs=settings)
                with found.engine.connect() as connection:
                    # as durable, with one sync a commit where the default has several; readers don't hold up the writer
                    connection.exec_driver_sql("PRAGMA journal_mode=WAL")
                return found
    except (RuntimeError, AssertionError) as error:  # of another version, not Optuna's
        raise PipelineError(f"{url}: {first_line(error)}") from error
    except PipelineError as error:
        raise PipelineError(f"{url}: {error}; it was left as it is") from error


def sqlite_file(url: str) -> Path | None:
    """The absolute path of an SQLite URL's file; None for other storages."""
    return Path(url.removeprefix("sqlite:///")).resolve() if url.startswith("sqlite:///") else None


def locks(url: str | None, folder: Path) -> Path:
    """Where the drivers of a storage's studies are known: beside an SQLite file, else in the sweep's own folder."""
    file = sqlite_file(url) if url else None
    return folder if file is None else file.with_name(f"{file.name}.drivers")


@contextmanager
def only_driver(place: Path, name: str) -> Iterator[None]:
    """Holds the study for this process. Raises PipelineError, naming the holder, where another process has it."""
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise PipelineError(
            f"sweep {name}: is being driven by {driver(place, name)}; wait, or take another sweep.name"
        ) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
        (place / f"{name}.json").write_text(json.dumps(holder))
        yield
    finally:
        lock.release()


def driver(place: Path, name: str) -> str | None:
    """Who drives a study now: host and process; None where nobody does."""
    if not (place / f"{name}.lock").exists():
        return None
    try:
        with FileLock(place / f"{name}.lock", timeout=0):
            return None
    except Timeout:
        with suppress(OSError, ValueError):
            found = json.loads((place / f"{name}.json").read_text())
            return f"process {found['process']} on {found['host']}, since {found['since']}"
        return "another process"


def open_study(
    store: BaseStorage, name: str | None, directions: tuple[str, ...], space: Mapping[str, Any], base: Mapping[str, Any]
) -> Study:
    """Create the study, or resume it. Raises PipelineError where space, base or directions are not what they were."""
    with one_line():
        study = optuna.create_study(storage=store, study_name=name, directions=list(directions), load_if_exists=True)
        then = study.user_attrs
        if SPACE not in then:
            if study.get_trials(deepcopy=False):
                raise PipelineError(f"study {study.study_name}: was made by another program; take another sweep.name")
            study.set_user_attr(BASE, dict(base))
            study.set_user_attr(SPACE, dict(space))
            return study
    was = {"direction": ", ".join(each.name.lower() for each in study.directions)}
    now = {"direction": ", ".join(directions)}
    changed = [
        *differences(was, now),
        *differences(then[SPACE], json.loads(json.dumps(space)), "swept "),
        *differences(then[BASE], json.loads(json.dumps(base))),
    ]
    if changed:
        raise PipelineError(
            f"sweep {study.study_name}: has changed since it began: {'; '.join(changed[:5])}"
            f"{f'; and {len(changed) - 5} more' if len(changed) > 5 else ''}. Put it back, or take another sweep.name"
        )
    return study


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


def put_back(study: Study, trial: FrozenTrial, message: str, *, fault: bool) -> None:
    """End a trial that was cut off, and let it come again under another number. A fault of its own counts against it.

    The new one is there before the old one ends: a kill between the two loses nothing, and `reclaim` sees it.
    """
    attempt = trial.user_attrs.get(ATTEMPT, 0) + fault
    study.enqueue_trial(point(trial), user_attrs={RETRY_OF: trial.number, ATTEMPT: attempt, MESSAGE: message})
    study.tell(trial.number, state=TrialState.FAIL)


def point(trial: FrozenTrial) -> dict[str, Any]:
    """The parameters that a trial has been given, whether it got as far as to take them or not."""
    return {**trial.system_attrs.get("fixed_params", {}), **trial.params}


def repeated(study: Study) -> set[int]:
    """The numbers of trials that came again as another one."""
    return {trial.user_attrs[RETRY_OF] for trial in trials(study) if RETRY_OF in trial.user_attrs}


def budget_left(study: Study, n_trials: int) -> int:
    """Of a total number of trials, where repeated ones and those of an older study don't count."""
    again = repeated(study)
    return n_trials - sum(trial.number not in again and FROM not in trial.user_attrs for trial in trials(study))


def reclaim(study: Study, result_of: Callable[[FrozenTrial], Result | None]) -> list[int]:
    """Trials that a dead driver left RUNNING: told where they finished, else put back. Returns the numbers put back."""
    again = repeated(study)
    returned = []
    for trial in trials(study, TrialState.RUNNING):
        result = result_of(trial)
        if trial.number in again:
            study.tell(trial.number, state=TrialState.FAIL)
        elif result is not None and result.state != "failed":
            tell(study, trial.number, result)
        else:
            put_back(study, trial, "its driver ended", fault=False)
            returned.append(trial.number)
    return returned


def tell(study: Study, number: int, result: Result) -> None:
    state = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}[result.state]
    study.tell(number, result.values if state == TrialState.COMPLETE else None, state)


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
        study.enqueue_trial(named(space, point), skip_if_exists=True)


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
        if is_grid and point not in grid(space):
            raise PipelineError(f"enqueue: {dict(given)}: must give every parameter of the grid")


def _holds(distribution: BaseDistribution, value: Any) -> bool:
    try:
        return distribution._contains(distribution.to_internal_repr(value))
    except ValueError:
        return False
