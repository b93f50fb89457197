"""scikit-learn estimators behind the same contract: raw pixels in, probabilities out."""

import math
from typing import Any

import numpy as np
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig
from scipy.special import softmax
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from pipeline.contracts import Dataset
from pipeline.errors import PipelineError, first_line


def build(cfg: DictConfig, dataset: Dataset) -> Pipeline:
    """The dataset's scaling -> cfg.model.estimator, for rows of pixels. All of it is scikit-learn's own."""
    try:
        estimator = instantiate(cfg.model.estimator)
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
    return make_pipeline(FrozenEstimator(scaler), estimator)


def rows(images: np.ndarray) -> np.ndarray:
    """(n, height, width, channels) -> (n, features) float32, the pixels still raw."""
    return images.reshape(len(images), -1).astype(np.float32)


def predict(model: Pipeline, images: np.ndarray) -> np.ndarray:
    """Probabilities (n, classes); where the estimator has none, the softmax of its margins, which is not calibrated."""
    if hasattr(model, "predict_proba"):
        return model.predict_proba(rows(images))
    margins = model.decision_function(rows(images))
    if margins.ndim == 1:  # two classes: one margin
        margins = np.stack([np.zeros_like(margins), margins], axis=1)
    return softmax(margins, axis=1)


def count_weights(model: Pipeline) -> int:
    """Fitted coefficients and intercepts; 0 for estimators that have none."""
    fitted: Any = model[-1]
    if not hasattr(fitted, "coef_"):
        return 0
    return sum(np.size(getattr(fitted, name)) for name in ("coef_", "intercept_") if hasattr(fitted, name))
