"""Labels and probabilities -> metrics, the same for every family of models."""

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import classification_report, confusion_matrix

from pipeline.contracts import Evaluation


def evaluate(labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str]) -> Evaluation:
    """labels: (n,) whole numbers; probabilities: (n, classes)."""
    classes = range(len(class_names))
    predicted = probabilities.argmax(axis=1)
    of_the_truth = probabilities[np.arange(len(labels)), labels].astype(np.float64)
    return Evaluation(
        accuracy=round(float((predicted == labels).mean()), 6),
        loss=round(float(-np.log(np.clip(of_the_truth, 1e-7, 1.0)).mean()), 6),
        confusion=confusion_matrix(labels, predicted, labels=classes),
        report=classification_report(
            labels, predicted, labels=classes, target_names=class_names, output_dict=True, zero_division=0
        ),
    )
