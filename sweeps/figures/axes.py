"""Axes: how values lie along them, where their ticks are, and what frames them."""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, NullLocator

from pipeline.figures.style import INK, plain
from sweeps.contracts import Parameter, is_number, key
from sweeps.figures.words import cut, tick_texts, written

LINES = "#e6e9ed"
CHARACTER = 0.075  # inches: a letter of a tick label, at most


@dataclass(frozen=True)
class Scale:
    """How values lie along an axis: numbers from low to high, or categories side by side at 0, 1, 2..."""

    low: float
    high: float
    log: bool = False
    categories: tuple[Any, ...] = ()
    ticks: tuple[float, ...] = ()
    texts: tuple[str, ...] = ()

    def place(self, value: Any) -> float:
        """Where a value lies, in the coordinates of the axis."""
        if not self.categories:
            return float(value)
        return float([key(category) for category in self.categories].index(key(value)))

    def along(self, place: float) -> float:
        """The same from 0, the low end, to 1; what lies beyond the axis lies at its end."""
        low, high = self.low, self.high
        if self.log:
            low, high, place = math.log(low), math.log(high), math.log(place) if place > 0 else -math.inf
        return min(max((place - low) / (high - low), 0.0), 1.0)

    def marks(self, letters: int) -> list[tuple[float, str]]:
        """(where it is along the axis, label) of at most 16 ticks."""
        every = math.ceil(len(self.ticks) / 16)
        pairs = zip(self.ticks[::every], self.texts[::every], strict=True)
        return [(self.along(tick), plain([cut(text, letters)])[0]) for tick, text in pairs]

    def beyond(self, values: Iterable[float], shape: str = " (triangles)") -> str:
        """Says how much is not where it belongs, where the axis leaves something out."""
        count = sum(not self.low <= value <= self.high for value in values)
        return f"; {count} beyond the axis{shape}" if count else ""


def number_scale(values: Collection[float], log: bool = False) -> Scale:
    low, high = min(values), max(values)
    log = log and 0 < low < high
    low, high = (math.log10(low), math.log10(high)) if log else (float(low), float(high))
    pad = 0.05 * (high - low)
    if pad <= 1e-9 * abs(low):  # all equal
        pad = 0.05 * abs(low) or 0.5
    low, high = (10 ** (low - pad), 10 ** (high + pad)) if log else (low - pad, high + pad)
    ticks = log_ticks(low, high) if log else linear_ticks(low, high)
    return Scale(low, high, log, ticks=tuple(ticks), texts=tick_texts(ticks, log))


def goal_scale(values: Sequence[float], maximize: bool, extra: Sequence[float] = ()) -> Scale:
    """An axis for an objective. It leaves out far too bad values and extras, which would squeeze all others."""
    # a loss is read by its factors; what is to be large is only where it spans many orders
    log = is_wide(values) if not maximize else min(values) > 0 and max(values) / float(np.median(values)) > 1000
    shown = np.array([*values, *(value for value in extra if value > 0 or not log)], float)
    goodness = (1 if maximize else -1) * (np.log10(shown) if log else shown)
    quarter, best = np.quantile(goodness[: len(values)], 0.25), goodness[: len(values)].max()
    inside = goodness >= quarter - 3 * (best - quarter)
    far = np.ptp(goodness[inside]) < np.ptp(goodness) / 2
    return number_scale(shown[inside] if far else shown, log)


def category_scale(values: Iterable[Any]) -> Scale:
    """An axis with a place for each distinct value, in the order given."""
    distinct = tuple({key(value): value for value in values}.values())
    return Scale(-0.5, len(distinct) - 0.5, False, distinct, tuple(range(len(distinct))), tuple(map(written, distinct)))


def parameter_scale(parameter: Parameter, values: Sequence[Any]) -> Scale:
    """An axis for the values of a parameter: choices lie side by side."""
    if parameter.choices is not None or not all(map(is_number, values)):
        return category_scale([*(parameter.choices or ()), *sorted(values, key=key)])
    scale = number_scale(values, parameter.log)
    if len(set(values)) == 1:
        return replace(scale, ticks=(values[0],), texts=(written(values[0]),))
    if not scale.log and all(isinstance(value, int) for value in values):
        ticks = tuple(linear_ticks(scale.low, scale.high, whole=True))
        return replace(scale, ticks=ticks, texts=tick_texts(ticks))
    return scale


def is_wide(values: Sequence[float]) -> bool:
    """Whether numbers need a log axis to be told apart."""
    return min(values) > 0 and max(values) / min(values) > 30


def linear_ticks(low: float, high: float, whole: bool = False, most: int = 6) -> list[float]:
    ticks = MaxNLocator(most, integer=whole, steps=[1, 2, 5, 10], min_n_ticks=1).tick_values(low, high)
    return [float(tick) for tick in ticks if low <= tick <= high]


def log_ticks(low: float, high: float) -> list[float]:
    """Powers of ten where there are enough of them, at most six; else also 2 and 5 times them."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1,), (1, 3), (1, 2, 5)):
        ticks = [factor * 10.0**power for power in powers for factor in factors]
        ticks = [tick for tick in ticks if low <= tick <= high]
        if len(ticks) >= 3:
            return ticks[:: math.ceil(len(ticks) / 6)]
    return linear_ticks(low, high)


def scale_y(axes: Axes, scale: Scale) -> None:
    axes.set_yscale("log" if scale.log else "linear")
    axes.set_ylim(scale.low, scale.high)
    axes.set_yticks(scale.ticks, scale.texts, fontsize=9)
    axes.yaxis.set_minor_locator(NullLocator())


def scale_x(axes: Axes, scale: Scale, inches: float) -> None:
    """An x axis of this length. Labels that would touch are turned if they are of categories, and thinned out."""
    axes.set_xscale("log" if scale.log else "linear")
    axes.set_xlim(scale.low, scale.high)
    texts = [cut(text, 14) for text in scale.texts]
    widths = np.array([len(text) * CHARACTER + 0.08 for text in texts])
    gaps = inches * np.diff([scale.along(tick) for tick in scale.ticks])
    crowd = max((widths[:-1] + widths[1:]) / 2 / gaps, default=0.0)
    style = {}
    if crowd > 1 and scale.categories:
        style = {"rotation": 35, "ha": "right", "rotation_mode": "anchor"}
        crowd = max(0.2 / gaps)
    every = max(math.ceil(crowd), 1)
    axes.set_xticks(scale.ticks[::every], plain(texts[::every]), fontsize=9, **style)
    axes.xaxis.set_minor_locator(NullLocator())


def count_x(axes: Axes, low: float, high: float) -> None:
    """An x axis of trials or epochs."""
    axes.set_xlim(low, high)
    ticks = linear_ticks(low, high, whole=True, most=10)
    axes.set_xticks(ticks, tick_texts(ticks), fontsize=9)


def frame(axes: Axes, xlabel: str, ylabel: str) -> None:
    """The names of the axes, and faint lines at the ticks of y."""
    axes.set_xlabel(*plain([cut(xlabel, 48)]), color=INK, fontsize=9.5)
    axes.set_ylabel(*plain([cut(ylabel, 28)]), color=INK, fontsize=9.5)
    axes.grid(axis="y", color=LINES, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
