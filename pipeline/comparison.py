"""Several runs -> what differs between them: configuration, metrics, and which is better, as plain values."""

import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import recipe
from pipeline.significance import LEVEL, Difference, difference, holm

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

SPLITS = {"val": "validation", "test": "test"}
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
NOT_LEARNED = ("evaluate", "objective")  # what a sweep asks of its trials: the model comes out the same
ABSENT = object()  # in a setting's values: this configuration has no such key


@dataclass(frozen=True, eq=False)
class Member:
    """One run, as it was logged. Equal to itself alone: its arrays could not be compared with ==."""

    run_id: str
    name: str
    state: str
    seed: int
    recipe: Mapping[str, Any]  # without the seed
    data: str  # the dataset's SHA-256
    code: str
    metrics: Mapping[str, float]
    epochs: tuple[Mapping[str, float], ...]
    class_names: tuple[str, ...]
    labels: Mapping[str, np.ndarray]  # by split
    predicted: Mapping[str, np.ndarray]
    kernels: Mapping[str, bytes]  # by layer, the PNG of the last epoch

    def answers(self, split: str) -> bool:
        """Are its predictions of this split there, and do they say anything of unseen images?"""
        return split in self.predicted and not (split == "val" and self.recipe["train_on"] == "train_val")

    def right(self, split: str) -> np.ndarray:
        return self.predicted[split] == self.labels[split]


@dataclass(frozen=True)
class Configuration:
    """Runs on the same data that differ in their seed alone."""

    label: str
    runs: tuple[Member, ...]

    @property
    def name(self) -> str:
        return re.sub(r" seed \d+$", "", self.counted[0].name)

    @property
    def data(self) -> str:
        return self.runs[0].data

    @property
    def counted(self) -> tuple[Member, ...]:
        """One run for each seed, by its number: the same run again is no replicate. Those that finished, if any did."""
        runs = [run for run in self.runs if run.state == "complete"] or self.runs
        same = [[run for run in runs if run.seed == seed] for seed in sorted({run.seed for run in runs})]
        return tuple(max(again, key=lambda run: len(run.predicted)) for again in same)

    def answering(self, split: str) -> tuple[Member, ...]:
        return tuple(run for run in self.counted if run.answers(split))

    def right(self, split: str) -> np.ndarray:
        """(runs, images): is the answer right?"""
        return np.stack([run.right(split) for run in self.answering(split)])

    def values(self, metric: str) -> list[float]:
        return [run.metrics[metric] for run in self.counted if metric in run.metrics]

    def confusion(self, split: str) -> np.ndarray:
        """[i, j]: images of class i taken for class j, on average over the runs."""
        runs = self.answering(split)
        classes = len(runs[0].class_names)
        pairs = np.concatenate([run.labels[split] * classes + run.predicted[split] for run in runs])
        return np.bincount(pairs, minlength=classes**2).reshape(classes, classes) / len(runs)


@dataclass(frozen=True)
class Setting:
    """A key of the configuration whose value is not the same everywhere, and keys that always have the same values."""

    keys: tuple[str, ...]
    values: tuple[Any, ...]  # of each configuration
    implied: bool = False  # by another name in its group: the layers of another model, another optimizer's arguments


@dataclass(frozen=True)
class Comparison:
    """The first configuration is the reference: the first that was named, or the best."""

    configurations: tuple[Configuration, ...]
    against_best: bool
    split: str
    settings: tuple[Setting, ...]
    differences: Mapping[str, Difference]  # by label, from the reference; p is corrected for their number
    tests: int  # how many p values there were
    notes: tuple[str, ...]

    @property
    def reference(self) -> Configuration:
        return self.configurations[0]

    @property
    def runs(self) -> tuple[Member, ...]:
        return tuple(run for each in self.configurations for run in each.runs)

    def alike(self, other: Configuration) -> bool:
        """Was it trained and measured on the reference's data?"""
        return other.data == self.reference.data

    def by_verdict(self) -> dict[str, list[str]]:
        """Labels of the configurations that are shown to be better or worse than the reference, or neither."""
        found = {"better": [], "worse": [], "open": []}
        for label, each in self.differences.items():
            found[verdict(each)].append(label)
        return found


