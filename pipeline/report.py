"""A finished run as one self-contained page: its data, model, training, results and mistakes, in that order."""

from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
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
            where=_where(run.cfg.tracking),
            config=OmegaConf.to_yaml(run.cfg, resolve=True),
        )
        yield NAME, page.encode()
    except Exception as error:  # as with figures: not worth the trained model that would count as failed
        print(f"{NAME}: could not be written, {type(error).__name__}: {first_line(error)}", flush=True)


def _samples(dataset: Dataset) -> list[tuple[str, Any]]:
    """(class, its first training image as a data URI)."""
    there = [(name, np.flatnonzero(dataset.train.labels == label)) for label, name in enumerate(dataset.class_names)]
    first = [(name, places[0]) for name, places in islice(filter(lambda each: len(each[1]), there), MOST_SAMPLES)]
    shown = (255 * pictures(dataset.train.images[[place for _, place in first]])).astype(np.uint8)
    return [(name, pages.data_uri(Image.fromarray(image))) for (name, _), image in zip(first, shown, strict=True)]


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
    """Each class with its scores and what it was most often taken for, in their order; of many, the worst ones."""
    names, confusion = run.dataset.class_names, run.evaluation.confusion
    rows = []
    for label, name in enumerate(names):
        wrong = np.where(np.arange(len(names)) == label, 0, confusion[label])
        other = int(wrong.argmax())
        scores = {key.replace("-", "_"): value for key, value in run.evaluation.report[name].items()}
        taken = f"{names[other]} ({wrong[other]})" if wrong[other] else ""
        rows.append({"name": name, "taken_for": taken, **scores})
    rows = [row for row in rows if row["support"]]
    kept = sorted(rows, key=lambda row: row["f1_score"])[:MOST_CLASSES]
    return [row for row in rows if row in kept]


def _where(tracking: DictConfig) -> str:
    """What the commands need to find the run."""
    if tracking.uri:
        return f" --uri {tracking.uri}"
    return f" --store {tracking.store}" if tracking.store != "mlruns" else ""
