"""Figures of the data, of results and of what training changed: their numbers, odd shapes, and that nothing is cut."""

from collections.abc import Callable

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from pipeline.contracts import Calibration, History
from pipeline.evaluation import evaluate
from pipeline.figures.barcodes import barcodes
from pipeline.figures.confidence import confidence, reliability
from pipeline.figures.curves import stopping
from pipeline.figures.data import class_counts, filtered, pictures, pixel_matrix, samples, short
from pipeline.figures.kernels import kernels_before_after, weight_matrix
from pipeline.figures.results import class_report, mistakes, sample_probabilities
from pipeline.figures.style import TRAINING, VALIDATION

EDGES = np.array([[0.0, 1, 0], [1, -4, 1], [0, 1, 0]])


def texts(figure: Figure) -> list[str]:
    """Everything that is written on a figure; drawing it also proves that it can be drawn."""
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def subtitle(figure: Figure) -> str:
    return figure.texts[-1].get_text()


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def pixels(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def named(classes: int) -> list[str]:
    """Long ones, and one with which matplotlib would start a formula."""
    return [f"an ankle boot with laces no. {n}" if n % 2 else f"$ {n} $" for n in range(classes)]


def guesses(count: int, classes: int, right: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    """Labels (count,) and probabilities (count, classes), the more often right the larger `right` is."""
    labels, scores = np.arange(count) % classes, random(count, classes)
    scores[np.arange(count), labels] += right
    return labels, np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)


def history(losses: list[float], accuracies: list[float]) -> History:
    rows = [
        {"train_loss": loss, "train_accuracy": 0.5, "val_loss": loss, "val_accuracy": accuracy}
        for loss, accuracy in zip(losses, accuracies, strict=True)
    ]
    return History(tuple(rows), seconds=1.0, images_per_second=1.0)


LABELS, PROBABILITIES = guesses(94, 47)
EVERY = {
    "samples": lambda: samples(pixels(94, 9, 40, 3), LABELS, named(47), 3),
    "class_counts": lambda: class_counts({"training": np.arange(47) * 99, "test": np.arange(47)}, named(47)),
    "two_counts": lambda: class_counts({"training": np.array([90000, 12])}, named(2)),
    "one_epoch": lambda: stopping(history([1], [0.5])),
    "pixel_matrix": lambda: pixel_matrix(pixels(12, 5, 1), "ankle boot"),
    "filtered": lambda: filtered(pixels(8, 8), random(11, 3, 3), random(11, 8, 8), named(11)),
    "stopping": lambda: stopping(history([3, 1, 2, 2.1], [0.7, 0.9, 0.8, 0.8])),
    "class_report": lambda: class_report(evaluate(LABELS, PROBABILITIES, named(47)).confusion, named(47), "test"),
    "mistakes": lambda: mistakes(pixels(94, 5, 5, 1), LABELS, PROBABILITIES, named(47), "validation", 2),
    "sample": lambda: sample_probabilities(pixels(5, 9, 3), PROBABILITIES[0], named(47), 0),
    "confidence": lambda: confidence(LABELS, PROBABILITIES, "validation"),
    "reliability": lambda: reliability(Calibration(*np.full((2, 5), 0.5), np.arange(5), 0.2), "validation"),
    "kernels": lambda: kernels_before_after(random(1, 3, 3, 12), random(1, 3, 3, 12, seed=1), "conv2"),
    "weight_matrix": lambda: weight_matrix(random(300, 47), "output", named(47)),
    "barcodes": lambda: barcodes(random(94, 7), LABELS, named(47), 1.0, 2.0, per_class=2),
}


@pytest.mark.parametrize("draw", EVERY.values(), ids=EVERY)
def test_nothing_reaches_beyond_the_edges(draw: Callable[[], Figure]) -> None:
    figure = FigureCanvasAgg(draw()).figure
    figure.draw_without_rendering()
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 >= 0
    assert box.y0 >= 0
    assert box.x1 <= width
    assert box.y1 <= height


def test_samples_are_the_first_of_their_class_in_its_row() -> None:
    labels = np.array([1, 0, 1, 1, 2, 0])
    images = np.arange(6, dtype=np.uint8).repeat(16).reshape(6, 4, 4, 1) * 50
    figure = samples(images, labels, ["a", "b", "c"], per_class=2)
    sheet = figure.axes[0].images[0].get_array()[..., 0] * 250
    white = 250  # where a class has no more
    np.testing.assert_allclose(sheet[::5, ::5], [[50, 250], [0, 100], [200, white]])
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]


