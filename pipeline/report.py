"""A finished run as one self-contained page: its data, model, training, results and mistakes, in that order."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup
from omegaconf import DictConfig, OmegaConf
from PIL import Image
from scipy.stats import binomtest

from pipeline import models, pages
from pipeline.contracts import Dataset, Origin
from pipeline.errors import first_line
from pipeline.figures.data import pictures
from pipeline.gallery import Finished
from pipeline.tracking.params import headline

NAME = "report.html"
CAPTIONS = Path(__file__).parent / "pages" / "figures.yaml"
MOST_SAMPLES = 20  # classes with their first image
MOST_CLASSES = 40  # in the table; of more, those with the lowest F1


def tell(run: Finished, figures: Iterable[tuple[str, bytes]], origin: Origin) -> Iterator[tuple[str, bytes]]:
    """(file's name, HTML) of the page, or a line on the screen where it can't be made.

    figures: (file's name, PNG); of two with the same name, the first.
    """
    try:
        chosen: dict[str, bytes] = {}
        for name, png in figures:
            chosen.setdefault(name, png)
        page = pages.render(
            "report.html",
            run=run,
            origin=origin,
            figures=pages.captioned(chosen.items(), CAPTIONS),
            samples=_samples(run.dataset),
            layers=models.family(run.cfg.model.family).layers(run.model),
            settings=_settings(run.cfg),
            choices=headline(run.cfg),
            interval=_interval(run),
            classes=_classes(run),
            config=OmegaConf.to_yaml(run.cfg, resolve=True),
        )
        yield NAME, page.encode()
    except Exception as error:  # as with figures: not worth the trained model that would count as failed
        print(f"{NAME}: could not be written, {type(error).__name__}: {first_line(error)}", flush=True)


def _samples(dataset: Dataset) -> list[tuple[str, Markup]]:
    """(class, its first training image as a data URI)."""
    labels, first = np.unique(dataset.train.labels, return_index=True)
    shown = (255 * pictures(dataset.train.images[first[:MOST_SAMPLES]])).astype(np.uint8)
    images = [pages.data_uri(Image.fromarray(image)) for image in shown]
    return [(dataset.class_names[label], image) for label, image in zip(labels, images, strict=False)]


def _settings(cfg: DictConfig) -> dict[str, str]:
    """Layer's name -> what the configuration says of it."""
    if cfg.model.family == "estimator":
        nodes = {"estimator": cfg.model.estimator}
    else:
        nodes = {**cfg.augmentation.layers, **cfg.model.layers, "output": cfg.model.output}
    return {name: ", ".join(_said(node)) for name, node in nodes.items() if node is not None}


def _said(node: Mapping[str, Any]) -> Iterator[str]:
    for key, value in node.items():
        if key != "_target_":
            kind = value.get("_target_") if isinstance(value, Mapping) else None
            yield f"{key} {kind.rpartition('.')[2] if kind else value}"


def _interval(run: Finished) -> tuple[float, float]:
    """What the accuracy on all such images may be, with 95 % confidence (Wilson's)."""
    confusion = run.evaluation.confusion
    return tuple(binomtest(int(confusion.trace()), int(confusion.sum())).proportion_ci(method="wilson"))


def _classes(run: Finished) -> list[dict[str, Any]]:
    """The classes that the split has images of, in their order; of many, those with the lowest F1."""
    names, confusion = run.dataset.class_names, run.evaluation.confusion
    right, images, taken = confusion.diagonal(), confusion.sum(axis=1), confusion.sum(axis=0)
    wrong = confusion - np.diag(right)
    rows = []
    for label in np.flatnonzero(images):
        other = wrong[label].argmax()
        row = {
            "name": names[label],
            "images": images[label],
            "precision": right[label] / max(taken[label], 1),
            "recall": right[label] / images[label],
            "f1": 2 * right[label] / (images[label] + taken[label]),
            "taken_for": f"{names[other]} ({wrong[label, other]})" if wrong[label, other] else "",
        }
        rows.append(row)
    worst = sorted(rows, key=lambda row: row["f1"])[:MOST_CLASSES]
    return [row for row in rows if row in worst]