def verdict(found: Difference) -> str:
    """better, worse, or open: not shown to differ."""
    if found.p >= LEVEL:
        return "open"
    return "better" if found.value > 0 else "worse"


def spread(values: Sequence[float]) -> tuple[float, float | None] | None:
    """Mean and standard deviation; None without a value, no deviation of a single one."""
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def read(run: "StoredRun") -> Member:
    """What a comparison needs of a run that has a configuration."""
    plain = recipe(run.config)
    kept = {split: arrays for split in SPLITS if (arrays := run.arrays(f"predictions_{split}.npz"))}
    classes = max((arrays["probabilities"].shape[1] for arrays in kept.values()), default=0)
    seen = run.json("input.json") or {}
    tags = run.run.data.tags
    return Member(
        run_id=run.run_id,
        name=run.name,
        state=run.state,
        seed=plain["seed"],
        recipe={key: value for key, value in plain.items() if key not in (*NOT_LEARNED, "seed")}
        | {"model": _unseeded(plain["model"], plain["seed"])},
        data=tags["dataset_sha256"],
        code=tags.get("git_commit", "unknown")[:7] + (" with changes" if "uncommitted.diff" in run.artifacts else ""),
        metrics=run.run.data.metrics,
        epochs=run.epochs(),
        class_names=tuple(seen.get("class_names", map(str, range(classes)))),
        labels={split: arrays["labels"] for split, arrays in kept.items()},
        predicted={split: arrays["probabilities"].argmax(axis=1) for split, arrays in kept.items()},
        kernels=run.last_images("kernels"),
    )


def _unseeded(node: Any, seed: int) -> Any:
    """A model whose estimators have the run's seed as random_state, without that."""
    if not isinstance(node, Mapping):
        return node
    return {
        key: "${seed}" if key == "random_state" and value == seed else _unseeded(value, seed)
        for key, value in node.items()
    }


def compare(members: Sequence[Member], against_best: bool, split: str | None = None) -> Comparison:
    """Of two runs or more. Without a split, the one that most can be compared on: validation, unless it is test."""
    groups = _groups(members)
    # replicates of one configuration: run against run, with the seed as what differs
    alone = len(groups) == 1
    if alone:
        groups = [[member] for member in members]
    split = split or max(SPLITS, key=lambda each: sum(member.answers(each) for member in members))
    found = [Configuration(LETTERS[:1], tuple(group)) for group in groups]
    if against_best:
        sizes = Counter(each.data for each in found)
        found.sort(key=lambda each: (-sizes[each.data], -_accuracy(each, split)))
    found = [
        replace(each, label=LETTERS[place] if len(found) <= len(LETTERS) else str(place + 1))
        for place, each in enumerate(found)
    ]
    differences, tests = _differences(found, against_best, split)
    return Comparison(
        configurations=tuple(found),
        against_best=against_best,
        split=split,
        settings=tuple(_settings(found, with_seed=alone)),
        differences=differences,
        tests=tests,
        notes=tuple(_notes(found, split)),
    )


def _groups(members: Sequence[Member]) -> list[list[Member]]:
    """Those that differ in their seed alone, in the order of their first."""
    groups: list[list[Member]] = []
    for member in members:
        for group in groups:
            if (group[0].data, group[0].recipe) == (member.data, member.recipe):
                group.append(member)
                break
        else:
            groups.append([member])
    return groups


def _accuracy(each: Configuration, split: str) -> float:
    return float(each.right(split).mean()) if each.answering(split) else -1.0


