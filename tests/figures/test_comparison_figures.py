"""Figures of several configurations: what is drawn, read from the axes."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from pipeline.figures.comparison import COLORS, color, confusion_change, curves


def epochs(*accuracies: float) -> list[dict[str, float]]:
    return [{"val_accuracy": value, "val_loss": 1 - value} for value in accuracies]


def test_replicates_are_a_mean_in_a_band_and_may_end_at_different_epochs() -> None:
    axes = curves([[epochs(0.5, 0.7, 0.8), epochs(0.7, 0.9)], [epochs(0.6)], [[]]], "val", "accuracy").axes[0]
    single, mean = axes.lines  # the first configuration is drawn last; one without an epoch not at all
    assert mean.get_ydata() == pytest.approx([0.6, 0.8, 0.8])
    assert single.get_marker() == "o"
    assert len(axes.collections) == 1


def test_configurations_beyond_the_colors_are_grey() -> None:
    axes = curves([[epochs(0.5, place / 10)] for place in range(10)], "val", "accuracy").axes[0]
    assert [to_hex(line.get_color()) for line in reversed(axes.lines)] == [*COLORS, color(8), color(9)]
    assert color(8) == color(9)


def test_more_on_the_diagonal_is_better_and_more_beside_it_worse() -> None:
    axes = confusion_change(np.array([[2, -1], [1, -3]]), ["a", "b"], 3, "B − A", "").axes[0]
    assert axes.images[0].get_array().tolist() == [[-2, -1], [1, 3]]  # negative is blue
    assert [text.get_text() for text in axes.texts] == ["+2", "-1", "+1", "-3"]
