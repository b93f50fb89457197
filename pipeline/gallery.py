"""The figures of a finished run, by their names in conf/figures/: from what the run knows, a function for each."""

import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hydra.utils import instantiate
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from omegaconf import DictConfig
from PIL import Image

from pipeline import interpret
from pipeline.contracts import SPLIT_NAMES, Dataset, Evaluation, History, Split
from pipeline.errors import first_line
from pipeline.evaluation import calibrate
from pipeline.figures import barcodes as barcode_figures
from pipeline.figures import confidence as confidence_figures
from pipeline.figures import confusion, data, results
from pipeline.figures import curves as curve_figures
from pipeline.figures import feature_maps as feature_map_figures
from pipeline.figures import kernels as kernel_figures

CODED = 50  # images of each class that the barcodes' average and distances are of, as in the notebook they come from

Named = Iterator[tuple[str, Figure]]


class LackingError(Exception):
    """The run has nothing that this figure could show; the message says what is missing."""


@dataclass(frozen=True)
class Finished:
    """A trained model and all that its figures are drawn of."""

    cfg: DictConfig
    model: Any
    dataset: Dataset
    history: History
    evaluation: Evaluation  # of the split cfg.evaluate
    kernels_before: Mapping[str, np.ndarray]

    @property
    def name(self) -> str:
        return self.cfg.model.name

    @property
    def evaluated(self) -> Split:
        return getattr(self.dataset, self.cfg.evaluate)

    @property
    def split_name(self) -> str:
        return SPLIT_NAMES[self.cfg.evaluate]

    @property
    def trained_on_validation(self) -> bool:
        return self.cfg.train_on == "train_val"


def draw(chosen: DictConfig, run: Finished) -> Iterator[tuple[str, bytes]]:
    """(file's name, PNG) of the chosen figures, drawn when they are asked for; what the run lacks is said in a line."""
    for name, node in chosen.items():
        try:
            for each, figure in instantiate(node, _partial_=True)(run):
                yield f"{each}.png", _png(figure)
        except LackingError as lacking:
            print(f"{name}: not drawn, {lacking}", flush=True)
        except Exception as error:  # a figure is not worth the trained model that would count as failed
            print(f"{name}: could not be drawn, {type(error).__name__}: {first_line(error)}", flush=True)


def _png(figure: Figure) -> bytes:
    """What savefig makes, pixel for pixel, in two thirds of the time: it draws twice, and packs more tightly."""
    canvas, file = FigureCanvasAgg(figure), io.BytesIO()
    canvas.draw()
    image = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    image.save(file, format="png", compress_level=1, dpi=(figure.dpi, figure.dpi))
    return file.getvalue()


def samples(run: Finished, per_class: int) -> Named:
    train = run.dataset.train
    yield "samples", data.samples(train.images, train.labels, run.dataset.class_names, per_class)


def class_counts(run: Finished) -> Named:
    training = "training, with the validation images" if run.trained_on_validation else "training"
    splits = {training: run.dataset.train, "validation": run.dataset.val, "test": run.dataset.test}
    classes = len(run.dataset.class_names)
    counts = {name: np.bincount(split.labels, minlength=classes) for name, split in splits.items() if len(split)}
    yield "class_counts", data.class_counts(counts, run.dataset.class_names)


def pixel_matrix(run: Finished, image: int) -> Named:
    pixels, label = _image(run.dataset.train, image, "training")
    yield "pixel_matrix", data.pixel_matrix(pixels, run.dataset.class_names[label])


def random_kernels(run: Finished, image: int, count: int, seed: int) -> Named:
    pixels = _image(run.dataset.train, image, "training")[0].mean(axis=-1)
    filters = interpret.random_kernels(count, seed)
    names = [*(f"random {number}" for number in range(count)), "edge detection"]
    yield "random_kernels", data.filtered(pixels, filters, interpret.convolve(pixels, filters), names)


def curves(run: Finished) -> Named:
    yield "curves", curve_figures.learning_curves(run.history, run.trained_on_validation)


def stopping(run: Finished) -> Named:
    if len(run.history.epochs) < 2:
        raise LackingError("there is one epoch")
    if run.trained_on_validation:
        raise LackingError("the validation images were trained on (train_on=train_val)")
    yield "stopping", curve_figures.stopping(run.history)


def confusion_matrix(run: Finished) -> Named:
    yield "confusion_matrix", confusion.confusion_matrix(run.evaluation, run.dataset.class_names, run.split_name)


def class_report(run: Finished) -> Named:
    yield "class_report", results.class_report(run.evaluation.confusion, run.dataset.class_names, run.split_name)


