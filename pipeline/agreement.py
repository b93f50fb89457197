"""How far a run and its repetition agree: code, data, environment, curves, predictions."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.contracts import SPLIT_NAMES
from pipeline.tracking.git import UNCOMMITTED

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

# Between rounding and chance: `model=cnn_dropout` on mnist5k with one thread in place of two moved an accuracy by at
# most 0.006 in any of 25 epochs and 0.7 % of the predicted classes; with another seed, 0.014 and 2 %.
TOLERANCE = 0.01


@dataclass(frozen=True)
class Cause:
    """Something that the numbers depend on. same is None where that is not known."""

    what: str
    same: bool | None
    detail: str


@dataclass(frozen=True)
class Effect:
    """Numbers. distance is what a tolerance is compared with: a difference of accuracies, or a share of images."""

    what: str
    exact: bool
    distance: float
    detail: str

    def within(self, tolerance: float) -> bool:
        """With 0, bit for bit."""
        return self.exact or (tolerance > 0 and self.distance <= tolerance)


@dataclass(frozen=True)
class Agreement:
    """Of two runs of one configuration."""

    causes: tuple[Cause, ...]
    effects: tuple[Effect, ...]
    on_cpu: bool

    @property
    def tolerance(self) -> float:
        """0, bit for bit, where every cause is the same; but a GPU adds in any order."""
        return 0 if self.on_cpu and all(cause.same for cause in self.causes) else TOLERANCE

    @property
    def exact(self) -> bool:
        return all(effect.exact for effect in self.effects)


def compare(original: "StoredRun", again: "StoredRun") -> Agreement:
    """Of two runs of one configuration that trained to their end."""
    then, now = (run.json("environment.json") or {} for run in (original, again))
    causes = (_code(original, again), _data(original, again), _versions(then, now), _machine(then, now))
    effects = (_curves(original, again), *_predictions(original, again))
    return Agreement(causes, effects, on_cpu=then.get("device") == "CPU")


def _code(original: "StoredRun", again: "StoredRun") -> Cause:
    """Commit and uncommitted changes."""
    (then, changed), (now, changes) = (
        (run.run.data.tags.get("git_commit"), run.read(UNCOMMITTED) or b"") for run in (original, again)
    )
    if then is None or now is None:
        return Cause("code", None, "one of the runs does not say which commit it was")
    before, after = (
        f"commit {commit[:8]}{' with changes' if diff else ''}" for commit, diff in ((then, changed), (now, changes))
    )
    same = (then, changed) == (now, changes)
    return Cause("code", same, before if same else f"{before} → {after if after != before else 'other changes'}")


def _data(original: "StoredRun", again: "StoredRun") -> Cause:
    then, now = (run.run.data.tags["dataset_sha256"] for run in (original, again))
    return _compared("data", {"sha256": then[:12]}, {"sha256": now[:12]})


def _versions(then: Mapping[str, Any], now: Mapping[str, Any]) -> Cause:
    return _compared(
        "versions", *({"python": each["python"], **each["packages"]} if each else {} for each in (then, now))
    )


def _machine(then: Mapping[str, Any], now: Mapping[str, Any]) -> Cause:
    keys = ("device", "processor", "cores", "platform")
    return _compared(
        "machine", *({**{key: each[key] for key in keys}, **each["variables"]} if each else {} for each in (then, now))
    )


def _compared(what: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> Cause:
    """All values where they are the same, else those that differ."""
    if not then or not now:
        return Cause(what, None, "one of the runs is older than environment.json")
    apart = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if apart:
        return Cause(what, False, ", ".join(f"{key} {then.get(key, '-')} → {now.get(key, '-')}" for key in apart))
    return Cause(what, True, ", ".join(f"{key} {value}" for key, value in then.items()))


def _curves(original: "StoredRun", again: "StoredRun") -> Effect:
    """The largest difference of an accuracy in any epoch; a loss has no scale of its own, and is told."""
    then, now = original.history().epochs, again.history().epochs
    if len(then) != len(now):
        return Effect("curves", False, math.inf, f"{len(then)} epochs → {len(now)}")
    if then == now:
        return Effect("curves", True, 0, f"{', '.join(then[0])} of {len(then)} epochs")
    apart = {name: max(abs(a[name] - b[name]) for a, b in zip(then, now, strict=True)) for name in then[0]}
    told = ", ".join(f"{name} {distance:.2g}" for name, distance in apart.items())
    return Effect("curves", False, max(apart["train_accuracy"], apart["val_accuracy"]), f"apart by up to: {told}")


def _predictions(original: "StoredRun", again: "StoredRun") -> Iterator[Effect]:
    """The share of images that are taken for another class, in each split that was evaluated."""
    for split, name in SPLIT_NAMES.items():
        then, now = (run.arrays(f"predictions_{split}.npz") for run in (original, again))
        if then is not None and now is not None:
            a, b = then["probabilities"], now["probabilities"]
            exact, others = np.array_equal(a, b), int((a.argmax(axis=1) != b.argmax(axis=1)).sum())
            moved = f"{others:,} in another class, probabilities apart by up to {abs(a - b).max():.2g}"
            yield Effect(name, exact, others / len(a), f"{len(a):,} images" + ("" if exact else f": {moved}"))
