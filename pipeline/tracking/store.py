"""The store: an SQLite file with artifacts beside it, made once under a lock, or a server's."""

import logging
import os
import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import mlflow
from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import Experiment, LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.db.utils import create_sqlalchemy_engine
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore
from sqlalchemy.exc import DBAPIError

from pipeline import passwords
from pipeline.errors import PipelineError
from pipeline.tracking import server, views

DATABASE = "mlflow.db"
DATABASES = ("postgresql", "mysql", "mssql")  # behind a network, as MLflow knows them
MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations" / "versions"
MEGABYTES_NEEDED = 20  # an empty store, a run with its model and images, and some room


def open_store(store: str, uri: str | None, experiment: str) -> tuple[MlflowClient, str]:
    """(client, id of the experiment), both created where they are missing, with the experiment's saved views.

    Two processes that create one database break it for good, hence the lock. Raises PipelineError where a server does
    not answer or the experiment was deleted, OSError where the folder cannot be written.
    """
    _quiet()
    if uri is not None:
        client = existing_client(store, uri)
        found = _existing(client, experiment) or _created(client, experiment)
        if server.is_server(uri):
            server.check_artifacts(uri, found)
        views.prepare(client, found, views.of_experiment())
        return client, found.experiment_id
    folder = existing_folder(store)
    free = shutil.disk_usage(folder).free / 1e6
    if free < MEGABYTES_NEEDED:
        raise PipelineError(f"{store}: the disk is full, {free:.0f} MB left; a run needs {MEGABYTES_NEEDED} MB")
    with FileLock(folder / ".lock"):
        if not (folder / DATABASE).exists():
            _create_database(folder)
        client = _client(folder)
        found = _existing(client, experiment) or _create_experiment(client, folder, experiment)
    views.prepare(client, found, views.of_experiment())
    return client, found.experiment_id


def existing_client(store: str, uri: str | None) -> MlflowClient:
    """A client of a store that is there. Raises PipelineError where a server or a database does not answer."""
    _quiet()
    if uri is None:
        return _client(Path(store).resolve())
    passwords.refuse("tracking.uri", uri)
    if server.is_server(uri):
        server.check(uri)
    try:
        if uri.startswith(DATABASES):
            _check_database(uri)
        return MlflowClient(uri)
    except ModuleNotFoundError as error:
        raise PipelineError(f"tracking.uri={uri}: needs {error.name}, a module that is not installed") from error


def _check_database(uri: str) -> None:
    """Raises AwayError where it does not answer: MLflow itself would try for 100 seconds before it says so."""
    engine = create_sqlalchemy_engine(uri)
    try:
        engine.connect().close()
    except DBAPIError as error:
        raise server.AwayError(f"tracking.uri={uri}: cannot be used ({server.reason(error)})") from None
    finally:
        engine.dispose()


def log_file(client: MlflowClient, run_id: str, name: str, content: bytes) -> None:
    """An artifact at the run's root."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / name
        file.write_bytes(content)
        client.log_artifact(run_id, str(file))


def _quiet() -> None:
    """What goes wrong is raised, and said in one line; a bar for every file that is read would hide it."""
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for noisy in ("mlflow", "alembic", "sqlalchemy"):
        logging.getLogger(noisy).setLevel(logging.CRITICAL)


def existing_folder(store: str) -> Path:
    """The absolute path of a store's folder, which is created where it is missing."""
    folder = Path(store)
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()


def _client(folder: Path) -> MlflowClient:
    _check(folder)
    return MlflowClient(f"sqlite:///{folder / DATABASE}")


def _check(folder: Path) -> None:
    """Raises PipelineError for a store of a newer MLflow, and for a folder that its artifacts know by another name."""
    file = folder / DATABASE
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=30)) as database:
            (schema,) = database.execute("SELECT version_num FROM alembic_version").fetchone()
            places = [Path(place) for (place,) in database.execute("SELECT artifact_location FROM experiments")]
    except sqlite3.Error as error:
        raise PipelineError(f"{file}: {error}") from None
    if not any(MIGRATIONS.glob(f"{schema}_*.py")):
        raise PipelineError(f"{file}: is of a newer MLflow than {mlflow.__version__}; pip install --upgrade mlflow")
    for place in places:
        ours = len(place.parts) == 3 and place.parts[1] == "artifacts" and not place.is_absolute()
        if ours and ":" not in place.parts[0] and place.parts[0] != folder.name:
            raise PipelineError(f"{folder}: its artifacts are known as {place.parent}; name it {place.parts[0]} again")


def _create_database(folder: Path) -> None:
    """All tables, in a file that gets its name when it is whole: a full disk or a kill leaves no broken store."""
    unfinished = folder / f"{DATABASE}.unfinished"
    unfinished.unlink(missing_ok=True)
    _migrate(unfinished)
    unfinished.rename(folder / DATABASE)
    _relocate(folder, "0")


def _migrate(database: Path) -> None:
    """From nothing to all of MLflow's tables, step by step: a second of CPU, which the tests pay once."""
    SqlAlchemyStore(f"sqlite:///{database}", str(database.parent / "artifacts")).engine.dispose()


def _existing(client: MlflowClient, name: str) -> Experiment | None:
    experiment = client.get_experiment_by_name(name)
    if experiment is not None and experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise PipelineError(
            f"experiment {name}: was deleted in MLflow; restore it there, or log under another name: dataset.name=..."
        )
    return experiment


def _created(client: MlflowClient, name: str) -> Experiment:
    """On a server; another machine may be a moment ahead."""
    try:
        return client.get_experiment(client.create_experiment(name))
    except MlflowException:
        if (found := _existing(client, name)) is None:
            raise
        return found


def _create_experiment(client: MlflowClient, folder: Path, name: str) -> Experiment:
    experiment_id = client.create_experiment(name)
    _relocate(folder, experiment_id)
    return client.get_experiment(experiment_id)


def _relocate(folder: Path, experiment_id: str) -> None:
    """Let an experiment's artifacts be found by a path relative to the folder around the store: that can be moved.

    MLflow makes every location absolute; the row is put right before anything refers to it. Runs and the UI's server
    work in the folder around the store.
    """
    location = f"{folder.name}/artifacts/{experiment_id}"
    with closing(sqlite3.connect(folder / DATABASE, timeout=30)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (location, int(experiment_id))
        )
