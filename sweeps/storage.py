"""Where studies are kept: Optuna's storage by its URL, patient with a server that restarts, silent about passwords."""

import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial, reduce, wraps
from operator import getitem
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import optuna
from filelock import FileLock
from omegaconf import DictConfig, OmegaConf
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage, InMemoryStorage, RDBStorage, _CachedStorage
from sqlalchemy import NullPool, create_engine, make_url
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError

from pipeline.errors import PipelineError, chain, first_line

SECONDS_TO_WAIT = 10  # for another process that writes to the same SQLite file
SECONDS_AWAY = 60  # that a database server may be, before a sweep ends
LIKE = "postgresql+psycopg://user@host:5432/database"
MAKING_TABLES = 7_305_421_916  # the advisory lock under which Optuna's tables are made


class ConnectionLostError(Exception):
    """The connection that held a lock is gone, and the lock with it: what was done under it is to be done anew."""


@contextmanager
def one_line() -> Iterator[None]:
    """What Optuna and SQLAlchemy raise about a storage, in one line."""
    try:
        yield
    except ImportError as error:  # of what a sampler or a database needs
        raise PipelineError(first_line(error)) from error
    except (SQLAlchemyError, StorageInternalError) as error:
        raise PipelineError(f"the study's storage: {_said(error)}") from error


def _said(error: Exception) -> str:
    cause = error.__cause__ or error
    return first_line(getattr(cause, "orig", None) or cause)


def storage(url: str | None) -> BaseStorage:
    """Optuna's storage by its URL, tables made where there are none. Raises PipelineError where it cannot be used."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    if url is None:
        return InMemoryStorage()
    file = sqlite_file(url)
    try:
        with one_line():
            if is_postgresql(url):
                return PostgreSQL(url)
            return RDBStorage(url) if file is None else _sqlite(file)
    except ValueError as error:  # which quotes what it took for a port
        raise PipelineError(f"{without_password(url)}: cannot be read; must be like {LIKE}") from error
    except (RuntimeError, AssertionError) as error:  # of another version, not Optuna's
        raise PipelineError(f"{without_password(url)}: {first_line(error)}") from error
    except PipelineError as error:
        left = "" if file is None else "; it was left as it is"
        raise PipelineError(f"{without_password(url)}: {error}{left}") from error


def sqlite_file(url: str) -> Path | None:
    """The absolute path of an SQLite URL's file; None for other storages."""
    return Path(url.removeprefix("sqlite:///")).resolve() if url.startswith("sqlite:///") else None


def _sqlite(file: Path) -> RDBStorage:
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(file.with_name(f".{file.name}.lock")):  # two that create one database break it
        found = RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": SECONDS_TO_WAIT}})
        with found.engine.connect() as connection:
            # as durable, with one sync a commit where the default has several; readers don't hold up the writer
            connection.exec_driver_sql("PRAGMA journal_mode=WAL")
        return found


# --- a server


def is_postgresql(url: str | None) -> bool:
    return url is not None and re.match(r"postgres(ql)?(\+\w+)?://", url) is not None


class PostgreSQL(_CachedStorage):
    """Through one connection: whatever is done here, is done by the session that holds this process's locks.

    What a restart of the server cuts off is tried again, until it has been away for SECONDS_AWAY.
    """

    def __init__(self, url: str) -> None:
        address = make_url(url).set(drivername="postgresql+psycopg")
        if address.password is None and "PGPASSWORD" in os.environ:
            address = address.set(password=os.environ["PGPASSWORD"])
        self.password = address.password
        network = {"connect_timeout": 10, "keepalives_idle": 10, "keepalives_interval": 5, "tcp_user_timeout": 30_000}
        pool = {"pool_size": 1, "max_overflow": 0, "pool_timeout": 3 * SECONDS_AWAY, "pool_pre_ping": True}
        try:
            self.engine = create_engine(address, connect_args=network, **pool)
        except ImportError as error:
            raise PipelineError("needs psycopg: pip install 'sweepline[cluster]'") from error
        with self.engine.connect() as connection:  # two that make the tables at once break them
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({MAKING_TABLES})")
            backend = RDBStorage(address.render_as_string(False), engine_kwargs={"poolclass": NullPool})
        backend.remove_session()
        backend.engine = self.engine  # making them took two connections at once
        backend.scoped_session.configure(bind=self.engine)
        super().__init__(backend)
        self.unbroken = False  # what is under way holds only for as long as this connection
        self.away_since: float | None = None

    def patiently(self, operation: Callable[[], Any]) -> Any:
        """Its result, from the first time that it is not cut off. Raises PipelineError where the server stays away."""
        pause = 0.1
        while True:
            try:
                result = operation()
            except (SQLAlchemyError, StorageInternalError, ConnectionLostError) as error:
                if self.unbroken or not _is_cut_off(error):
                    raise
                self._wait(error, pause)
                pause = min(2 * pause, 2.0)
            else:
                self.away_since = None
                return result

    def _wait(self, error: Exception, seconds: float) -> None:
        since = self.away_since
        if since is None:
            self.away_since = time.monotonic()
            print(f"the study's storage is away, trying for {SECONDS_AWAY} s: {_said(error)}", flush=True)
        elif time.monotonic() - since > SECONDS_AWAY:
            raise PipelineError(
                f"the study's storage: has been away for {SECONDS_AWAY} s ({_said(error)}); the same command goes on "
                "where this one ended"
            ) from error
        time.sleep(seconds)


