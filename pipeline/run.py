"""The whole story of one run: data, model, training, evaluation, figures, each step logged as it is done."""

from collections.abc import Iterator
from itertools import tee
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL.Image import Image

from pipeline import datasets, device, gallery, interpret, models, pictures, report, summary, tracking, training
from pipeline.contracts import Dataset, Evaluation, History, Observer, Outcome, Tracker
from pipeline.evaluation import evaluate
from pipeline.figures.confusion_image import confusion_image
from pipeline.figures.kernels import kernel_mosaic


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
    model, prepared = trainer.prepare(model, dataset, cfg)
    observers = [instantiate(node) for node in cfg.observers]
    summary.announce(cfg, dataset, family.count_weights(model))

    with tracking.start(cfg, dataset) as tracker:
        kernels_before = interpret.kernels(model)
        tracker.log_json(pictures.describe(dataset), "input.json")
        if kernels_before:
            tracker.log_arrays(kernels_before, "kernels_before.npz")
        tracker.log_images(_kernels_by_layer(model), step=0)
        history = trainer.fit(prepared, dataset, cfg, [epoch_logger(tracker, model), *observers])
        totals = _totals(history, cfg, dataset, family.count_weights(model))
        tracker.log_metrics(totals)
        if history.stopped_by_observer:
            tracker.set_state("pruned")
            return Outcome(tracker.run_id, "pruned", history, totals, validation=None, test=None)

        evaluations = {
            name: evaluate(split.labels, family.predict(model, split.images), dataset.class_names)
            for name, split in dataset.splits_up_to(cfg.evaluate)
        }
        for name, each in evaluations.items():
            tracker.log_arrays({"labels": each.labels, "probabilities": each.probabilities}, f"predictions_{name}.npz")
        if test := evaluations.get("test"):
            tracker.log_metrics(
                {f"test_{key}": getattr(test, key) for key in ("accuracy", "loss", "calibration_error")}
            )
        evaluation = evaluations[cfg.evaluate]
        tracker.log_json(evaluation.report, "classification_report.json")
        tracker.log_images(_confusion(evaluation, dataset), step=0)
        finished = gallery.Finished(cfg, model, dataset, history, evaluation, kernels_before)
        tracker.log_model(model)
        drawn, told = tee(gallery.draw(cfg.figures, finished))  # once, and not at all where nothing is kept
        tracker.log_files(drawn)
        tracker.log_files(report.tell(finished, told, tracker.origin))
        tracker.set_state("complete")

    outcome = Outcome(tracker.run_id, "complete", history, totals, evaluations["val"], evaluations.get("test"))
    summary.show(dataset, outcome, tracker.opened_by)
    return outcome


def epoch_logger(tracker: Tracker, model: Any) -> Observer:
    """The first observer: logs an epoch's metrics and kernels, as soon as they are known."""

    def log_epoch(epoch: int, metrics: dict[str, float]) -> None:
        tracker.log_metrics(metrics, step=epoch)
        tracker.log_images(_kernels_by_layer(model), step=epoch)

    return log_epoch


def _totals(history: History, cfg: DictConfig, dataset: Dataset, weights: int) -> dict[str, float]:
    return {
        "train_images": min(len(dataset.train), cfg.model.get("fit_limit") or len(dataset.train)),
        "best_val_accuracy": history.best_val_accuracy,
        "best_epoch": history.best_epoch,
        "weights": weights,
        "train_seconds": round(history.seconds, 3),
        "images_per_second": round(history.images_per_second, 1),
    }


def _kernels_by_layer(model: Any) -> Iterator[tuple[str, Image]]:
    for layer, kernels in interpret.kernels(model).items():
        yield f"kernels/{layer}", kernel_mosaic(kernels)


def _confusion(evaluation: Evaluation, dataset: Dataset) -> Iterator[tuple[str, Image]]:
    """Beside the figure: MLflow's charts show none but series of images, for all runs at one step."""
    yield "confusion_matrix", confusion_image(evaluation.confusion, dataset.class_names)
