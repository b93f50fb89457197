"""scikit-learn fit, under the same contract: one epoch, after which everything is known."""

import time
from collections.abc import Sequence

import numpy as np
from joblib import parallel_config
from omegaconf import DictConfig
from sklearn.pipeline import Pipeline
from sklearn.utils import resample

from pipeline.contracts import Dataset, History, Observer, Split
from pipeline.errors import PipelineError, first_line
from pipeline.evaluation import evaluate
from pipeline.models.estimator import predict, rows
from pipeline.progress import in_words, waiting

MEASURED = 2_000  # nearest neighbors take as long for an image that they know as for a new one


def prepare(model: Pipeline, dataset: Dataset, cfg: DictConfig) -> tuple[Pipeline, Pipeline]:
    """Raises PipelineError for a setting that the estimator refuses, and a limit that leaves out a class."""
    _limited(dataset.train, cfg)
    try:
        # what the fit of scikit-learn's own estimators begins with
        getattr(model[-1], "_validate_params", lambda: None)()
    except ValueError as error:
        raise PipelineError(f"model={cfg.model.name}: {' '.join(str(error).split())}") from error
    return model, model


def fit(model: Pipeline, dataset: Dataset, cfg: DictConfig, observers: Sequence[Observer]) -> History:
    """Fit to the training split, or to as much of it as model.fit_limit says, in one go.

    Losses are the cross-entropy of the predicted probabilities; training metrics are those of about MEASURED images.
    """
    fitted = _limited(dataset.train, cfg)
    every = max(1, len(fitted) // MEASURED)
    measured = Split(fitted.images[::every], fitted.labels[::every])
    started = time.perf_counter()
    try:
        # threads share the images and end with the process; the heavy parts let go of Python's lock
        with parallel_config("threading"), waiting(f"fitting {cfg.model.name} to {len(fitted):,} images"):
            model.fit(rows(fitted.images), fitted.labels)
        seconds = time.perf_counter() - started
        predicted = [predict(model, part.images) for part in (measured, dataset.val)]
    except (ValueError, TypeError) as error:
        raise PipelineError(f"model={cfg.model.name}: {first_line(error)}") from error
    train, val = (
        evaluate(part.labels, probabilities, dataset.class_names)
        for part, probabilities in zip((measured, dataset.val), predicted, strict=True)
    )
    metrics = {
        "train_loss": train.loss,
        "train_accuracy": train.accuracy,
        "val_loss": val.loss,
        "val_accuracy": val.accuracy,
    }
    answers = [observer(1, metrics) for observer in observers]
    print(f"fitted in {seconds:.1f} s  {in_words(metrics)}", flush=True)
    return History((metrics,), seconds, len(fitted) / seconds, stopped_by_observer=any(answers))


def _limited(train: Split, cfg: DictConfig) -> Split:
    """Of the training split, model.fit_limit images drawn by the run's seed, about the same share of each class."""
    limit = cfg.model.get("fit_limit")
    if limit is None or limit >= len(train):
        return train
    try:
        images, labels = resample(
            train.images, train.labels, replace=False, n_samples=limit, random_state=cfg.seed, stratify=train.labels
        )
    except ValueError as error:
        raise PipelineError(f"model.fit_limit={limit}: {first_line(error)}") from error
    absent = np.setdiff1d(train.labels, labels)
    if len(absent):
        raise PipelineError(f"model.fit_limit={limit}: leaves out all images of class {absent[0]}; take more")
    return Split(images, labels)
