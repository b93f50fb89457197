"""Several runs -> what differs between them: configuration, metrics, and which is better, as plain values."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

from pipeline.comparison.runs import Configuration, Run, replicates
from pipeline.comparison.settings import Setting, settings
from pipeline.comparison.significance import LEVEL, Difference, difference, holm
from pipeline.contracts import SPLIT_NAMES

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


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
    def runs(self) -> tuple[Run, ...]:
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


def compare(runs: Sequence[Run], against_best: bool, split: str | None = None) -> Comparison:
    """Of two runs or more. Without a split, the one that most can be compared on: validation, unless it is test."""
    groups = replicates(runs)
    # replicates of one configuration: run against run, with the seed as what differs
    alone = len(groups) == 1
    if alone:
        groups = [[run] for run in runs]
    split = split or max(SPLIT_NAMES, key=lambda each: sum(run.answers(each) for run in runs))
    found = [Configuration("", tuple(group)) for group in groups]
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
        settings=tuple(settings(found, with_seed=alone)),
        differences=differences,
        tests=tests,
        notes=tuple(_notes(found, split)),
    )


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


def _notes(found: Sequence[Configuration], split: str) -> Iterator[str]:
    """What could not be compared, and why."""
    runs = [run for each in found for run in each.runs]
    without = [f"{run.name} ({run.run_id[:8]}, {run.state})" for run in runs if split not in run.predicted]
    if without:
        what = f"No predictions of the {SPLIT_NAMES[split]} split, so configuration, metrics and curves alone"
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
            yield f"{each.label} leaves out {', '.join(again)}: a seed counts once, and runs that finished go before."