def test_large_pictures_are_averaged_and_keep_their_colors() -> None:
    images = np.zeros((1, 300, 201, 3), np.uint8)
    images[:, :150, :, 0] = 255
    [small] = pictures(images)
    assert max(small.shape) <= 112
    np.testing.assert_allclose(small[0, -1], [1, 0, 0])
    np.testing.assert_allclose(small[-1], 0)
    assert pictures(np.full((2, 4, 4, 1), 16.0)).shape == (2, 4, 4, 3), "grey on a scale of its own"


def test_long_names_are_cut_in_the_middle_and_no_formula() -> None:
    assert short(["bag", "an ankle boot with laces no. 12", "$x$"], 16) == ["bag", "an ankl…s no. 12", r"\$x\$"]


def test_class_counts_write_totals_and_how_unequal_the_classes_are() -> None:
    figure = class_counts({"training": np.array([60, 1200]), "test": np.array([5, 7])}, ["rare", "common"])
    assert {"60", "1,200", "5", "7"} <= set(texts(figure))
    assert "rare, has 4.8 % of the training images" in subtitle(figure)
    assert "common, has 95.2 %" in subtitle(figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["training (1,260)", "test (12)"]


def test_the_pixel_matrix_writes_each_pixel_where_it_is() -> None:
    image = np.array([[0, 255, 7], [90, 1, 2]], np.uint8)[..., None]
    places = {text.get_position(): text.get_text() for text in pixel_matrix(image, "7").axes[0].texts}
    assert places == {(0, 0): "0", (1, 0): "255", (2, 0): "7", (0, 1): "90", (1, 1): "1", (2, 1): "2"}


def test_of_a_large_image_the_pixel_matrix_has_the_middle() -> None:
    image = np.zeros((50, 10, 3))
    image[9] = [0.25, 0.5, 0.75]
    figure = pixel_matrix(image, "a")
    assert figure.axes[0].images[0].get_array().shape == (32, 10)
    assert {text.get_text() for text in figure.axes[0].texts if text.get_position()[1] == 0} == {"0.50"}
    assert "50x10 pixels, of which these are the central 32x10" in subtitle(figure)
    assert "mean of 3 channels" in subtitle(figure)


def test_each_kernel_stands_above_what_it_makes() -> None:
    kernels, maps = np.concatenate([random(3, 3, 3), EDGES[None]]), random(4, 6, 6)
    figure = filtered(pixels(6, 6), kernels, maps, ["one", "two", "three", "edge detection"])
    by_title = {axes.get_title(): number for number, axes in enumerate(figure.axes)}
    for number, name in enumerate(["one", "two", "three", "edge detection"]):
        above, below = figure.axes[by_title[name] :][:2]
        np.testing.assert_array_equal(above.images[0].get_array(), kernels[number])
        np.testing.assert_array_equal(below.images[0].get_array(), maps[number])
        assert above.images[0].norm.vmin == -above.images[0].norm.vmax
    assert texts(figure).count("1") == 4, "the numbers of the last one alone"


@pytest.mark.parametrize(
    ("losses", "accuracies", "words"),
    [
        ([1.0], [0.5], ["one epoch"]),
        ([3, 2, 1], [0.1, 0.2, 0.3], ["best at epoch 3", "more epochs may help"]),
        # improves after waits of 1 and 3 epochs, so 3 is what it takes
        (
            [2, 1, 1.2, 1.3, 1.31, 1.31, 1.31, 1.31, 1.31, 1.31],
            [0.5, 0.6, 0.6, 0.5, 0.7, 0.7, 0.6, 0.6, 0.6, 0.6],
            ["lowest at epoch 2 of 10, 31 % higher", "improved at epoch 5", "patience=3", "stops after epoch 8"],
        ),
        ([2, 1, 3], [0.1, 0.2, 0.3], ["3.0 times as high", "accuracy is highest at the last epoch", "more epochs"]),
        ([3, 2, 1], [0.1, 0.3, 0.2], ["lowest at epoch 3, the last", "improved at epoch 2", "patience=1 gets there."]),
    ],
)
def test_stopping_says_what_more_or_fewer_epochs_would_do(
    losses: list[float], accuracies: list[float], words: list[str]
) -> None:
    figure = stopping(history(losses, accuracies))
    assert [word for word in words if word not in subtitle(figure)] == []
    for axes, values, best in zip(figure.axes, (losses, accuracies), (min(losses), max(accuracies)), strict=True):
        [marker] = [line for line in axes.lines if line.get_linestyle() == "None"]
        assert (*marker.get_xdata(), *marker.get_ydata()) == (1 + values.index(best), best)


def test_the_class_report_shows_the_numbers_of_the_report() -> None:
    labels, probabilities = guesses(60, 3)
    evaluation = evaluate(labels, probabilities, ["a", "b", "c"])
    report, figure = evaluation.report, class_report(evaluation.confusion, ["a", "b", "c"], "test")
    assert {f"{report[name]['f1-score']:.3f}" for name in "abc"} <= set(texts(figure))
    drawn = {points.get_label(): points.get_offsets()[:, 0].tolist() for points in figure.axes[0].collections}
    for key, label in (("precision", "precision"), ("recall", "recall"), ("f1-score", "F1")):
        assert drawn[label] == pytest.approx([report[name][key] for name in "abc"])
    lowest = min(report[name][key] for name in "abc" for key in ("precision", "recall"))
    assert 0 < figure.axes[0].get_xlim()[0] < lowest


def test_the_class_report_leaves_out_what_the_split_has_no_images_of() -> None:
    figure = class_report(np.array([[5, 0, 0], [0, 0, 0], [0, 0, 7]]), ["accuracy", "b", "c"], "validation")
    assert "F1 from 1.000 (accuracy) to 1.000" in subtitle(figure)
    assert "1 of 3 classes have no image here" in subtitle(figure)


def bars(axes: Axes) -> list[list[tuple[float, str]]]:
    """(length, color) of each bar, in groups."""
    groups = [group for group in axes.collections if isinstance(group, PolyCollection)]
    lengths = [[np.ptp(path.vertices[:, 0]) for path in group.get_paths()] for group in groups]
    colors = [[to_hex(color) for color in group.get_facecolor()] for group in groups]
    return [list(zip(*pair, strict=True)) for pair in zip(lengths, colors, strict=True)]


def test_the_surest_mistakes_come_first_with_the_true_class_in_blue() -> None:
    labels = np.array([0, 1, 2, 0, 1])
    probabilities = np.array([[9, 1, 0], [6, 4, 0], [0.5, 9, 0.5], [3, 0, 7], [1, 9, 0]]) / 10
    images = np.arange(5, dtype=np.uint8).repeat(4).reshape(5, 2, 2, 1)
    figure = mistakes(images, labels, probabilities, ["a", "b", "c"], "validation", count=2)
    assert "3 of 5 images" in subtitle(figure)
    assert "the 2 surest" in subtitle(figure)
    assert [image.get_array().flat[0] for image in figure.axes[0].images] == pytest.approx([2 / 3, 1])  # images 2 and 3
    said = [text.get_text() for text in figure.axes[0].texts]
    assert said[:6] == ["c", "→ b", "image 2", "a", "b", " 0.90"]
    first, _ = bars(figure.axes[0])
    lengths, colors = zip(*first, strict=True)
    assert np.divide(lengths, lengths[1]) == pytest.approx([0.05 / 0.9, 1, 0.05 / 0.9])
    assert colors[1:] == (VALIDATION, TRAINING)


def test_without_mistakes_a_figure_says_so() -> None:
    labels, probabilities = guesses(8, 2, right=99)
    assert any("No mistakes" in text for text in texts(mistakes(pixels(8, 4, 4), labels, probabilities, "ab", "test")))
    figure = confidence(labels, probabilities, "test")
    assert "none of 8 predictions is wrong" in subtitle(figure)
    assert len(figure.legends[0].get_texts()) == 1


def test_of_many_classes_the_most_probable_have_a_bar_and_the_true_one() -> None:
    probabilities = np.arange(30) / np.arange(30).sum()
    axes = sample_probabilities(pixels(4, 4, 3), probabilities, [f"c{n}" for n in range(30)], label=1).axes[1]
    shown = [*range(29, 20, -1), 1]
    assert [text.get_text() for text in axes.texts if text.get_text().startswith("c")] == [f"c{n}" for n in shown]
    [found] = bars(axes)
    assert [length for length, _ in found] == pytest.approx(list(probabilities[shown]))


def test_both_histograms_of_confidence_have_area_one() -> None:
    labels, probabilities = guesses(200, 3, right=1)
    wrong, top = probabilities.argmax(axis=1) != labels, probabilities.max(axis=1)
    figure = confidence(labels, probabilities, "test")
    for patch in figure.axes[0].patches:
        heights, edges, _ = patch.get_data()
        assert np.sum(heights * np.diff(edges)) == pytest.approx(1)
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        f"all (200), median {np.median(top):.3f}",
        f"wrong ({wrong.sum()}), median {np.median(top[wrong]):.3f}",
    ]


