"""The store: an SQLite file with artifacts beside it, made once under a lock, or a server's."""

import logging
import sqlite3
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from filelock import FileLock
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage
from mlflow.exceptions import MlflowException

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
        client = MlflowClient(f"sqlite:///{folder / DATABASE}")
        experiment_id = _existing(client, experiment) or _create(client, folder, experiment)
    return client, experiment_id


def _existing(client: MlflowClient, name: str) -> str | None:
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
        return None
    if experiment.lifecycle_stage == LifecycleStage.DELETED:
        raise PipelineError(
            f"experiment {name}: was deleted in MLflow; restore it there, or log under another name: dataset.name=..."
        )
    return experiment.experiment_id


def _create(client: MlflowClient, folder: Path, name: str) -> str:
    """A new experiment whose artifacts are found by a relative path, so that the folder can be moved.

    MLflow makes every location absolute; the row is put right before anything refers to it. Relative means: from where
    the command was started, which is also where `pipeline.ui` is started.
    """
    experiment_id = client.create_experiment(name)
    artifacts = folder / "artifacts" / experiment_id
    with sqlite3.connect(folder / DATABASE, timeout=30) as database:
        database.execute(
            "UPDATE experiments SET artifact_location = ? WHERE experiment_id = ?",
            (artifacts.as_posix(), int(experiment_id)),
        )
    return experiment_id


def _answers(uri: str) -> None:
    """MLflow itself would retry for minutes before it says that nobody is there."""
    try:
        with urlopen(f"{uri.rstrip('/')}/health", timeout=10):
            pass
    except HTTPError:  # somebody is there; what it minds, MLflow will say
        pass
    except (URLError, OSError) as error:
        raise PipelineError(f"tracking.uri={uri}: no MLflow server answers ({getattr(error, 'reason', error)})") from None


def experiment_of(store: Path, run_id: str) -> str:
    """The id of a run's experiment. Raises PipelineError where the store has no such run."""
    try:
        return MlflowClient(f"sqlite:///{store / DATABASE}").get_run(run_id).info.experiment_id
    except MlflowException:
        raise PipelineError(f"{run_id}: no such run in {store}") from None
