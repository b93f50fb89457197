"""Keras fit."""

import math
import time
from collections.abc import Mapping, Sequence

import keras
import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from keras.optimizers.schedules import LearningRateSchedule
from omegaconf import DictConfig

from pipeline.contracts import Dataset, History, Observer
from pipeline.errors import DivergedError, PipelineError, first_line
from pipeline.models.network import IMAGES_AT_ONCE
from pipeline.progress import Progress
from pipeline.training import kept


def prepare(model: keras.Model, dataset: Dataset, cfg: DictConfig) -> tuple[keras.Model, keras.Model]:
    """(the network that will be trained, what fit takes).

    Raises PipelineError for a batch larger than the training split, and for what Keras refuses.
    """
    if cfg.batch_size > len(dataset.train):
        raise PipelineError(f"batch_size={cfg.batch_size}: the training split has {len(dataset.train)} images")
    return kept.prepared(model, *optimizer(cfg, _steps(dataset, cfg) * cfg.epochs))


def fit(prepared: keras.Model, dataset: Dataset, cfg: DictConfig, observers: Sequence[Observer]) -> History:
    """Each observer is called after each epoch and may stop the training.

    Raises DivergedError where the loss is no longer finite.
    """
    with Progress(cfg.epochs, _steps(dataset, cfg)) as progress:
        watch = _Watch(cfg, observers, progress)
        images, labels = dataset.train.images, dataset.train.labels
        if cfg.repeat > 1:
            images, labels = (np.concatenate([part] * cfg.repeat) for part in (images, labels))
        started = time.perf_counter()
        prepared.fit(
            images,
            labels,
            batch_size=cfg.batch_size,
            epochs=cfg.epochs,
            validation_data=(dataset.val.images, dataset.val.labels),
            validation_batch_size=IMAGES_AT_ONCE,
            callbacks=[watch, *_early_stopping(cfg)],
            verbose=0,
        )
        seconds = time.perf_counter() - started
    return History(
        epochs=tuple(watch.epochs),
        seconds=seconds,
        images_per_second=len(labels) / float(np.median(watch.epoch_seconds)),
        stopped_by_observer=watch.stopped,
    )


def _steps(dataset: Dataset, cfg: DictConfig) -> int:
    """Of one epoch; the last batch may be smaller."""
    return math.ceil(len(dataset.train) * cfg.repeat / cfg.batch_size)


def optimizer(cfg: DictConfig, steps: int) -> tuple[keras.optimizers.Optimizer, float | LearningRateSchedule]:
    """With its learning rate. steps: of the whole run. Raises PipelineError for what Keras refuses."""
    try:
        schedule = instantiate(_without_name(cfg.schedule), learning_rate=cfg.optimizer.learning_rate, steps=steps)
    except InstantiationException as error:
        raise PipelineError(f"schedule={cfg.schedule.name}: {first_line(error)}") from error
    try:
        return instantiate(cfg.optimizer, learning_rate=schedule), schedule
    except InstantiationException as error:
        raise PipelineError(f"optimizer={cfg.optimizer.name}: {first_line(error)}") from error


def _without_name(node: DictConfig) -> dict:
    return {key: value for key, value in node.items() if key != "name"}


def _early_stopping(cfg: DictConfig) -> list[keras.callbacks.Callback]:
    settings = cfg.early_stopping
    if settings.patience is None:
        return []
    return [keras.callbacks.EarlyStopping("val_accuracy", mode="max", **settings)]


class _Watch(keras.callbacks.Callback):
    """Collects the epochs, shows progress, calls the observers, keeps the best weights; ends a run without a loss."""

    def __init__(self, cfg: DictConfig, observers: Sequence[Observer], progress: Progress) -> None:
        super().__init__()
        self.cfg, self.observers, self.progress = cfg, observers, progress
        self.epochs: list[Mapping[str, float]] = []
        self.epoch_seconds: list[float] = []  # of the training steps, without validation
        self.stopped = False
        self.best_accuracy, self.best_weights = -1.0, None

    def on_epoch_begin(self, epoch: int, logs: Mapping | None = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: Mapping | None = None) -> None:
        loss = float(logs["loss"])
        self._check("training", loss)
        self.progress.batch(batch + 1, loss, float(logs["accuracy"]))

    def on_test_begin(self, logs: Mapping | None = None) -> None:
        self.epoch_seconds.append(time.perf_counter() - self._began)

    def on_epoch_end(self, epoch: int, logs: Mapping | None = None) -> None:
        names = {"loss": "train_loss", "accuracy": "train_accuracy"}
        self._check("validation", logs["val_loss"])  # the last step of an epoch may lose it too
        metrics = {names.get(key, key): round(float(value), 6) for key, value in logs.items()}
        self.epochs.append(metrics)
        if self.cfg.best_weights and metrics["val_accuracy"] > self.best_accuracy:
            self.best_accuracy, self.best_weights = metrics["val_accuracy"], self.model.get_weights()
        answers = [observer(epoch + 1, metrics) for observer in self.observers]
        self.progress.epoch(epoch + 1, metrics)  # shown when it is logged
        if any(answers):
            self.stopped = self.model.stop_training = True

    def on_train_end(self, logs: Mapping | None = None) -> None:
        if self.best_weights is not None:
            self.model.set_weights(self.best_weights)

    def _check(self, split: str, loss: float) -> None:
        if not math.isfinite(loss):
            raise DivergedError(
                f"the {split} loss became {loss} in epoch {len(self.epochs) + 1} with optimizer.learning_rate="
                f"{self.cfg.optimizer.learning_rate:g}; try a tenth of it, or standardized pixels (dataset.standardize)"
            )
