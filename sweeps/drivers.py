"""Who drives a study: one process, or with sweep.shared several, each known to the others for as long as it lives.

Beside an SQLite file a lock on a file says so. In PostgreSQL it is an advisory lock, which the server takes back when
the connection ends: a driver that died anywhere is gone at once, one whose machine fell silent after SECONDS_SILENT.
"""

import hashlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from optuna.storages import BaseStorage
from optuna.trial import FrozenTrial
from sqlalchemy import event
from sqlalchemy.exc import SQLAlchemyError

from pipeline.errors import PipelineError
from sweeps.storage import ConnectionLostError, PostgreSQL, is_postgresql, one_line, sqlite_file

DRIVER = "driver"  # in a trial's attributes: who claimed it
SECONDS_BETWEEN_SIGNS = 2.0  # of life: a connection that was cut off is renewed, and the lock with it
SECONDS_GONE = 10.0  # without its lock, after which a driver's trials are taken over; a restart takes it from all
SECONDS_SILENT = 60  # after which the server closes a session

Found = TypeVar("Found")


@dataclass(frozen=True)
class Hold:
    """A driver's hold on a study. name is what its trials bear; None where no other process can have claimed any."""

    shared: bool = False
    name: str | None = None
    alone: Callable[[Callable[[], Found]], Found] = lambda work: work()  # while no other driver does the like
    living: Callable[[], Collection[str]] = tuple  # names of the drivers that hold the study now
    missed: dict[str, float] = field(default_factory=dict)  # since when other drivers have been without their lock

    def orphans(self, running: Collection[FrozenTrial], own: Collection[int]) -> list[FrozenTrial]:
        """Those whose driver is gone; own are the numbers in this driver's hands."""
        living = self.living() if self.shared else ()
        return [trial for trial in running if trial.number not in own and self._is_gone(trial, living)]

    def _is_gone(self, trial: FrozenTrial, living: Collection[str]) -> bool:
        driver = trial.user_attrs.get(DRIVER)
        if not self.shared or driver in (None, self.name):
            return True
        if driver in living:
            self.missed.pop(driver, None)
            return False
        return time.monotonic() - self.missed.setdefault(driver, time.monotonic()) > SECONDS_GONE


def check_shared(url: str | None) -> None:
    """Raises PipelineError for a study that several drivers could not hold together."""
    if not is_postgresql(url):
        raise PipelineError(
            "sweep.shared=true: needs a study in PostgreSQL (sweep.storage=postgresql+psycopg://user@host/database); "
            "on one machine, executor.slots says how many trials run beside each other"
        )


@contextmanager
def only_driver(store: BaseStorage, url: str | None, folder: Path, name: str, *, shared: bool) -> Iterator[Hold]:
    """Holds the study for this process, or with `shared` beside others that say so too.

    Raises PipelineError, naming the holder, where another process has it.
    """
    if isinstance(store, PostgreSQL):
        with _advisory_lock(store, name, shared) as hold:
            yield hold
    else:
        with _file_lock(_place(url, folder), name):
            yield Hold()


def driver(store: BaseStorage, url: str, name: str) -> str | None:
    """Who drives a study now: host and process; None where nobody does."""
    if isinstance(store, PostgreSQL):
        with one_line(), store.engine.connect() as connection:
            return _named(_holders(connection.exec_driver_sql, name))
    return _file_holder(_place(url, Path()), name)


# --- a lock on a file


def _place(url: str | None, folder: Path) -> Path:
    """Where the drivers of a storage's studies are known: beside an SQLite file, else in the sweep's own folder."""
    file = sqlite_file(url) if url else None
    return folder if file is None else file.with_name(f"{file.name}.drivers")


