"""Labels and probabilities -> metrics, the same for every family of models."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

from pipeline.contracts import Calibration, Evaluation


def evaluate(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Evaluation:
    """labels: (n,) whole numbers; probabilities: (n, classes)."""
    classes = range(len(class_names))
    predicted = probabilities.argmax(axis=1)
    of_the_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Evaluation(
        labels=labels,
        probabilities=probabilities,
        accuracy=round(float((predicted == labels).mean()), 6),
        loss=round(float(-np.log(np.clip(of_the_truth, 1e-7, 1.0)).mean()), 6),
        calibration_error=calibrate(labels, probabilities).error,
        confusion=confusion_matrix(labels, predicted, labels=classes),
        report=classification_report(
            labels, predicted, labels=classes, target_names=class_names, output_dict=True, zero_division=0
        ),
    )


def calibrate(labels: np.ndarray, probabilities: np.ndarray, bins: int = 15) -> Calibration:
    """Confidence against accuracy, and the expected calibration error (Guo et al. 2017)."""
    top, right = probabilities.max(axis=1).astype(np.float64), probabilities.argmax(axis=1) == labels
    places = np.clip(np.ceil(top * bins).astype(int) - 1, 0, bins - 1)  # a bin includes its upper end
    count, confident, correct = (
        np.bincount(places, weights, bins) for weights in (None, top, right.astype(np.float64))
    )
    with np.errstate(invalid="ignore"):
        confidence, accuracy = confident / count, correct / count
    return Calibration(confidence, accuracy, count, round(float(np.abs(confident - correct).sum() / len(labels)), 6))