@pytest.mark.parametrize(
    ("accuracy", "error", "words"),
    [
        ([0.3, 0.7], 0.125, "overconfident, by 12.5 "),
        ([0.7, 0.9], 0.125, "underconfident, by 12.5 "),
        ([0.7, 0.75], 0.0875, "too sure in some bins"),
        ([0.5, 0.8], 0.0, "as sure as it is right"),
    ],
)
def test_reliability_says_in_which_direction_a_model_errs(accuracy: list[float], error: float, words: str) -> None:
    sure, right = (np.array([np.nan, *two, np.nan]) for two in ([0.5, 0.8], accuracy))
    figure = reliability(Calibration(sure, right, np.array([0, 10, 30, 0]), error), "test")
    assert f"{error:.4f}" in subtitle(figure)
    assert words in subtitle(figure)
    upper, lower = figure.axes
    assert [bar.get_height() for bar in upper.patches] == accuracy
    middles = [bar.get_x() + bar.get_width() / 2 for bar in upper.patches]
    assert middles == pytest.approx([0.375, 0.625]), "the second and the third quarter"
    assert [bar.get_height() for bar in lower.patches] == [0, 10, 30, 0]


def test_kernels_are_compared_in_the_channel_that_is_strongest_after_training() -> None:
    before, after = np.zeros((2, 2, 3, 1)), np.zeros((2, 2, 3, 1))
    before[..., 0, 0], before[..., 1, 0] = 4, 3
    after[..., 1, 0] = 3  # channel 0 was the strongest before
    figure = kernels_before_after(before, after, "conv1")
    left, right = (axes.images[0] for axes in figure.axes[:2])
    np.testing.assert_array_equal(left.get_array(), right.get_array())
    assert left.get_clim() == right.get_clim() == (-3, 3)
    assert "changed by 80 %" in subtitle(figure), "4 of 5"
    assert "changed" not in subtitle(kernels_before_after(before * 0, after, "conv1")), "from nothing"


