"""Runs as they were logged, and the configurations that they are replicates of."""

import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.config import recipe
from pipeline.contracts import SPLIT_NAMES

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

NOT_LEARNED = ("evaluate", "objective")  # what a sweep asks of its trials: the model comes out the same


@dataclass(frozen=True, eq=False)
class Run:
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
    runs: tuple[Run, ...]

    @property
    def name(self) -> str:
        return re.sub(r" seed \d+$", "", self.counted[0].name)

    @property
    def data(self) -> str:
        return self.runs[0].data

    @property
    def counted(self) -> tuple[Run, ...]:
        """One run for each seed, by its number: the same run again is no replicate. Those that finished, if any did."""
        runs = [run for run in self.runs if run.state == "complete"] or self.runs
        same = [[run for run in runs if run.seed == seed] for seed in sorted({run.seed for run in runs})]
        return tuple(max(again, key=lambda run: len(run.predicted)) for again in same)

    def answering(self, split: str) -> tuple[Run, ...]:
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


def replicates(runs: Sequence[Run]) -> list[list[Run]]:
    """Those together that differ in their seed alone, in the order of their first."""
    groups: list[list[Run]] = []
    for run in runs:
        same = [group for group in groups if (group[0].data, group[0].recipe) == (run.data, run.recipe)]
        if same:
            same[0].append(run)
        else:
            groups.append([run])
    return groups


def spread(values: Sequence[float]) -> tuple[float, float | None] | None:
    """Mean and standard deviation; None without a value, no deviation of a single one."""
    if not values:
        return None
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else None


def read(run: "StoredRun") -> Run:
    """What a comparison needs of a run that has a configuration."""
    plain = recipe(run.config)
    kept = {split: arrays for split in SPLIT_NAMES if (arrays := run.arrays(f"predictions_{split}.npz"))}
    classes = max((arrays["probabilities"].shape[1] for arrays in kept.values()), default=0)
    seen = run.json("input.json") or {}
    tags = run.run.data.tags
    return Run(
        run_id=run.run_id,
        name=run.name,
        state=run.state,
        seed=plain["seed"],
        recipe={key: value for key, value in plain.items() if key not in (*NOT_LEARNED, "seed")}
        | {"model": _unseeded(plain["model"], plain["seed"])},
        data=tags["dataset_sha256"],
        code=tags.get("git_commit", "unknown")[:7] + (" with changes" if run.origin.changed else ""),
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
