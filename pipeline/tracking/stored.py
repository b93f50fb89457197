"""A finished run, read back from where it was logged."""

import json
from collections.abc import Iterable, Iterator
from contextlib import chdir, contextmanager, nullcontext
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from omegaconf import DictConfig, OmegaConf
from sqlalchemy.exc import SQLAlchemyError

from pipeline.contracts import History
from pipeline.errors import PipelineError, first_line
from pipeline.tracking.store import DATABASE, existing_client

BY_EPOCH = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@contextmanager
def open_run(run_id: str, store: str = "mlruns", uri: str | None = None) -> Iterator["StoredRun"]:
    """A run that finished, for as long as the block lasts.

    Raises PipelineError where there is no such run, it did not finish, it is a sweep's own, or it can't be read.
    """
    if uri is None and not (Path(store) / DATABASE).exists():
        raise PipelineError(f"{Path(store) / DATABASE}: no such file; name the folder of the runs with --store")
    with _reading(store, uri) as client:
        try:
            run = client.get_run(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                raise PipelineError(f"{run_id}: no such run in {uri or store}") from None
            raise
        tags = run.data.tags
        if run.info.lifecycle_stage == LifecycleStage.DELETED:
            raise PipelineError(f"{run_id}: was deleted; restore it first, if `mlflow gc` has not taken its files")
        if tags.get("kind") == "sweep":
            raise PipelineError(f"{run_id}: is a sweep, not a run; take one of its trials, or promote its best")
        if run.info.status != "FINISHED" or tags.get("state") != "complete":
            state = tags.get("state", run.info.status.lower())
            raise PipelineError(f"{run_id}: did not train to its end ({state}); there is no model to look at")
        yield StoredRun(client, run)


@contextmanager
def finished_runs(store: str) -> Iterator[list["StoredRun"]]:
    """All runs of a store that trained to their end, the latest first; none where there is no store."""
    if not (Path(store) / DATABASE).exists():
        yield []
        return
    with _reading(store, None) as client:
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        query = "tags.kind = 'run' and tags.state = 'complete' and attributes.status = 'FINISHED'"
        runs = client.search_runs(experiments, query, max_results=50_000, order_by=["attributes.start_time DESC"])
        yield [StoredRun(client, run) for run in runs]


@contextmanager
def _reading(store: str, uri: str | None) -> Iterator[MlflowClient]:
    """A client, in the folder around the store: its paths are relative to that. Raises PipelineError for what fails."""
    folder = Path(store).resolve()
    try:
        with nullcontext() if uri else chdir(folder.parent):
            yield existing_client(str(folder), uri)
    except (MlflowException, SQLAlchemyError) as error:
        raise PipelineError(f"{uri or store}: {first_line(getattr(error, 'orig', None) or error)}") from error


class StoredRun:
    """What a run left in MLflow."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client, self.run = client, run
        self.run_id: str = run.info.run_id

    @cached_property
    def artifacts(self) -> set[str]:
        """The names at the run's root."""
        return {item.path for item in self.client.list_artifacts(self.run_id)}

    @property
    def config(self) -> DictConfig:
        return OmegaConf.create(self._text("config.yaml"))

    def json(self, name: str) -> dict[str, Any] | None:
        return json.loads(self._text(name)) if name in self.artifacts else None

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Those of an .npz file; None where the run has no such file."""
        if name not in self.artifacts:
            return None
        with np.load(self._file(name), allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}

    def history(self) -> History:
        values = {
            name: {point.step: point.value for point in self.client.get_metric_history(self.run_id, name)}
            for name in BY_EPOCH
        }
        epochs = tuple({name: values[name][step] for name in BY_EPOCH} for step in sorted(values["val_accuracy"]))
        once = self.run.data.metrics
        return History(epochs, once["train_seconds"], once["images_per_second"])

    def model(self) -> Any:
        """The Keras model or scikit-learn pipeline; nothing is unpickled."""
        source = f"{self.run.info.artifact_uri}/model"
        if self.config.model.family == "network":
            import mlflow.keras

            return mlflow.keras.load_model(source)
        import mlflow.sklearn

        return mlflow.sklearn.load_model(source)

    def add_figures(self, figures: Iterable[tuple[str, Figure]]) -> Iterator[tuple[str, bool]]:
        """(name, was it added?): what the run already has stays as it is."""
        for name, figure in figures:
            new = f"{name}.png" not in self.artifacts
            if new:
                self.client.log_figure(self.run_id, figure, f"{name}.png")
            yield name, new

    def _text(self, name: str) -> str:
        return Path(self._file(name)).read_text()

    def _file(self, name: str) -> str:
        return self.client.download_artifacts(self.run_id, name)
