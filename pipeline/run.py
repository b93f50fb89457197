"""The whole story of one run: data, model, training, evaluation, figures, each step logged as it is done."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from hydra.utils import instantiate
from matplotlib.figure import Figure
from omegaconf import DictConfig

from pipeline import datasets, device, interpret, models, summary, tracking, training
from pipeline.contracts import Dataset, Evaluation, History, Observer, Outcome, Split, Tracker
from pipeline.evaluation import evaluate
from pipeline.figures.confusion import confusion_matrix
from pipeline.figures.curves import learning_curves
from pipeline.figures.feature_maps import feature_maps
from pipeline.figures.kernels import kernel_images, kernel_mosaic, weight_maps

SPLIT_NAMES = {"val": "validation", "test": "test"}


def run(cfg: DictConfig) -> Outcome:
    """Train, evaluate and log the model that a checked configuration describes.

    Raises PipelineError where data, model and settings don't go together, before anything is logged.
    """
    dataset = datasets.load(cfg.dataset)
    if cfg.train_on == "train_val":
        dataset = dataset.with_validation_in_training()
    if cfg.model.family == "network":
        device.prepare(cfg.device, cfg.precision, cfg.seed)
    family, trainer = models.family(cfg.model.family), training.family(cfg.model.family)
    model = family.build(cfg, dataset)
    trainer.prepare(model, dataset, cfg)
    observers = [instantiate(node) for node in cfg.observers]
    summary.announce(cfg, dataset, family.count_weights(model))

    with tracking.start(cfg, dataset) as tracker:
        tracker.log_arrays(interpret.kernels(model), "kernels_before.npz")
        tracker.log_images(_kernels_by_layer(model), step=0)
        history = trainer.fit(model, dataset, cfg, [_epoch_logger(tracker, model), *observers])
        totals = _totals(history, family.count_weights(model))
        tracker.log_metrics(totals)
        if history.stopped_by_observer:
            tracker.set_state("pruned")
            return Outcome(tracker.run_id, "pruned", history, totals, validation=None, test=None)

        evaluations = {}
        for name, split in dataset.splits_up_to(cfg.evaluate):
            probabilities = family.predict(model, split.images)
            evaluations[name] = evaluate(split.labels, probabilities, dataset.class_names)
            tracker.log_arrays({"labels": split.labels, "probabilities": probabilities}, f"predictions_{name}.npz")
        if test := evaluations.get("test"):
            tracker.log_metrics({"test_accuracy": test.accuracy, "test_loss": test.loss})
        tracker.log_json(evaluations[cfg.evaluate].report, "classification_report.json")
        tracker.log_figures(_figures(model, dataset, history, evaluations[cfg.evaluate], cfg.evaluate))
        tracker.log_model(model)
        tracker.set_state("complete")

    outcome = Outcome(tracker.run_id, "complete", history, totals, evaluations["val"], evaluations.get("test"))
    summary.show(dataset, outcome, tracker.opened_by)
    return outcome


def _epoch_logger(tracker: Tracker, model: Any) -> Observer:
    """The first observer: logs an epoch's metrics and kernels, as soon as they are known."""

    def log_epoch(epoch: int, metrics: dict[str, float]) -> None:
        tracker.log_metrics(metrics, step=epoch)
        tracker.log_images(_kernels_by_layer(model), step=epoch)

    return log_epoch


def _totals(history: History, weights: int) -> dict[str, float]:
    return {
        "best_val_accuracy": history.best_val_accuracy,
        "best_epoch": history.best_epoch,
        "weights": weights,
        "train_seconds": round(history.seconds, 3),
        "images_per_second": round(history.images_per_second, 1),
    }


def _kernels_by_layer(model: Any) -> Iterator[tuple[str, np.ndarray]]:
    for layer, kernels in interpret.kernels(model).items():
        yield f"kernels/{layer}", kernel_mosaic(kernels)


def _figures(
    model: Any, dataset: Dataset, history: History, evaluation: Evaluation, split: str
) -> Iterator[tuple[str, Figure]]:
    """(artifact's name, figure), each drawn when it is asked for."""
    yield "curves", learning_curves(history)
    yield "confusion_matrix", confusion_matrix(evaluation, dataset.class_names, SPLIT_NAMES[split])
    for layer, kernels in interpret.kernels(model).items():
        yield f"kernels_{layer}", kernel_images(kernels, layer)
    for layer, maps in interpret.weight_maps(model, dataset.image_shape).items():
        one_each = layer in ("output", "coefficients") and len(maps) == len(dataset.class_names)
        names = dataset.class_names if one_each else None
        yield f"weight_maps_{layer}", weight_maps(maps, layer, names)
    # the first image of each class that has one in the split
    shown: Split = getattr(dataset, split)
    classes, first = np.unique(shown.labels, return_index=True)
    images, names = shown.images[first], [dataset.class_names[index] for index in classes]
    for layer, maps in interpret.feature_maps(model, images).items():
        yield f"feature_maps_{layer}", feature_maps(images, maps, names, layer)
