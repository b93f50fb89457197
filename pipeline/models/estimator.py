"""scikit-learn estimators behind the same contract: raw pixels in, probabilities out."""

import math
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from joblib import Parallel, delayed
from omegaconf import DictConfig
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from pipeline.contracts import Dataset, Layer
from pipeline.errors import PipelineError, first_line
from pipeline.progress import counted

AT_ONCE = 500  # images that a thread predicts at a time


def build(cfg: DictConfig, dataset: Dataset) -> Pipeline:
    """Images or rows of raw pixels -> the dataset's scaling -> cfg.model.estimator. All of it is scikit-learn's own."""
    try:
        estimator = instantiate(cfg.model.estimator, _convert_="all")
    except InstantiationException as error:
        raise PipelineError(f"model.estimator: {first_line(error)}") from error
    features = math.prod(dataset.image_shape)
    scale, offset = (
        np.broadcast_to(part, dataset.image_shape).ravel().astype(np.float32)
        for part in (dataset.scale, dataset.offset)
    )
    scaler = StandardScaler()
    scaler.scale_, scaler.mean_, scaler.var_ = 1 / scale, -offset / scale, scale**-2
    scaler.n_features_in_ = features
    flatten = FunctionTransformer(np.reshape, kw_args={"shape": (-1, features)})  # served, it takes what networks take
    return make_pipeline(flatten, FrozenEstimator(scaler), estimator)


def rows(images: np.ndarray) -> np.ndarray:
    """(n, height, width, channels) -> (n, features) float32, the pixels still raw."""
    return images.reshape(len(images), -1).astype(np.float32)


def predict(model: Pipeline, images: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes), on all cores; for an estimator without any, its margins' softmax, not calibrated."""
    starts = range(0, len(images), AT_ONCE)
    tasks = (delayed(_predict)(model, images[start : start + AT_ONCE]) for start in starts)
    done = Parallel(n_jobs=-1, backend="threading", return_as="generator")(tasks)
    return np.concatenate(list(counted(done, len(images), "predicting")))


def _predict(model: Pipeline, images: np.ndarray) -> np.ndarray:
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows(images))
    margins = model.decision_function(rows(images))
    if margins.ndim == 1:  # two classes: one margin
        margins = np.stack([np.zeros_like(margins), margins], axis=1)
    return softmax(margins, axis=1)


def count_weights(model: Pipeline) -> int:
    """Fitted coefficients and intercepts of a linear estimator, or of one for each class; 0 for the others."""
    fitted: Any = model[-1]
    each = (
        fitted.estimators_ if isinstance(fitted, OneVsRestClassifier) and hasattr(fitted, "estimators_") else [fitted]
    )
    return sum(np.size(getattr(one, name)) for one in each if hasattr(one, "coef_") for name in ("coef_", "intercept_"))


def layers(model: Pipeline) -> list[Layer]:
    """The scaling and the estimator."""
    scaling, fitted = model[-2], model[-1]
    return [
        Layer("scaling", type(scaling.estimator).__name__, (scaling.n_features_in_,), 0),
        Layer("estimator", type(fitted).__name__, (len(fitted.classes_),), count_weights(model)),
    ]
