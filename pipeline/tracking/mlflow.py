"""One run in MLflow, by the names in README: metrics by epoch, figures, configuration, model, tags, state."""

import getpass
import io
import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from PIL.Image import Image

from pipeline import environment
from pipeline.contracts import Dataset, Origin
from pipeline.stored_runs import as_options
from pipeline.tracking import git, outbox
from pipeline.tracking.entries import HAS_IMAGES, Direct, Log, now, put_end, put_file, put_images, put_metrics
from pipeline.tracking.model import save
from pipeline.tracking.params import headline
from pipeline.tracking.server import is_server, told
from pipeline.tracking.store import existing_folder, open_store


@contextmanager
def start(cfg: DictConfig, dataset: Dataset) -> Iterator["MlflowTracker"]:
    """A run that ends FINISHED, FAILED where an exception leaves the block, or KILLED by Ctrl-C or SIGTERM.

    Raises PipelineError where the store cannot be used, or a server has not got the run; what was logged before stays.
    """
    id_file = Path(cfg.tracking.id_file).resolve() if cfg.tracking.get("id_file") else None
    tags, began = _tags(cfg, dataset), now()
    with told(f"tracking in {cfg.tracking.uri or cfg.tracking.store}"):
        with _log(cfg, tags, began) as log:
            tracker = MlflowTracker(log, cfg, dataset, tags, began)
            try:
                tracker.log_setting()
                yield tracker
                put_end(log, "FINISHED")
            except (KeyboardInterrupt, SystemExit):
                tracker.end("KILLED", "killed")
                raise
            except BaseException:
                tracker.end("FAILED", "failed")
                raise
        if id_file:
            id_file.parent.mkdir(parents=True, exist_ok=True)
            id_file.write_text(f"{tracker.run_id}\n")


@contextmanager
def _log(cfg: DictConfig, tags: Mapping[str, str], began: int) -> Iterator[Log]:
    """A new run, where the configuration wants it."""
    name, tracking = _run_name(cfg), cfg.tracking
    if is_server(tracking.uri):
        run = {"uri": tracking.uri, "experiment": cfg.dataset.name, "name": name, "tags": tags, "began": began}
        patience, required = outbox.patience(tracking), tracking.get("unsent") != "keep"
        patience = patience if required else min(patience, outbox.IN_A_HURRY)
        with outbox.opened(Path(tracking.store), run, required=required, patience=patience) as log:
            yield log
        return
    client, experiment_id = open_store(tracking.store, tracking.uri, cfg.dataset.name)
    around = None if tracking.uri else existing_folder(tracking.store).parent
    run_id = client.create_run(experiment_id, began, tags, name).info.run_id
    with tempfile.TemporaryDirectory() as files:
        yield Direct(client, run_id, experiment_id, Path(files), around)


class MlflowTracker:
    """pipeline.contracts.Tracker over a run's log."""

    def __init__(self, log: Log, cfg: DictConfig, dataset: Dataset, tags: Mapping[str, str], began: int) -> None:
        self.log, self.cfg, self.dataset, self.tags, self.began = log, cfg, dataset, tags, began
        self.has_images = False

    @property
    def run_id(self) -> str:
        return self.log.run_id

    @property
    def opened_by(self) -> str:
        uri, store = self.cfg.tracking.uri, self.cfg.tracking.store
        if uri is None:
            return f"python -m pipeline.ui {self.run_id}{as_options(store, uri)}"
        if is_server(uri):
            return self.log.opened_by
        return f"mlflow ui --backend-store-uri {uri}"

    @property
    def origin(self) -> Origin:
        tracking, began = self.cfg.tracking, datetime.fromtimestamp(self.began / 1000)
        found_by = as_options(tracking.store, tracking.uri)
        commit = self.tags.get("git_commit")
        return Origin(self.run_id, _run_name(self.cfg), began, commit, self.changed, found_by)

    def log_setting(self) -> None:
        """What is known before training: parameters, configuration, versions and machine, data, uncommitted code."""
        overrides = HydraConfig.get().overrides.task if HydraConfig.initialized() else ()
        self.log.put({"params": {key: str(value) for key, value in headline(self.cfg, overrides).items()}})
        # observers belong to whoever watched this run; a run by its configuration is nobody's trial
        configuration = OmegaConf.masked_copy(self.cfg, [key for key in self.cfg if key != "observers"])
        put_file(self.log, "config.yaml", OmegaConf.to_yaml(configuration, resolve=True))
        self.log_json(environment.describe(), "environment.json")
        self.log.put({"dataset": self._dataset()})
        _, diff = _code()
        self.changed = bool(diff)
        if diff:
            put_file(self.log, git.UNCOMMITTED, diff)

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None:
        put_metrics(self.log, metrics, step)

    def log_images(self, images: Iterable[tuple[str, Image]], step: int) -> None:
        if put_images(self.log, images, step) and not self.has_images:
            self.log.put({"tags": HAS_IMAGES})
            self.has_images = True

    def log_files(self, files: Iterable[tuple[str, bytes]]) -> None:
        for name, content in files:
            put_file(self.log, name, content)

    def log_json(self, content: Mapping[str, Any], name: str) -> None:
        put_file(self.log, name, json.dumps(dict(content), indent=2))

    def log_arrays(self, arrays: Mapping[str, np.ndarray], name: str) -> None:
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)
        put_file(self.log, name, file.getvalue())

    def log_model(self, model: Any) -> None:
        save(model, self.cfg.model.family, self.dataset, self.run_id, self.log.files / "model")
        self.log.put({"files": ["model"]})

    def set_state(self, state: str) -> None:
        self.log.put({"tags": {"state": state}})

    def end(self, status: str, state: str) -> None:
        """As well as it goes: the store may be what failed."""
        with suppress(Exception):
            self.set_state(state)
            put_end(self.log, status)

    def _dataset(self) -> dict[str, str]:
        data = self.dataset
        sizes = {split: len(getattr(data, split)) for split in ("train", "val", "test")}
        source = OmegaConf.to_container(self.cfg.dataset.source, resolve=True)
        return {
            "name": data.name,
            "digest": data.sha256[:32],  # MLflow keeps 36 characters; the tag has them all
            "source_type": "code",
            "source": json.dumps(source),
            "schema": json.dumps({"image_shape": data.image_shape, "dtype": data.train.images.dtype.name}),
            "profile": json.dumps({**sizes, "classes": len(data.class_names), "sha256": data.sha256}),
        }


def _run_name(cfg: DictConfig) -> str:
    return cfg.tracking.run_name or f"{cfg.model.name} {cfg.optimizer.name} seed {cfg.seed}".replace(" none", "")


def _tags(cfg: DictConfig, dataset: Dataset) -> dict[str, str]:
    commit, _ = _code()
    tags = {
        "kind": "run",
        "dataset_sha256": dataset.sha256,
        "mlflow.user": _user(),
        "mlflow.source.name": "pipeline.train",
        "mlflow.source.type": "LOCAL",
    }
    tags |= {"git_commit": commit, "mlflow.source.git.commit": commit} if commit else {}
    return tags | {str(key): str(value) for key, value in (cfg.tracking.get("tags") or {}).items()}


@cache
def _code() -> tuple[str | None, bytes]:
    """The commit, and what was uncommitted: asked once, for a process goes on with the code that it has imported."""
    return git.commit(), git.uncommitted()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user without a name
        return "unknown"
