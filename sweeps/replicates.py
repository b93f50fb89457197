"""Which trials are the same one but for its seed."""

from collections.abc import Iterable
from typing import Any

from sweeps.contracts import Record


def key(value: Any) -> tuple[str, Any]:
    """What makes two values the same: 1 and 1.0 are, 1 and True are not. Lists have one too, and all can be sorted."""
    return ("", float(value)) if is_number(value) else (type(value).__name__, repr(value))


def is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def replicates(trials: Iterable[Record], parameter: str | None = None) -> list[list[Record]]:
    """Groups of trials that are equal in everything but seeds. A reused result is no further replicate.

    parameter tells trials apart even where it is a seed.
    """
    groups: dict[tuple, dict[int, Record]] = {}
    for trial in trials:
        names = sorted(name for name in trial.params if name == parameter or not is_seed(name))
        group = groups.setdefault(tuple((name, key(trial.params[name])) for name in names), {})
        group.setdefault(trial.number if trial.reuses is None else trial.reuses, trial)
    return [list(group.values()) for group in groups.values()]


def is_seed(name: str) -> bool:
    return name.split(".")[-1] == "seed"