def _is_cut_off(error: Exception) -> bool:
    return any(
        isinstance(each, OperationalError | ConnectionLostError)
        or (isinstance(each, DBAPIError) and each.connection_invalidated)
        for each in chain(error)
    )


def _patient(name: str) -> Callable[..., Any]:
    method = getattr(_CachedStorage, name)

    @wraps(method)
    def patient(self: PostgreSQL, *arguments: Any, **named: Any) -> Any:
        return self.patiently(partial(method, self, *arguments, **named))

    return patient


for _name in BaseStorage.__abstractmethods__:  # all that Optuna does with a storage
    setattr(PostgreSQL, _name, _patient(_name))


# --- passwords


def without_password(url: str) -> str:
    """For people's eyes, whatever the password has in it."""
    return re.sub(r"([?&]password=)[^&]*", r"\1***", re.sub(r"://([^:/@]*):.*@", r"://\1:***@", url))


def resolved(written: str) -> str:
    """A URL with what its interpolations stand for: `${oc.env:NAME}`. Raises PipelineError as check_password does."""
    url = str(OmegaConf.create({"url": written}).url)
    check_password(written, url)
    return url


def as_written(config: DictConfig) -> str | None:
    """hydra.sweeper.storage as it may be shown and stored: `${oc.env:NAME}` left as it is.

    Raises PipelineError as check_password does.
    """
    url, plain = config.hydra.sweeper.storage, OmegaConf.to_container(config, resolve=False)
    if url is None or sqlite_file(url) is not None:
        return url
    written = plain["hydra"]["sweeper"]["storage"]
    while key := re.fullmatch(r"\$\{([\w.]+)\}", written):  # it stands somewhere else
        written = reduce(getitem, key[1].split("."), plain)
    check_password(written, url)
    rest = re.sub(r"\$\{oc\.env:[^}]*\}", "", written)
    return written if "${" not in rest else without_password(url).replace(":***@", "@")


def check_password(written: str, url: str) -> None:
    """Raises PipelineError for a password that others would see, and for one that would be taken for a host."""
    if sqlite_file(url) is not None:
        return
    password = re.search(r"://[^:/@]*:(.*)@|[?&]password=([^&]*)", written)
    if password and "${" not in password[0]:
        raise PipelineError(
            f"sweep.storage={without_password(written)}: must not hold the password, which process lists and files "
            "would show; leave it out and set PGPASSWORD or ~/.pgpass, or write ${oc.env:NAME} in its place"
        )
    if url.partition("?")[0].count("@") > 1:
        raise PipelineError(f"sweep.storage={without_password(url)}: a password's @ must be written %40, its / %2F")


def keep_from_workers(store: BaseStorage, written: str | None, trials: DictConfig) -> None:
    """Take the password out of the environment that workers inherit, unless a trial's configuration needs it."""
    if not isinstance(store, PostgreSQL) or store.password is None:
        return
    asked = OmegaConf.to_yaml(OmegaConf.masked_copy(trials, [key for key in trials if key != "sweep"]))
    for name in re.findall(r"oc\.env:(\w+)", written):
        if f"oc.env:{name}" not in asked and store.password in unquote(os.environ.get(name, "")):
            os.environ.pop(name)
    if "postgres" not in asked:
        os.environ.pop("PGPASSWORD", None)  # the storage has read it
