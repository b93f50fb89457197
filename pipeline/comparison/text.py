"""What a comparison says, in the words and numbers that the terminal and the page share."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pipeline.comparison.compared import Comparison, verdict
from pipeline.comparison.runs import Configuration, spread
from pipeline.comparison.settings import ABSENT
from pipeline.comparison.significance import Difference
from pipeline.contracts import SPLIT_NAMES

LONGEST_NAME = 34


class Metric(NamedTuple):
    """How one is written: `change` is that from the reference to another value, by the kind of number."""

    key: str
    title: str
    written: str
    change: str  # points: hundredths of accuracy | number | percent
    headline: bool = False  # on the terminal too


class Row(NamedTuple):
    """Of a table with a column for each configuration."""

    title: str
    cells: Sequence[str]
    changes: Sequence[str] = ()
    also: Sequence[str] = ()  # other keys with the same values
    headline: bool = False


METRICS = (
    Metric("best_val_accuracy", "best validation accuracy", "{:.4f}", "points", True),
    Metric("val_accuracy", "last validation accuracy", "{:.4f}", "points"),
    Metric("val_loss", "last validation loss", "{:.4f}", "number"),
    Metric("test_accuracy", "test accuracy", "{:.4f}", "points", True),
    Metric("test_loss", "test loss", "{:.4f}", "number"),
    Metric("test_calibration_error", "test calibration error", "{:.4f}", "number"),
    Metric("weights", "weights", "{:,.0f}", "percent", True),
    Metric("best_epoch", "best epoch", "{:.3g}", "number"),
    Metric("train_seconds", "training seconds", "{:,.1f}", "percent", True),
    Metric("images_per_second", "images per second", "{:,.0f}", "percent"),
)


def accuracy(comparison: Comparison, each: Configuration) -> str:
    """By the predictions that are tested."""
    answering = each.answering(comparison.split)
    return _spread([float(run.right(comparison.split).mean()) for run in answering], "{:.4f}")


def _spread(values: Sequence[float], written: str) -> str:
    """Mean and standard deviation."""
    found = spread(values)
    if found is None:
        return "–"
    mean, deviation = found
    return written.format(mean) + ("" if deviation is None else f" ± {written.format(deviation)}")


def replicated(comparison: Comparison) -> bool:
    return any(len(each.counted) > 1 for each in comparison.configurations)


def headlines(comparison: Comparison, few: bool) -> list[Row]:
    """What came out, for the terminal; the shortest of it where many configurations have a row each."""
    groups, split, first = comparison.configurations, SPLIT_NAMES[comparison.split], comparison.reference.label
    rows = [Row("seed", [seeds(each) for each in groups])]
    if few:
        rows += [row for row in results(comparison) if row.headline]
    else:
        rows.append(Row(f"{split} accuracy", [accuracy(comparison, each) for each in groups]))
    if comparison.differences:
        found = [comparison.differences.get(each.label) for each in groups]
        title = f"{split} points from {first}" if few else f"points from {first}"
        rows.append(Row(title, [points(each) if each else "" for each in found]))
        rows.append(Row("p", [p_value(each) if each else "" for each in found]))
    return rows


def measured(metric: Metric, each: Configuration) -> str:
    values = _values(metric, each)
    # what all seeds have in common, as the number of weights, has no spread
    return _spread(values[:1] if len(set(values)) == 1 else values, metric.written)


def _values(metric: Metric, each: Configuration) -> list[float]:
    """Without the 0 weights of an estimator that has none to count."""
    return [value for value in each.values(metric.key) if value or metric.key != "weights"]


def changed(metric: Metric, comparison: Comparison, each: Configuration) -> str:
    """From the reference; nothing for the reference itself, and on other data."""
    first, other = (spread(_values(metric, side)) for side in (comparison.reference, each))
    if each is comparison.reference or not comparison.alike(each) or first is None or other is None:
        return ""
    change = other[0] - first[0]
    if metric.change == "points":
        return f"{100 * change:+.2f}"
    if metric.change == "percent":
        return f"{100 * change / first[0]:+.0f} %" if first[0] else ""
    return metric.written.replace(":", ":+").format(change)


def value(given: Any) -> str:
    """Of a setting, as short as it stays true: a layer by its class and arguments."""
    if given is ABSENT:
        return "–"
    if isinstance(given, Mapping):
        rest = [f"{key}={value(each)}" for key, each in given.items() if key != "_target_"]
        return " ".join([*([value(given["_target_"])] if "_target_" in given else []), *rest]) or "{}"
    if isinstance(given, bool) or given is None:
        return {True: "true", False: "false", None: "null"}[given]
    if isinstance(given, float):
        return f"{given:.6g}"
    if isinstance(given, list):
        return f"[{','.join(map(value, given))}]"
    text = str(given)
    return text.rpartition(".")[2] if text.startswith(("keras.", "pipeline.", "sklearn.")) else text


def name(each: Configuration) -> str:
    """Short enough for a column."""
    full = each.name
    return full if len(full) <= LONGEST_NAME else f"{full[: LONGEST_NAME - 1]}…"


def heading(each: Configuration) -> str:
    return f"{each.label}  {name(each)}"


def seeds(each: Configuration) -> str:
    found = [str(run.seed) for run in each.counted]
    return ", ".join(found) if len(found) <= 4 else f"{len(found)} seeds"


def settings(comparison: Comparison, implied: bool = False) -> list[Row]:
    """What differs in the configuration; or what differs because a name does."""
    return [
        Row(each.keys[0], [value(given) for given in each.values], also=each.keys[1:])
        for each in comparison.settings
        if each.implied == implied
    ]


def apart(comparison: Comparison) -> Iterator[str]:
    """For each configuration a line of what sets it apart from the reference, which says all of that itself."""
    rows = settings(comparison)
    keys = [row.title.removesuffix(".name") for row in rows]
    tails = [key.rpartition(".")[2] for key in keys]
    names = [tail if tails.count(tail) == 1 else key for key, tail in zip(keys, tails, strict=True)]
    for place, each in enumerate(comparison.configurations):
        own = [
            f"{name}={row.cells[place]}"
            for name, row in zip(names, rows, strict=True)
            if place == 0 or row.cells[place] != row.cells[0]
        ]
        yield f"{heading(each)}: {' '.join(own)}"


def results(comparison: Comparison) -> list[Row]:
    """The metrics that some run has, with their differences from the reference."""
    groups = comparison.configurations
    return [
        Row(
            metric.title,
            [measured(metric, each) for each in groups],
            [changed(metric, comparison, each) for each in groups],
            headline=metric.headline,
        )
        for metric in METRICS
        if any(_values(metric, each) for each in groups)
    ]


def points(found: Difference) -> str:
    """The difference and its interval, in hundredths of accuracy."""
    return f"{100 * found.value:+.2f} ({100 * found.low:+.2f} to {100 * found.high:+.2f})"


def p_value(found: Difference) -> str:
    return "< 0.0001" if found.p < 0.0001 else f"{found.p:.2g}" if found.p < 0.1 else f"{found.p:.2f}"


def sentences(comparison: Comparison) -> Iterator[str]:
    """Is it better? One sentence for each other configuration while they are few, else one for each verdict."""
    first, split = comparison.reference.label, SPLIT_NAMES[comparison.split]
    if not comparison.differences:
        yield f"Nothing could be tested against {first}."
    elif len(comparison.differences) <= 3:
        for label, found in comparison.differences.items():
            said = {"better": f"{label} is better than {first}", "worse": f"{label} is worse than {first}"}
            numbers = f"{points(found)} points of {split} accuracy, p = {p_value(found)}".replace("= <", "<")
            yield f"{said.get(verdict(found), f'{label} is not shown to differ from {first}')}: {numbers}."
    else:
        said = {"better": "Better than", "worse": "Worse than", "open": "Not shown to differ from"}
        for kind, labels in comparison.by_verdict().items():
            if labels:
                yield f"{said[kind]} {first} on the {split} split: {', '.join(labels)}."


def method(comparison: Comparison) -> str:
    """How it was tested, and what that says."""
    split = comparison.split
    images = len(comparison.reference.answering(split)[0].labels[split])
    if any(len(each.answering(split)) > 1 for each in comparison.configurations):
        how = (
            "an image counts by the share of seeds that get it right (McNemar's test for clustered pairs, with the "
            "spread between seeds added to its variance), so this speaks of the configurations"
        )
    else:
        how = (
            "what counts are those that only one of the two gets right (McNemar's exact test, stricter than the "
            "interval where they are few), so this speaks of these very models; several seeds of each would speak of "
            "the configurations"
        )
    said = f"Tested on the {images:,} images of the {SPLIT_NAMES[split]} split, one by one: {how}."
    if comparison.tests > 1:
        said += f" p is corrected for {comparison.tests} tests (Holm), the intervals, 95 % each, are not."
    if comparison.against_best and comparison.tests > 1:
        said += " So many, because the best was picked by these predictions, which looks at every pair."
    return said
