"""What a run logs, as plain data: it can be kept on disk, and told to a store twice without harm."""

import shutil
import time
import uuid
from collections.abc import Iterable, Mapping
from contextlib import chdir, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mlflow import MlflowClient
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.tracking.multimedia import COMPRESSED_IMAGE_SIZE
from PIL.Image import Image

HAS_IMAGES = {"mlflow.loggedImages": "True"}

Entry = Mapping[str, Any]  # one of those that `apply` knows


class Log(Protocol):
    """Where a run's entries go: a store at once, or an outbox."""

    run_id: str
    experiment_id: str | None
    files: Path  # a file lies here, by the name that it has in the run, before an entry names it
    busy: bool  # is there something that the store has not heard?

    def put(self, entry: Entry) -> None: ...


@dataclass(frozen=True)
class Direct(Log):
    """Into a store that answers at once. around: the folder that its artifacts' paths are relative to."""

    client: MlflowClient
    run_id: str
    experiment_id: str
    files: Path
    around: Path | None = None
    busy: bool = False

    def put(self, entry: Entry) -> None:
        with chdir(self.around) if self.around else nullcontext():
            apply(entry, self.client, self.run_id, self.files)
        for name in entry.get("files", ()):
            path = self.files / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def apply(entry: Entry, client: MlflowClient, run_id: str, folder: Path) -> None:
    """Tell a store. A repetition changes nothing: metrics bear their time, files and tags replace themselves."""
    match entry:
        case {"params": params}:
            client.log_batch(run_id, params=[Param(key, value) for key, value in params.items()])
        case {"metrics": metrics, "step": step, "time": then}:
            client.log_batch(run_id, [Metric(key, value, then, step) for key, value in metrics.items()])
        case {"tags": tags}:
            client.log_batch(run_id, tags=[RunTag(key, value) for key, value in tags.items()])
        case {"dataset": dataset}:
            _log_dataset(client, run_id, Dataset(**dataset))
        case {"files": names}:
            for name in names:
                _upload(client, run_id, folder, name)
        case {"ended": status, "time": then}:
            client.set_terminated(run_id, status, then)


def _log_dataset(client: MlflowClient, run_id: str, dataset: Dataset) -> None:
    """MLflow looks for it and adds it, not in one: of two runs that are the first with it, one is refused."""
    inputs = [DatasetInput(dataset, [InputTag("mlflow.data.context", "training")])]
    try:
        client.log_inputs(run_id, inputs)
    except MlflowException:
        client.log_inputs(run_id, inputs)  # which finds the other's; or raises what else it was


def _upload(client: MlflowClient, run_id: str, folder: Path, name: str) -> None:
    path, above = folder / name, name.rpartition("/")[0]
    if path.is_dir():
        client.log_artifacts(run_id, str(path), name)
    else:
        client.log_artifact(run_id, str(path), above or None)


def put_metrics(log: Log, metrics: Mapping[str, float], step: int) -> None:
    log.put({"metrics": {key: float(value) for key, value in metrics.items()}, "step": step, "time": now()})


def put_file(log: Log, name: str, content: bytes | str) -> None:
    """Whole or not at all: one of the same name may be on its way."""
    path = log.files / name
    unfinished = path.with_name(f"{path.name}.unfinished")
    unfinished.write_bytes(content if isinstance(content, bytes) else content.encode())
    unfinished.replace(path)
    log.put({"files": [name]})


def put_images(log: Log, images: Iterable[tuple[str, Image]], step: int) -> bool:
    """(series, image): each with its small copy, by the names that MLflow's client gives and its UI reads.

    That client would make other names at every try, and an image that is sent twice would be there twice; and it takes
    its time for each, of which an epoch has several. The UI wants a tag too, HAS_IMAGES. Says if there were any.
    """
    names = []
    (log.files / "images").mkdir(exist_ok=True)
    for series, image in images:
        name = f"images/{series.replace('/', '~')}+step+{step}+timestamp+{now()}+{uuid.uuid4()}"
        image.save(log.files / f"{name}.png", compress_level=1)
        small = image.convert("RGB")
        small.thumbnail((COMPRESSED_IMAGE_SIZE, COMPRESSED_IMAGE_SIZE), reducing_gap=1)
        small.save(log.files / f"{name}+compressed.webp", method=0)
        names += [f"{name}.png", f"{name}+compressed.webp"]
    if names:
        log.put({"files": names})
    return bool(names)


def put_end(log: Log, status: str) -> None:
    log.put({"ended": status, "time": now()})


def now() -> int:
    """In MLflow's milliseconds."""
    return int(time.time() * 1000)