@contextmanager
def _file_lock(place: Path, name: str) -> Iterator[None]:
    place.mkdir(parents=True, exist_ok=True)
    lock = FileLock(place / f"{name}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise _driven(name, _file_holder(place, name)) from None
    try:
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = {"host": socket.gethostname(), "process": os.getpid(), "since": since}
        (place / f"{name}.json").write_text(json.dumps(holder))
        yield
    finally:
        lock.release()


def _driven(name: str, holder: str | None, hint: str = "") -> PipelineError:
    return PipelineError(
        f"sweep {name}: is being driven by {holder or 'another process'}; wait, {hint}or take another sweep.name"
    )


def _file_holder(place: Path, name: str) -> str | None:
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


# --- an advisory lock in PostgreSQL

HOLDERS = """
    SELECT application_name, coalesce(to_char(backend_start, 'YYYY-MM-DD HH24:MI:SS'), 'some time'), mode = 'ShareLock'
    FROM pg_locks JOIN pg_stat_activity USING (pid)
    WHERE locktype = 'advisory' AND granted AND objsubid = 1
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND (classid::bigint << 32 | objid::bigint) = %(key)s
"""
OWN_GHOSTS = """
    SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity
    WHERE application_name = %s AND usename = current_user AND pid <> pg_backend_pid()
"""


@contextmanager
def _advisory_lock(store: PostgreSQL, name: str, shared: bool) -> Iterator[Hold]:
    """Every connection of the storage takes the lock as it is made: what is stored, is stored by the holder."""
    host = socket.gethostname().encode("ascii", "replace").decode()
    me = f"sweepline {secrets.token_hex(4)} {os.getpid()} {host}"[:63]  # PostgreSQL takes no more, and ASCII alone
    take, over = _taking(store, name, me, shared), threading.Event()
    event.listen(store.engine, "connect", take)
    store.engine.dispose()
    try:
        with one_line(), store.engine.connect():
            threading.Thread(target=_signs_of_life, args=(store, over), daemon=True).start()
        yield Hold(shared, me, partial(_alone, store, _key("claims", name)), partial(_living, store, name))
    finally:
        over.set()
        event.remove(store.engine, "connect", take)
        store.engine.dispose()


def _taking(store: PostgreSQL, name: str, me: str, shared: bool) -> Callable[[Any, Any], None]:
    """What is done with a new connection. Raises PipelineError where somebody else has the study by now."""
    # a machine that was cut off, a process that was stopped: whatever it was doing, others wait no longer than this
    bounds = ("idle_session_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
    settings = {"application_name": me, **dict.fromkeys(bounds, f"{SECONDS_SILENT}s")}
    lock = "SELECT pg_try_advisory_lock_shared(%s)" if shared else "SELECT pg_try_advisory_lock(%s)"

    def take(connection: Any, record: Any) -> None:
        try:
            if store.unbroken:
                raise ConnectionLostError("the connection was lost")
            with connection.cursor() as cursor:
                for setting in settings.items():
                    cursor.execute("SELECT set_config(%s, %s, false)", setting)
                cursor.execute(OWN_GHOSTS, [me])  # sessions of ours that the server doesn't know to be cut off
                if not cursor.execute(lock, [_key("drives", name)]).fetchone()[0]:
                    holders = _holders(cursor.execute, name)
                    hint = "add sweep.shared=true to join it, " if any(joint for *_, joint in holders) else ""
                    raise _driven(name, _named(holders), hint)
            connection.commit()
        except BaseException:
            connection.close()
            raise

    return take


def _signs_of_life(store: PostgreSQL, over: threading.Event) -> None:
    """Long trainings ask nothing of the server."""
    while not over.wait(SECONDS_BETWEEN_SIGNS):
        with suppress(Exception), store.engine.connect():  # where it matters, the next operation raises it
            pass


def _alone(store: PostgreSQL, key: int, work: Callable[[], Found]) -> Found:
    """Done again from the start where the connection is lost on the way: with it goes the lock."""

    def attempt() -> Found:
        with store.engine.connect():
            pass  # a new one where the last was cut off; from here on none
        store.unbroken = True
        try:
            _execute(store, "SELECT pg_advisory_lock(%s)", key)
            try:
                return work()
            finally:
                with suppress(SQLAlchemyError, ConnectionLostError):
                    _execute(store, "SELECT pg_advisory_unlock(%s)", key)
        finally:
            store.unbroken = False

    return store.patiently(attempt)


def _execute(store: PostgreSQL, statement: str, key: int) -> None:
    with store.engine.connect() as connection:
        connection.exec_driver_sql(statement, (key,))


def _living(store: PostgreSQL, name: str) -> set[str]:
    with store.engine.connect() as connection:
        return {application for application, *_ in _holders(connection.exec_driver_sql, name)}


def _holders(execute: Callable[..., Any], name: str) -> list[tuple[str, str, bool]]:
    """(application, since when, whether jointly) of those that hold a study."""
    return [tuple(row) for row in execute(HOLDERS, {"key": _key("drives", name)})]


def _named(holders: Collection[tuple[str, str, bool]]) -> str | None:
    said = []
    for application, since, _ in holders:
        _, _, process, host = f"{application}   ".split(" ", 3)
        said.append(f"process {process} on {host.strip()}, since {since}" if process else "another process")
    return "; ".join(said) or None


def _key(what: str, name: str) -> int:
    """A lock's number: 63 bits of a digest."""
    return int.from_bytes(hashlib.blake2b(f"sweepline {what} {name}".encode(), digest_size=8).digest()) >> 1