def test_of_many_kernels_the_first_are_compared() -> None:
    figure = kernels_before_after(random(3, 3, 2, 300), random(3, 3, 2, 300), "conv1")
    assert subtitle(figure).startswith("the first 100 of 300 kernels of 3x3, of 2 input channels")
    assert [len(axes.texts) for axes in figure.axes[:2]] == [100, 100]


def test_a_weight_matrix_has_a_row_for_each_unit() -> None:
    weights = random(6, 2)
    figure = weight_matrix(weights, "output", ["no", "yes"])
    axes = figure.axes[0]
    np.testing.assert_array_equal(axes.images[0].get_array(), weights.T)
    assert axes.images[0].norm.vmin == -axes.images[0].norm.vmax
    assert [text.get_text() for text in axes.get_yticklabels()] == ["no", "yes"]


def test_barcodes_lack_their_average_and_are_sorted_by_class() -> None:
    codes, labels = random(9, 5), np.array([2, 0, 2, 0, 0, 2, 2, 0, 2])
    figure = barcodes(codes, labels, ["a", "nobody", "c"], within=2.0, between=5.8, per_class=2)
    top, below = (axes.images[0].get_array() for axes in figure.axes[:2])
    average = codes.mean(axis=0)
    np.testing.assert_allclose(top[0], average)
    np.testing.assert_allclose(below[[0, 1, 3, 4]], codes[[1, 3, 0, 2]] - average)
    assert np.ma.getmaskarray(below)[2].all(), "a gap between the classes"
    assert [text.get_text() for text in figure.axes[1].get_yticklabels()] == ["a", "c"]
    assert "2.9 times as far apart" in subtitle(figure)


def test_barcodes_of_a_single_class_have_no_distance_between_classes() -> None:
    assert "between" not in subtitle(barcodes(random(4, 5), np.zeros(4, int), ["a"], 2.0, float("nan")))