def _differences(found: Sequence[Configuration], against_best: bool, split: str) -> tuple[dict[str, Difference], int]:
    """From the first to each other on the same images, and how many p values they are corrected for.

    Who picks the best by these predictions has looked at every pair, so every pair counts.
    """
    rights = {each.label: each.right(split) for each in found if each.data == found[0].data and each.answering(split)}
    first = found[0].label
    pairs = [pair for pair in combinations(rights, 2) if against_best or pair[0] == first]
    tested = [difference(rights[one], rights[other]) for one, other in pairs]
    corrected = holm([each.p for each in tested])
    return {
        other: replace(each, p=p)
        for (one, other), each, p in zip(pairs, tested, corrected, strict=True)
        if one == first
    }, len(pairs)


def _settings(found: Sequence[Configuration], with_seed: bool) -> Iterator[Setting]:
    alike: dict[tuple, list[Setting]] = {}
    for key, values in _differing([each.runs[0].recipe for each in found], ""):
        # what is given once and used in several places, as dropout.rate is, is one setting
        place = (key.rpartition(".")[2], tuple(map(repr, values)))
        alike.setdefault(place, []).append(Setting((key,), tuple(values)))
    for same in alike.values():
        keys = sorted((each.keys[0] for each in same), key=len)
        yield Setting(tuple(keys), same[0].values, _implied(keys[0], same[0].values, found))
    others = {
        "seed": tuple(each.runs[0].seed for each in found) if with_seed else (),
        "data": tuple(each.data[:8] for each in found),
        "code": tuple(", ".join(sorted({run.code for run in each.runs})) for each in found),
    }
    yield from (Setting((key,), values) for key, values in others.items() if len(set(values)) > 1)


def _implied(key: str, values: Sequence[Any], found: Sequence[Configuration]) -> bool:
    group, _, rest = key.partition(".")
    nodes = [each.runs[0].recipe.get(group) for each in found]
    names = {node.get("name") for node in nodes if isinstance(node, Mapping)}
    return len(names) > 1 and rest != "name" and ("." in rest or any(_is_part(value) for value in values))


def _is_part(value: Any) -> bool:
    return value is ABSENT or isinstance(value, Mapping)


def _differing(nodes: Sequence[Any], prefix: str) -> Iterator[tuple[str, list[Any]]]:
    """Dotted keys and their values where these are not the same; a mapping that some lack stays whole."""
    if not all(isinstance(node, Mapping) for node in nodes):
        if any(node != nodes[0] for node in nodes):
            yield prefix, list(nodes)
        return
    keys = list(dict.fromkeys(key for node in nodes for key in node))
    named = "name" in keys and len({node.get("name") for node in nodes}) > 1  # the name says the _target_ too
    for key in keys:
        if not (named and key == "_target_"):
            yield from _differing([node.get(key, ABSENT) for node in nodes], f"{prefix}.{key}" if prefix else key)


def _notes(found: Sequence[Configuration], split: str) -> Iterator[str]:
    """What could not be compared, and why."""
    runs = [run for each in found for run in each.runs]
    without = [f"{run.name} ({run.run_id[:8]}, {run.state})" for run in runs if split not in run.predicted]
    if without:
        what = f"No predictions of the {SPLITS[split]} split, so configuration, metrics and curves alone"
        yield f"{what}: {', '.join(without)}."
    if trained := [each.label for each in found if each.runs[0].recipe["train_on"] == "train_val"]:
        yield (
            "Trained on the validation images too, so that their validation figures say nothing of unseen images: "
            f"{', '.join(trained)}."
        )
    if others := [each.label for each in found if each.data != found[0].data]:
        yield (
            f"Trained and measured on other data than {found[0].label}, so without a difference from it: "
            f"{', '.join(others)}."
        )
    for each in found:
        if again := [run.run_id[:8] for run in each.runs if run not in each.counted]:
            yield f"Not counted in {each.label}, because it has the seed already, and finished: {', '.join(again)}."
