"""Runs, read back from where they were logged."""

import io
import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import chdir, contextmanager, nullcontext
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.entities import LifecycleStage, Run
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repo import ArtifactRepository
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from omegaconf import DictConfig, OmegaConf

from pipeline.contracts import History, Origin
from pipeline.errors import PipelineError, first_line
from pipeline.tracking import git
from pipeline.tracking.model import load
from pipeline.tracking.server import told
from pipeline.tracking.store import DATABASE, existing_client, log_file

SHORT = 8  # characters of an id that people read
IMAGE = r"images/(?P<name>.+?)\+step\+(?P<step>\d+)\+.*\.png$"  # MLflow's file names; ~ stands for the slash in a name
BY_EPOCH = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


@contextmanager
def open_run(word: str, store: str = "mlruns", uri: str | None = None) -> Iterator["StoredRun"]:
    """A run that trained to its end, by its id, the beginning of that or its name, for as long as the block lasts.

    Raises PipelineError where there is no such run or more than one, it did not finish, or it can't be read.
    """
    with find_runs([word], store, uri) as found:
        if len(found) > 1:
            ids = ", ".join(each.run_id[:SHORT] for each in found[:5])
            raise PipelineError(f"{word}: there are {len(found)} of them; take one by its id: {ids}")
        if not found[0].complete:
            raise PipelineError(f"{word}: did not train to its end ({found[0].state}); there is no model to look at")
        yield found[0]


@contextmanager
def find_runs(words: Sequence[str], store: str = "mlruns", uri: str | None = None) -> Iterator[list["StoredRun"]]:
    """The runs that words stand for, in their order and each once: ids, their beginnings, names of one run or several,
    filters in MLflow's grammar; without words all, the latest first. Those that failed or were pruned are among them.

    Raises PipelineError for a word without a run, a deleted run, a sweep's own, and a store that can't be read.
    """
    if uri is None and not (Path(store) / DATABASE).exists():
        raise PipelineError(f"{Path(store) / DATABASE}: no such file; name the folder of the runs with --store")
    if (uri or "").startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///").partition("?")[0]).exists():
        raise PipelineError(f"{uri}: no such file; name the address of the runs with --uri")  # MLflow would create it
    with reading(store, uri) as client:
        runs = [run for word in words for run in _named(client, word, uri or store)] if words else _all(client)
        yield [StoredRun(client, run) for run in {run.info.run_id: run for run in runs}.values()]


def _all(client: MlflowClient) -> list[Run]:
    return [run for run in search(client, "") if run.data.tags.get("kind") != "sweep"]


def _named(client: MlflowClient, word: str, where: str) -> list[Run]:
    found = matching(client, word, where)
    runs = [run for run in found if run.data.tags.get("kind") != "sweep"]
    if not runs:
        name = found[0].data.tags.get("sweep", word)
        raise PipelineError(f"{word}: is a sweep, not a run; its trials are \"tags.sweep = '{name}'\"")
    return runs


def matching(client: MlflowClient, word: str, where: str) -> list[Run]:
    """Runs and sweeps, at least one of them."""
    found = _by_id(client, word) or ([] if "'" in word else search(client, f"attributes.run_name = '{word}'"))
    if not found and re.search(r"[=<>]|\b(LIKE|ILIKE|IN)\b", word, re.IGNORECASE):
        try:
            found = search(client, word)
        except MlflowException as error:
            raise PipelineError(f"{word}: no run has this name, and as a filter: {first_line(error)}") from None
    if not found and re.fullmatch(r"[0-9a-f]{4,}", word):
        found = [run for run in search(client, "") if run.info.run_id.startswith(word)]
    if not found:
        raise PipelineError(f"{word}: no such run in {where}")
    return found


def _by_id(client: MlflowClient, run_id: str) -> list[Run]:
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return []
        raise
    if run.info.lifecycle_stage == LifecycleStage.DELETED:
        raise PipelineError(f"{run_id}: was deleted; restore it first, if `mlflow gc` has not taken its files")
    return [run]


def search(client: MlflowClient, query: str, most: int = 50_000) -> list[Run]:
    """The latest first."""
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return list(client.search_runs(experiments, query, max_results=most, order_by=["attributes.start_time DESC"]))


@contextmanager
def finished_runs(store: str) -> Iterator[list["StoredRun"]]:
    """All runs of a store that trained to their end, the latest first; none where there is no store."""
    if not (Path(store) / DATABASE).exists():
        yield []
        return
    with reading(store, None) as client:
        query = "tags.kind = 'run' and tags.state = 'complete' and attributes.status = 'FINISHED'"
        yield [StoredRun(client, run) for run in search(client, query)]