def mistakes(run: Finished, count: int) -> Named:
    images, names = run.evaluated.images, run.dataset.class_names
    result = run.evaluation
    figure = results.mistakes(images, result.labels, result.probabilities, names, run.split_name, count)
    yield "mistakes", figure


def sample_probabilities(run: Finished, image: int) -> Named:
    pixels, label = _image(run.evaluated, image, run.split_name)
    figure = results.sample_probabilities(pixels, run.evaluation.probabilities[image], run.dataset.class_names, label)
    yield "sample_probabilities", figure


def confidence(run: Finished) -> Named:
    yield (
        "confidence",
        confidence_figures.confidence(run.evaluation.labels, run.evaluation.probabilities, run.split_name),
    )


def reliability(run: Finished, bins: int) -> Named:
    calibration = calibrate(run.evaluation.labels, run.evaluation.probabilities, bins)
    yield "reliability", confidence_figures.reliability(calibration, run.split_name)


def kernels(run: Finished, layers: Sequence[str] | None) -> Named:
    for layer, array in _chosen(interpret.kernels(run.model), layers, run.name, "convolution").items():
        yield f"kernels_{layer}", kernel_figures.kernel_images(array, layer)


def kernels_before_after(run: Finished, layers: Sequence[str] | None) -> Named:
    for layer, after in _chosen(interpret.kernels(run.model), layers, run.name, "convolution").items():
        if layer not in run.kernels_before:
            raise LackingError("the run did not keep the kernels that it started from")
        figure = kernel_figures.kernels_before_after(run.kernels_before[layer], after, layer)
        yield f"kernels_before_after_{layer}", figure


def weight_maps(run: Finished) -> Named:
    names = run.dataset.class_names
    found = interpret.weight_maps(run.model, run.dataset.image_shape)
    if not found:
        raise LackingError(f"no layer of {run.name} weighs the pixels themselves")
    for layer, maps in found.items():
        one_each = layer in ("output", "coefficients") and len(maps) == len(names)
        yield f"weight_maps_{layer}", kernel_figures.weight_maps(maps, layer, names if one_each else None)
    for layer, weights in interpret.dense_weights(run.model).items():
        if layer not in found:
            units = names if layer == "output" else None
            yield f"weight_matrix_{layer}", kernel_figures.weight_matrix(weights, layer, units)


def feature_maps(
    run: Finished, layers: Sequence[str] | None, classes: Sequence[int | str] | None, number: int
) -> Named:
    labels, names = run.evaluation.labels, [str(name) for name in run.dataset.class_names]
    unknown = [str(name) for name in classes or () if str(name) not in names]
    if unknown:
        raise LackingError(f"there is no class {unknown[0]}; there are {', '.join(names)}")
    wanted = [names.index(str(name)) for name in classes] if classes else range(len(names))
    places = [np.flatnonzero(labels == label) for label in wanted]
    having = [(label, place[number]) for label, place in zip(wanted, places, strict=True) if number < len(place)]
    if not having:
        raise LackingError(f"no class has {number + 1} images in the {run.split_name} split")
    images = run.evaluated.images[[place for _, place in having]]
    found = _chosen(interpret.feature_maps(run.model, images), layers, run.name, "convolution or pooling")
    for layer, maps in found.items():
        shown = [names[label] for label, _ in having]
        yield f"feature_maps_{layer}", feature_map_figures.feature_maps(images, maps, shown, layer, run.split_name)


def barcodes(run: Finished, per_class: int) -> Named:
    labels = run.evaluation.labels
    places = [np.flatnonzero(labels == label)[: max(CODED, per_class)] for label in range(len(run.dataset.class_names))]
    chosen = np.concatenate(places)
    codes = interpret.barcodes(run.model, run.evaluated.images[chosen])
    if codes is None:
        raise LackingError(f"{run.name} has no global average pooling")
    within, between = interpret.distances(codes, labels[chosen])
    names = run.dataset.class_names
    yield "barcodes", barcode_figures.barcodes(codes, labels[chosen], names, within, between, per_class)


def _image(split: Split, number: int, name: str) -> tuple[np.ndarray, int]:
    if not 0 <= number < len(split):
        raise LackingError(f"the {name} split has no image {number}, they count from 0 to {len(split) - 1}")
    return split.images[number], int(split.labels[number])


def _chosen(found: dict[str, np.ndarray], layers: Sequence[str] | None, model: str, what: str) -> dict[str, np.ndarray]:
    """The arrays of the chosen layers, or all. Raises LackingError where there is none, or not that one."""
    if not found:
        raise LackingError(f"{model} has no {what}")
    for layer in layers or ():
        if layer not in found:
            raise LackingError(f"{model} has no {what} {layer}; there are {', '.join(found)}")
    return {layer: found[layer] for layer in layers or found}
