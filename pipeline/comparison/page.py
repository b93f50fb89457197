"""A comparison -> one self-contained page."""

import io
from collections.abc import Iterator, Sequence
from itertools import product
from typing import NamedTuple

import numpy as np
from markupsafe import Markup
from PIL import Image

from pipeline.comparison import text
from pipeline.comparison.compared import Comparison, verdict
from pipeline.comparison.runs import Configuration
from pipeline.contracts import SPLIT_NAMES
from pipeline.figures import comparison as figures
from pipeline.pages import data_uri, picture, render

MOST_MATRICES = 6  # configurations, the reference among them
MOST_COLUMNS = 6  # configurations in the table of settings


class Bar(NamedTuple):
    """Of an interval, in percent of the width that all of them share."""

    low: float
    high: float
    middle: float
    zero: float


class Picture(NamedTuple):
    """One of a row of small ones."""

    title: str
    place: int  # of its configuration
    image: Markup


def page_of(comparison: Comparison) -> str:
    """The text of its file."""
    groups = comparison.configurations
    return render(
        "comparison.html",
        comparison=comparison,
        text=text,
        verdict=verdict,
        colors=[figures.color(place) for place in range(len(groups))],
        colored=len(figures.COLORS),
        bars=_bars(comparison),
        across=len(groups) <= MOST_COLUMNS,
        curves=list(_curves(groups)),
        matrices=list(_matrices(comparison)),
        kernels=_kernels(groups),
    )


def _bars(comparison: Comparison) -> dict[str, Bar]:
    found = comparison.differences
    reach = max((abs(end) for each in found.values() for end in (each.low, each.high)), default=1.0) or 1.0

    def percent(value: float) -> float:
        return round(50 + 50 * value / reach, 2)

    return {
        label: Bar(percent(each.low), percent(each.high), percent(each.value), percent(0.0))
        for label, each in found.items()
    }


def _curves(groups: Sequence[Configuration]) -> Iterator[Markup]:
    """Of validation, then of training; nothing where no run has had a second epoch."""
    lines = [[run.epochs for run in each.counted] for each in groups]
    if any(len(epochs) > 1 for runs in lines for epochs in runs):
        for split, quantity in product(("val", "train"), ("accuracy", "loss")):
            yield picture(figures.curves(lines, split, quantity))


def _matrices(comparison: Comparison) -> Iterator[Markup]:
    """The reference's, and how the next ones differ from it."""
    split, first = comparison.split, comparison.reference
    if not first.answering(split):
        return
    names, counts = first.answering(split)[0].class_names, first.confusion(split)
    subtitle = f"{SPLIT_NAMES[split]} split" + (", mean of the seeds" if len(first.answering(split)) > 1 else "")
    yield picture(figures.confusion(counts, names, f"{first.label}: confusion", subtitle))
    tested = [each for each in comparison.configurations if each.label in comparison.differences]
    changes = {each.label: each.confusion(split) - counts for each in tested[: MOST_MATRICES - 1]}
    limit = max((float(np.abs(change).max()) for change in changes.values()), default=0.0) or 1.0
    for label, change in changes.items():
        title = f"{label} − {first.label}"
        yield picture(figures.confusion_change(change, names, limit, title, "blue is better, red is worse"))


def _kernels(groups: Sequence[Configuration]) -> dict[str, list[Picture]]:
    """By layer, in the order of the layers' names: of each configuration's first run, or of all while they are few."""
    every = sum(len(each.runs) for each in groups) <= 2 * MOST_COLUMNS
    found: dict[str, list[Picture]] = {}
    for place, each in enumerate(groups):
        several = every and len(each.counted) > 1
        for run in each.counted if every else each.counted[:1]:
            title = f"{each.label}, seed {run.seed}" if several else text.heading(each)
            for layer, image in run.kernels.items():
                found.setdefault(layer, []).append(Picture(title, place, data_uri(Image.open(io.BytesIO(image)))))
    return dict(sorted(found.items()))