@contextmanager
def reading(store: str, uri: str | None) -> Iterator[MlflowClient]:
    """A client, in the folder around the store: its paths are relative to that. Raises PipelineError for what fails."""
    folder = Path(store).resolve()
    with told(uri or store), nullcontext() if uri else chdir(folder.parent):
        yield existing_client(str(folder), uri)


class StoredRun:
    """What a run left in MLflow."""

    def __init__(self, client: MlflowClient, run: Run) -> None:
        self.client, self.run = client, run
        self.run_id: str = run.info.run_id

    @cached_property
    def artifacts(self) -> set[str]:
        """The names at the run's root."""
        return {item.path for item in self._files.list_artifacts()}

    @property
    def name(self) -> str:
        return self.run.info.run_name

    @property
    def state(self) -> str:
        """complete, pruned, failed, killed, running."""
        return self.run.data.tags.get("state", self.run.info.status.lower())

    @property
    def complete(self) -> bool:
        """Did it train to its end, and leave a model and predictions?"""
        return self.run.info.status == "FINISHED" and self.state == "complete"

    @property
    def origin(self) -> Origin:
        began = datetime.fromtimestamp(self.run.info.start_time / 1000)
        commit = self.run.data.tags.get("git_commit")
        return Origin(self.run_id, self.name, began, commit, changed=git.UNCOMMITTED in self.artifacts)

    @property
    def config(self) -> DictConfig:
        return OmegaConf.create(self._read("config.yaml").decode())

    def json(self, name: str) -> dict[str, Any] | None:
        return json.loads(self._read(name)) if name in self.artifacts else None

    def read(self, name: str) -> bytes | None:
        return self._read(name) if name in self.artifacts else None

    def arrays(self, name: str) -> dict[str, np.ndarray] | None:
        """Those of an .npz file; None where the run has no such file."""
        if name not in self.artifacts:
            return None
        with np.load(io.BytesIO(self._read(name)), allow_pickle=False) as loaded:
            return {key: loaded[key] for key in loaded.files}

    def history(self) -> History:
        once = self.run.data.metrics
        return History(self.epochs(), once["train_seconds"], once["images_per_second"])

    def epochs(self) -> tuple[dict[str, float], ...]:
        """The metrics of each epoch; as many as there were, of a run that did not finish."""
        values = {
            name: {point.step: point.value for point in self.client.get_metric_history(self.run_id, name)}
            for name in BY_EPOCH
        }
        whole = set.intersection(*(set(steps) for steps in values.values()))
        return tuple({name: values[name][step] for name in BY_EPOCH} for step in sorted(whole))

    def last_images(self, series: str) -> dict[str, bytes]:
        """Of each image series below this name, the PNG of its last step: `kernels` has one for each convolution."""
        latest: dict[str, tuple[int, str]] = {}
        if "images" in self.artifacts:
            for item in self._files.list_artifacts("images"):
                if match := re.search(IMAGE, item.path):
                    name, step = match["name"], int(match["step"])
                    if name.startswith(f"{series}~"):
                        latest[name] = max(latest.get(name, (-1, "")), (step, item.path))
        return {name.removeprefix(f"{series}~"): self._read(path) for name, (_, path) in sorted(latest.items())}

    def model(self) -> Any:
        """The Keras model or scikit-learn pipeline. Raises PipelineError where there is none that loads safely."""
        if "model" not in self.artifacts:
            raise PipelineError(f"{self.run_id}: has no model")
        with self._copy("model") as folder:
            return load(self.config.model.family, folder)

    def figures(self) -> list[tuple[str, bytes]]:
        """(file's name, PNG) of those at the run's root."""
        names = sorted(name for name in self.artifacts if name.endswith(".png"))
        return [(name, self._read(name)) for name in names]

    def add_file(self, name: str, content: bytes) -> bool:
        """Was it added? What the run already has stays as it is."""
        new = name not in self.artifacts
        if new:
            log_file(self.client, self.run_id, name, content)
        return new

    def _read(self, name: str) -> bytes:
        with self._copy(name) as path:
            return path.read_bytes()

    @contextmanager
    def _copy(self, name: str) -> Iterator[Path]:
        """A file or folder for as long as the block lasts; a copy that MLflow makes where it likes would stay."""
        with tempfile.TemporaryDirectory() as folder:
            yield Path(self._files.download_artifacts(name, folder))

    @cached_property
    def _files(self) -> ArtifactRepository:
        """Found once; the client looks the run up for every file."""
        return get_artifact_repository(self.run.info.artifact_uri, tracking_uri=self.client.tracking_uri)
