"""What crosses the borders between the rooms: frozen dataclasses of NumPy arrays and plain numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

if TYPE_CHECKING:
    from PIL.Image import Image

SPLIT_NAMES = {"val": "validation", "test": "test"}  # of those that a run is evaluated on, for people


@dataclass(frozen=True)
class Split:
    """images: (n, height, width, channels), pixels as the source has them; labels: (n,) whole numbers from 0."""

    images: np.ndarray
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, eq=False)  # the same one or another: arrays are neither compared nor hashed
class Dataset:
    """Raw images in three splits. Models compute `pixels * scale + offset` first: see datasets.scaling."""

    name: str
    train: Split
    val: Split
    test: Split
    class_names: tuple[str, ...]
    scale: float | np.ndarray
    offset: float | np.ndarray
    sha256: str

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return self.train.images.shape[1:]

    def splits_up_to(self, last: str) -> list[tuple[str, Split]]:
        """What a run evaluates at its end: val, and test only where that is asked for."""
        return [("val", self.val)] + ([("test", self.test)] if last == "test" else [])

    def with_validation_in_training(self) -> "Dataset":
        """The training split with the validation images behind it, which stay the validation split as well."""
        images = np.concatenate([self.train.images, self.val.images])
        labels = np.concatenate([self.train.labels, self.val.labels])
        return replace(self, train=Split(images, labels))


@dataclass(frozen=True)
class History:
    """One mapping of metrics per epoch (train_loss, train_accuracy, val_loss, val_accuracy), the first of epoch 1."""

    epochs: tuple[Mapping[str, float], ...]
    seconds: float
    images_per_second: float
    stopped_by_observer: bool = False

    @property
    def best_epoch(self) -> int:
        """The epoch with the highest validation accuracy, the first of equals; epochs count from 1."""
        return 1 + int(np.argmax([metrics["val_accuracy"] for metrics in self.epochs]))

    @property
    def best_val_accuracy(self) -> float:
        return self.epochs[self.best_epoch - 1]["val_accuracy"]


@dataclass(frozen=True)
class Evaluation:
    """How well predictions fit labels. confusion[i, j] counts images of class i that were taken for class j."""

    labels: np.ndarray  # (n,)
    probabilities: np.ndarray  # (n, classes)
    accuracy: float
    loss: float  # mean cross-entropy in nats
    calibration_error: float  # expected, over 15 bins
    confusion: np.ndarray
    report: Mapping[str, Any]  # scikit-learn's classification_report

    def most_confused(self, count: int = 3) -> list[tuple[int, int, int]]:
        """(class, other class, mistakes in both directions) of the pairs with most mistakes, most first."""
        both = np.triu(self.confusion + self.confusion.T, k=1)
        order = np.argsort(both, axis=None, kind="stable")[::-1][:count]
        pairs = [(int(i), int(j), int(both[i, j])) for i, j in zip(*np.unravel_index(order, both.shape), strict=True)]
        return [pair for pair in pairs if pair[2] > 0]


@dataclass(frozen=True)
class Calibration:
    """How far the highest probability can be believed: bins of equal width over [0, 1].

    confidence, accuracy: (bins,) means, NaN where a bin is empty; count: (bins,); error: the expected one.
    """

    confidence: np.ndarray
    accuracy: np.ndarray
    count: np.ndarray
    error: float


@dataclass(frozen=True)
class Layer:
    """A layer of a network, or a step of an estimator. output_shape: of one image."""

    name: str
    kind: str
    output_shape: tuple[int, ...]
    weights: int


@dataclass(frozen=True)
class Origin:
    """Which run something is of, where that is kept."""

    run_id: str
    name: str
    began: datetime
    commit: str | None
    changed: bool  # was there code on top of the commit?
    found_by: str = ""  # what a command needs behind the id: --store ...


@dataclass(frozen=True)
class Outcome:
    """What a finished run says of itself. The evaluations are None where the run was pruned, test also without it."""

    run_id: str | None
    state: str  # complete | pruned
    history: History
    totals: Mapping[str, float]  # what is logged once: best_val_accuracy, weights, train_seconds, ...
    validation: Evaluation | None
    test: Evaluation | None

    def objective(self, names: str | Sequence[str]) -> float | tuple[float, ...]:
        """The metric of this name, or several; those by epoch have their last value."""
        metrics = {**self.history.epochs[-1], **self.totals}
        return metrics[names] if isinstance(names, str) else tuple(metrics[name] for name in names)


class Observer(Protocol):
    """Called after each epoch (counted from 1); a true answer stops the training."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> bool | None: ...


class Tracker(Protocol):
    """Where a run leaves what it finds."""

    run_id: str | None
    opened_by: str | None  # the command or the address that shows the run to a person
    origin: Origin | None

    def log_metrics(self, metrics: Mapping[str, float], step: int = 0) -> None: ...

    def log_images(self, images: "Iterable[tuple[str, Image]]", step: int) -> None: ...

    def log_files(self, files: Iterable[tuple[str, bytes]]) -> None: ...

    def log_json(self, content: Mapping[str, Any], name: str) -> None: ...

    def log_arrays(self, arrays: Mapping[str, np.ndarray], name: str) -> None: ...

    def log_model(self, model: Any) -> None: ...

    def set_state(self, state: str) -> None: ...
