"""The store: an SQLite file with artifacts beside it, made once under a lock, or a server's."""

import logging
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from pipeline.errors import PipelineError

DATABASE = "mlflow.db"


def open_store(store: str, uri: str | None, experiment: str) -> tuple[MlflowClient, str]:
    """(client, id of the experiment), both created where they are missing.

    Two processes that create one database break it for good, hence the lock. Raises PipelineError where a server does
    not answer or the experiment was deleted, OSError where the folder cannot be written.
    """
    for noisy in ("mlflow", "alembic"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    if uri is not None:
        if uri.startswith("http"):
            _answers(uri)
        client = MlflowClient(uri)
        return client, _existing(client, experiment) or client.create_experiment(experiment)
    folder = Path(store)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not (folder / DATABASE).exists():
            _create_database(folder)
        client = _client(folder)
        experiment_id = _existing(client, experiment) or _create_experiment(client, folder, experiment)
    return client, experiment_id


def _client(folder: Path) -> MlflowClient:
    # absolute: MLflow keeps its connections by this address, whatever the working directory is by then
    return MlflowClient(f"sqlite:///{(folder / DATABASE).resolve()}")


def _create_database(folder: Path) -> None:
    """All tables, in a file that gets its name when it is whole: a full disk or a kill leaves no broken store."""
    unfinished = folder / f"{DATABASE}.unfinished"
    unfinished.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{unfinished.resolve()}", str(folder / "artifacts")).engine.dispose()
    unfinished.rename(folder / DATABASE)
    _relocate(folder, "0")


def _existing(client: MlflowClient, name: str) -> str | None:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise PipelineError(
            f"experiment {name}: was deleted in MLflow; restore it there, or log under another name: dataset.name=..."
        )
    return experiment.experiment_id


def _create_experiment(client: MlflowClient, folder: Path, name: str) -> str:
    experiment_id = client.create_experiment(name)
    _relocate(folder, experiment_id)
    return experiment_id


def _relocate(folder: Path, experiment_id: str) -> None:
    """Let an experiment's artifacts be found by a relative path, so that the folder can be moved.

    MLflow makes every location absolute; the row is put right before anything refers to it. Relative means: from where
    the command was started, which is also where `pipeline.ui` is started.
    """
    location = (folder / "artifacts" / experiment_id).as_posix()
    with closing(sqlite3.connect(folder / DATABASE, timeout=30)) as database, database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?", (location, int(experiment_id))
        )


def _answers(uri: str) -> None:
    """MLflow itself would retry for minutes before it says that nobody is there."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=10):
            pass
    except HTTPError:  # somebody is there; what it minds, MLflow will say
        pass
    except (URLError, OSError) as error:
        raise PipelineError(
            f"tracking.uri={uri}: no MLflow server answers ({getattr(error, 'reason', error)})"
        ) from None


def experiment_of(store: Path, run_id: str) -> str:
    """The id of a run's experiment. Raises PipelineError where the store has no such run."""
    try:
        return _client(store).get_run(run_id).info.experiment_id
    except MlflowException:
        raise PipelineError(f"{run_id}: no such run in {store}") from None
