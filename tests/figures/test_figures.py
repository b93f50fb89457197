"""Figures from arrays: what they show, for common and odd shapes, without pyplot's global state."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from pipeline.contracts import Evaluation, History
from pipeline.figures.confusion import confusion_matrix
from pipeline.figures.confusion_image import confusion_image
from pipeline.figures.curves import learning_curves
from pipeline.figures.feature_maps import feature_maps
from pipeline.figures.kernels import flat_kernels, kernel_images, kernel_mosaic, weight_maps


def texts(figure: Figure) -> list[str]:
    """Everything that is written on a figure; drawing it also proves that it can be drawn."""
    FigureCanvasAgg(figure).draw()
    return [text.get_text() for axes in figure.axes for text in axes.texts] + [text.get_text() for text in figure.texts]


def history(epochs: int) -> History:
    rows = [
        {"train_loss": 1 / n, "train_accuracy": 1 - 0.4 / n, "val_loss": 1.2 / n, "val_accuracy": 0.9 - abs(n - 3) / 50}
        for n in range(1, epochs + 1)
    ]
    return History(tuple(rows), seconds=1.0, images_per_second=1.0)


def counted(confusion: np.ndarray) -> Evaluation:
    """An evaluation with these counts; the confusion matrix asks for nothing else."""
    return Evaluation(np.empty(0), np.empty(0), 0.9, 0.1, 0.02, confusion, {})


@pytest.mark.parametrize("epochs", [1, 5])
def test_curves_mark_the_best_epoch(epochs: int) -> None:
    figure = learning_curves(history(epochs))
    assert any(f"at epoch {min(3, epochs)} of {epochs}" in text for text in texts(figure))
    best = min(3, epochs)
    for axes, quantity in zip(figure.axes, ("accuracy", "loss"), strict=True):
        assert axes.get_xlabel() == "epoch"
        [marker] = [line for line in axes.lines if line.get_linestyle() == "None"]
        assert (list(marker.get_xdata()), list(marker.get_ydata())) == (
            [best],
            [history(epochs).epochs[best - 1][f"val_{quantity}"]],
        )
        assert list(axes.lines[-1].get_xdata()) == [best, best], "the dotted line"


@pytest.mark.parametrize("classes", [2, 10, 26, 40])
def test_the_confusion_matrix_writes_the_counts_where_they_can_be_read(classes: int) -> None:
    counts = np.diag(np.arange(50, 50 + classes))
    counts[0, 1] = 7
    evaluation = counted(counts)
    names = [f"class {n}" for n in range(classes)]
    written = texts(confusion_matrix(evaluation, names, "test"))
    assert ("7" in written) == (classes <= 26)
    assert any(f"{counts.sum():,} images" in text for text in written)


@pytest.mark.parametrize("classes", [2, 10, 40])
def test_the_confusion_image_is_square_and_dark_where_the_counts_are(classes: int) -> None:
    image = np.asarray(confusion_image(np.eye(classes, dtype=int) * 7, [f"class {n}" for n in range(classes)]))
    assert (image.shape, image.dtype) == ((512, 512, 3), np.uint8)
    dark = (image[..., 0] < 40) & (image[..., 2] > 80)  # the blue of a whole row's share
    assert dark[:256, :300].sum() > 10 * dark[:200, 350:].sum(), "the diagonal begins at the top left"


def test_what_a_class_is_called_leaves_the_confusion_image_its_room() -> None:
    image = np.asarray(confusion_image(np.eye(10, dtype=int), ["a name of many words, all of them long"] * 10))
    dark = (image[..., 0] < 40) & (image[..., 2] > 80)
    assert np.ptp(dark.nonzero()[1]) > 256


def test_the_confusion_matrix_is_normalized_by_row_and_labelled_in_place() -> None:
    counts = np.array([[8, 2], [1, 4]])
    figure = confusion_matrix(counted(counts), ["a", "b"], "test")
    axes = figure.axes[0]
    np.testing.assert_allclose(axes.images[0].get_array(), [[0.8, 0.2], [0.2, 0.8]])
    places = {text.get_text(): text.get_position() for text in axes.texts}
    assert places == {"8": (0, 0), "2": (1, 0), "1": (0, 1), "4": (1, 1)}, "(column, row)"
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


@pytest.mark.parametrize("shape", [(3, 3, 1, 32), (5, 5, 32, 64), (3, 3, 3, 1), (1, 1, 8, 300), (15, 15, 1, 64)])
def test_kernels_are_numbered_in_one_symmetric_scale(shape: tuple[int, ...]) -> None:
    kernels = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    figure = kernel_images(kernels, "conv")
    written = texts(figure)
    assert str(min(shape[-1], 256) - 1) in written
    image = figure.axes[0].images[0]
    assert image.norm.vmin == -image.norm.vmax
    assert any("strongest" in text for text in written) == (shape[2] > 1)


def test_a_deep_kernel_is_shown_by_its_strongest_input_channel() -> None:
    kernels = np.zeros((3, 3, 4, 2), np.float32)
    kernels[..., 2, 0], kernels[..., 1, 1] = 5, -3
    flat = flat_kernels(kernels)
    assert (flat[0] == 5).all()
    assert (flat[1] == -3).all()


@pytest.mark.parametrize("shape", [(3, 3, 1, 32), (5, 5, 4, 1), (3, 3, 1, 2000)])
def test_the_mosaic_for_mlflow_is_square_with_zero_in_the_middle_of_the_scale(shape: tuple[int, ...]) -> None:
    mosaic = kernel_mosaic(np.random.default_rng(0).normal(size=shape).astype(np.float32))
    assert mosaic.width == mosaic.height >= 256
    zero = np.asarray(kernel_mosaic(np.zeros((3, 3, 1, 4), np.float32)).convert("RGB"))
    assert (zero >= 246).all(), "zero is the palest color"


@pytest.mark.parametrize("maps", [(10, 26, 26, 32), (3, 1, 1, 64), (25, 5, 9, 2)])
@pytest.mark.parametrize("channels", [1, 3])
def test_feature_maps_have_a_row_for_each_class(maps: tuple[int, ...], channels: int) -> None:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (maps[0], 28, 28, channels), dtype=np.uint8)
    names = [f"class {n}" for n in range(maps[0])]
    figure = feature_maps(images, generator.random(maps, np.float32), names, "conv1", "test")
    written = texts(figure)
    shown = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert shown == names[:20]
    [subtitle] = [text for text in written if "images of the test split" in text]
    which = f"the 16 most active of {maps[-1]} maps" if maps[-1] > 16 else f"all {maps[-1]} maps"
    assert subtitle.startswith(which)


@pytest.mark.parametrize(("lowest", "highest", "kind"), [(0, 65534, np.uint16), (0, 2, np.uint8), (-1, 1, np.float32)])
def test_the_images_beside_feature_maps_go_from_black_to_white(lowest: int, highest: int, kind: type) -> None:
    images = np.linspace(lowest, highest, 3).astype(kind)[:, None, None, None].repeat(8, 1).repeat(8, 2).repeat(3, 3)
    figure = feature_maps(images, np.ones((3, 6, 6, 4)), ["a", "b", "c"], "conv", "test")
    [shown] = figure.axes[0].images
    np.testing.assert_allclose(shown.get_array()[[0, 10, 20], 0, 0], [0, 0.5, 1])


def test_dead_layers_can_still_be_drawn() -> None:
    texts(feature_maps(np.zeros((2, 8, 8, 1)), np.zeros((2, 6, 6, 4)), ["a", "b"], "conv", "test"))
    texts(kernel_images(np.zeros((3, 3, 1, 4)), "conv"))


@pytest.mark.parametrize(("units", "names"), [(10, tuple("0123456789")), (128, None)])
def test_weight_maps_name_their_units(units: int, names: tuple[str, ...] | None) -> None:
    written = texts(weight_maps(np.random.default_rng(0).normal(size=(units, 28, 28, 1)), "output", names))
    assert {"0", str(units - 1)} <= set(written)


def test_figures_leave_pyplot_alone() -> None:
    code = (
        "import sys, pipeline.figures.confusion, pipeline.figures.curves, pipeline.figures.feature_maps, "
        "pipeline.figures.kernels; assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
