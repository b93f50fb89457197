"""scikit-learn fit, under the same contract: one epoch, after which everything is known."""

import time
from collections.abc import Sequence

from omegaconf import DictConfig
from sklearn.pipeline import Pipeline

from pipeline.contracts import Dataset, History, Observer
from pipeline.errors import PipelineError, first_line
from pipeline.evaluation import evaluate
from pipeline.models.estimator import predict, rows
from pipeline.training.progress import Progress


def prepare(model: Pipeline, dataset: Dataset, cfg: DictConfig) -> None:
    """Raises PipelineError for a setting that the estimator refuses."""
    try:
        # what the fit of scikit-learn's own estimators begins with
        getattr(model[-1], "_validate_params", lambda: None)()
    except ValueError as error:
        raise PipelineError(f"model={cfg.model.name}: {' '.join(str(error).split())}") from error


def fit(model: Pipeline, dataset: Dataset, cfg: DictConfig, observers: Sequence[Observer]) -> History:
    """Fit to the training split in one go. Losses are the cross-entropy of the predicted probabilities."""
    with Progress(epochs=1, steps=1) as progress:
        started = time.perf_counter()
        try:
            model.fit(rows(dataset.train.images), dataset.train.labels)
        except (ValueError, TypeError) as error:
            raise PipelineError(f"model={cfg.model.name}: {first_line(error)}") from error
        seconds = time.perf_counter() - started
        train, val = (
            evaluate(part.labels, predict(model, part.images), dataset.class_names)
            for part in (dataset.train, dataset.val)
        )
        metrics = {
            "train_loss": train.loss,
            "train_accuracy": train.accuracy,
            "val_loss": val.loss,
            "val_accuracy": val.accuracy,
        }
        answers = [observer(1, metrics) for observer in observers]
        progress.epoch(1, metrics)
    return History((metrics,), seconds, len(dataset.train) / seconds, stopped_by_observer=any(answers))
