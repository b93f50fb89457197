"""What is written on the figures: numbers, values, names and sentences, short enough for their places."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from sweeps.contracts import Summary
from sweeps.figures.trials import Results


def cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def short(value: float, digits: int = 4) -> str:
    """20000 -> 20k, 1e-05 -> 1e-5."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if max(size, 1e4) <= abs(value) < 1e12:
            return f"{value / size:.{digits}g}{unit}"
    return f"{value:.{digits}g}".replace("e+", "e").replace("e-0", "e-")


def written(value: Any) -> str:
    """A parameter's value as it would be written in the configuration."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return short(value) if isinstance(value, float) else str(value)


def tick_texts(ticks: Sequence[float], log: bool = False) -> tuple[str, ...]:
    """Labels of one kind for all ticks: the same unit, the same number of decimals."""
    if log or not 1e-4 <= max(map(abs, ticks), default=0.0) < 1e4:
        return tuple(short(tick, 6) for tick in ticks)
    decimals = next((n for n in range(10) if all(abs(round(tick, n) - tick) < 1e-9 for tick in ticks)), 10)
    return tuple(f"{tick:.{decimals}f}" for tick in ticks)


def short_names(names: Sequence[str], longest: int) -> dict[str, str]:
    """Labels for dotted names: the last two parts, or the whole name where two would look the same."""
    tails = {}
    for name in names:
        path, bracket, branch = name.partition("[")  # learning_rate[adam]: what only one choice has
        tails[name] = ".".join(path.split(".")[-2:]) + bracket + branch
    looks = Counter(tails.values())
    return {name: _squeezed(tail if looks[tail] == 1 else name, longest) for name, tail in tails.items()}


def _squeezed(name: str, longest: int) -> str:
    """Cut in the middle: what sets a name apart is at its start, or in the brackets at its end."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[: half - 1]}…{name[half - longest :]}"


def two_lines(name: str, line: int) -> str:
    return name if len(name) <= line else "\n".join(_squeezed(part, line) for part in name.split(".", 1))


def counts(summary: Summary) -> str:
    """Who is how far: 20 complete, 3 pruned of 30 trials."""
    states = Counter(trial.state for trial in summary.trials)
    order = ("complete", "pruned", "failed", "running", "waiting")
    parts = [f"{states[state]} {state}" for state in order if states[state]]
    return f"{', '.join(parts) or 'none'} of {max(summary.n_trials, len(summary.trials))} trials"


def best_words(results: Results) -> str:
    if not results.trials:
        return "no trial is complete yet"
    return f"best {short(results.values[results.best])} in trial {results.trials[results.best].number}"
