"""Labels and probabilities -> metrics."""

import numpy as np
import pytest

from pipeline.evaluation import calibrate, evaluate

NAMES = ("a", "b", "c")


def test_metrics_by_hand() -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.3, 0.6, 0.1], [0.5, 0.4, 0.1], [0.0, 0.5, 0.5]], np.float32)
    result = evaluate(np.array([0, 1, 1, 2]), probabilities, NAMES)
    assert result.accuracy == 0.5
    assert result.loss == pytest.approx(-np.log([0.8, 0.6, 0.4, 0.5]).mean(), abs=1e-6)
    assert result.confusion.tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert result.report["b"]["recall"] == 0.5
    assert result.report["c"]["f1-score"] == 0


def test_the_most_confused_pairs_count_both_directions() -> None:
    labels = np.array([0, 0, 1, 2, 2, 2])
    predicted = np.array([1, 1, 0, 1, 1, 2])
    assert evaluate(labels, np.eye(3)[predicted], NAMES).most_confused() == [(0, 1, 3), (1, 2, 2)]
    assert evaluate(labels, np.eye(3)[labels], NAMES).most_confused() == []


def test_a_class_that_the_split_lacks_keeps_its_row() -> None:
    assert evaluate(np.array([0, 1]), np.eye(3)[[0, 1]], NAMES).confusion.shape == (3, 3)


def test_a_certain_mistake_costs_much_but_not_infinity() -> None:
    assert np.isfinite(evaluate(np.array([0]), np.array([[0.0, 1.0, 0.0]]), NAMES).loss)


def test_the_calibration_error_is_the_mean_gap_between_confidence_and_accuracy() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.4, 0.6], [0.35, 0.65], [0.0, 1.0]])
    labels = np.array([0, 1, 1, 0, 1])
    found = calibrate(labels, probabilities, bins=10)
    np.testing.assert_array_equal(found.count, [0, 0, 0, 0, 0, 1, 1, 0, 0, 3])
    assert found.accuracy[9] == pytest.approx(2 / 3)
    assert found.confidence[9] == pytest.approx((0.95 + 0.95 + 1) / 3)
    assert np.isnan(found.accuracy[0])
    assert found.error == pytest.approx((0.4 + 0.65 + 0.9) / 5)
    assert calibrate(np.array([0, 0]), np.array([[1.0, 0.0], [1.0, 0.0]])).error == 0
