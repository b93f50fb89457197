"""One run in MLflow, by the names in README: metrics by epoch, figures, configuration, model, tags, state."""

import getpass
import io
import json
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from mlflow import MlflowClient
from mlflow.entities import Dataset as LoggedDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from omegaconf import DictConfig, OmegaConf
from sqlalchemy.exc import SQLAlchemyError

from pipeline import environment
from pipeline.contracts import Dataset, Origin
from pipeline.errors import PipelineError, first_line
from pipeline.stored_runs import as_options
from pipeline.tracking import git
from pipeline.tracking.model import save
from pipeline.tracking.params import headline
from pipeline.tracking.store import existing_folder, log_file, open_store
from pipeline.tracking.stored import StoredRun


@contextmanager
def start(cfg: DictConfig, dataset: Dataset) -> Iterator["MlflowTracker"]:
    """A run that ends FINISHED, FAILED where an exception leaves the block, or KILLED by Ctrl-C or SIGTERM.

    Raises PipelineError where the store cannot be used; what was logged before stays.
    """
    # a store's artifacts lie by paths that are relative to the folder around it
    folder = None if cfg.tracking.uri else existing_folder(cfg.tracking.store)
    id_file = Path(cfg.tracking.id_file).resolve() if cfg.tracking.get("id_file") else None
    try:
        with chdir(folder.parent) if folder else nullcontext():
            client, experiment_id = open_store(str(folder), cfg.tracking.uri, cfg.dataset.name)
            run = client.create_run(experiment_id, run_name=_run_name(cfg), tags=_tags(cfg, dataset))
            tracker = MlflowTracker(client, run.info.run_id, experiment_id, cfg, dataset)
            try:
                tracker.log_setting()
                yield tracker
                client.set_terminated(tracker.run_id)
            except (KeyboardInterrupt, SystemExit):
                tracker.end("KILLED", "killed")
                raise
            except BaseException:
                tracker.end("FAILED", "failed")
                raise
            if id_file:
                id_file.parent.mkdir(parents=True, exist_ok=True)
                id_file.write_text(f"{tracker.run_id}\n")
    except (MlflowException, SQLAlchemyError) as error:
        reason = first_line(getattr(error, "orig", None) or error)
        raise PipelineError(f"tracking in {cfg.tracking.uri or cfg.tracking.store}: {reason}") from error


class MlflowTracker:
    """pipeline.contracts.Tracker over MLflow's client."""

    def __init__(
        self, client: MlflowClient, run_id: str, experiment_id: str, cfg: DictConfig, dataset: Dataset
    ) -> None:
        self.client, self.run_id, self.experiment_id, self.cfg, self.dataset = (
            client,
            run_id,
            experiment_id,
            cfg,
            dataset,
        )

    @property
    def opened_by(self) -> str:
        uri, store = self.cfg.tracking.uri, self.cfg.tracking.store
        if uri is None:
            return f"python -m pipeline.ui {self.run_id}{as_options(store, uri)}"
        if uri.startswith("http"):
            return f"{uri.rstrip('/')}/#/experiments/{self.experiment_id}/runs/{self.run_id}"
        return f"mlflow ui --backend-store-uri {uri}"

    @property
    def origin(self) -> Origin:
        tracking, stored = self.cfg.tracking, StoredRun(self.client, self.client.get_run(self.run_id))
        return replace(stored.origin, found_by=as_options(tracking.store, tracking.uri))

    def log_setting(self) -> None:
        """What is known before training: parameters, configuration, versions and machine, data, uncommitted code."""
        overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
        params = [Param(key, str(value)) for key, value in headline(self.cfg, overrides).items()]
        self.client.log_batch(self.run_id, params=params)
        # observers belong to whoever watched this run; a run by its configuration is nobody's trial
        configuration = OmegaConf.masked_copy(self.cfg, [key for key in self.cfg if key != "observers"])
        self.client.log_text(self.run_id, OmegaConf.to_yaml(configuration, resolve=True), "config.yaml")
        self.client.log_dict(self.run_id, environment.describe(), "environment.json")
        self.client.log_inputs(self.run_id, [self._dataset_input()])
        if diff := git.uncommitted():
            self.log_files([(git.UNCOMMITTED, diff)])

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        now = int(time.time() * 1000)
        self.client.log_batch(self.run_id, [Metric(key, float(value), now, step) for key, value in metrics.items()])

    def log_images(self, images: Iterable[tuple[str, np.ndarray]], step: int) -> None:
        for key, image in images:
            # by default MLflow uploads in the background, and the end of the run waits a second for it
            self.client.log_image(self.run_id, image, key=key, step=step, synchronous=True)

    def log_files(self, files: Iterable[tuple[str, bytes]]) -> None:
        for name, content in files:
            log_file(self.client, self.run_id, name, content)

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        self.client.log_dict(self.run_id, dict(content), name)

    def log_arrays(self, arrays: Mapping[str, np.ndarray], name: str) -> None:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        self.log_files([(name, file.getvalue())])

    def log_model(self, model: Any) -> None:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name) / "model"
            save(model, self.cfg.model.family, self.dataset, self.run_id, folder)
            self.client.log_artifacts(self.run_id, str(folder), "model")

    def set_state(self, state: str) -> None:
        self.client.set_tag(self.run_id, "state", state)

    def end(self, status: str, state: str) -> None:
        """As well as it goes: the store may be what failed."""
        with suppress(Exception):
            self.client.set_terminated(self.run_id, status)
            self.set_state(state)

    def _dataset_input(self) -> DatasetInput:
        data = self.dataset
        sizes = {split: len(getattr(data, split)) for split in ("train", "val", "test")}
        source = OmegaConf.to_container(self.cfg.dataset.source, resolve=True)
        logged = LoggedDataset(
            name=data.name,
            digest=data.sha256[:32],  # MLflow keeps 36 characters; the tag has them all
            source_type="code",
            source=json.dumps(source),
            schema=json.dumps({"image_shape": data.image_shape, "dtype": data.train.images.dtype.name}),
            profile=json.dumps({**sizes, "classes": len(data.class_names), "sha256": data.sha256}),
        )
        return DatasetInput(logged, [InputTag("mlflow.data.context", "training")])


def _run_name(cfg: DictConfig) -> str:
    return cfg.tracking.run_name or f"{cfg.model.name} {cfg.optimizer.name} seed {cfg.seed}".replace(" none", "")


def _tags(cfg: DictConfig, dataset: Dataset) -> dict[str, str]:
    commit = git.commit()
    tags = {
        "kind": "run",
        "dataset_sha256": dataset.sha256,
        "mlflow.user": _user(),
        "mlflow.source.name": "pipeline.train",
        "mlflow.source.type": "LOCAL",
    }
    tags |= {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
    return tags | {str(key): str(value) for key, value in (cfg.tracking.get("tags") or {}).items()}


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
