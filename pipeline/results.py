"""Our numbers beside the references': `python -m pipeline.results` runs what is missing and writes docs/RESULTS.md."""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pipeline.config import check, trained
from pipeline.errors import PipelineError, one_line_errors
from pipeline.explain import CONF, PATHS, chosen_figures, finished

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

WORSE = 0.002  # further below the reference's figure than this, the row must say why


@dataclass(frozen=True)
class Row:
    """One line of the table, as conf/results.yaml has it."""

    experiment: str
    reference: str
    seeds: int
    show: tuple[str, ...]
    split: str = "test"
    figure: float | None = None
    said: str | None = None
    overrides: tuple[str, ...] = ()
    once: str | None = None
    note: str | None = None

    def words(self, seed: int) -> list[str]:
        """Of the command line, without what is given to every row."""
        return [f"experiment={self.experiment}", *self.overrides, f"seed={seed}"]


@dataclass(frozen=True)
class Measured:
    """A row and those of its runs that are there, by seed."""

    row: Row
    runs: tuple["StoredRun", ...]

    def metric(self, name: str) -> list[float]:
        return [run.run.data.metrics[name] for run in self.runs]

    @property
    def accuracies(self) -> list[float]:
        return self.metric(f"{self.row.split}_accuracy")

    @property
    def difference(self) -> float | None:
        """Of the mean from the reference's figure; positive is better."""
        return None if self.row.figure is None else statistics.mean(self.accuracies) - self.row.figure


def main() -> None:
    """Run what is missing, read the rest, write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.results", description="Our numbers beside the references', as a page of Markdown."
    )
    parser.add_argument(
        "words", nargs="*", help="experiments (default: all), and key=value for every run: dataset.path=mnist.npz"
    )
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--output", default="docs/RESULTS.md", help="the page (default: %(default)s)")
    parser.add_argument("--read", action="store_true", help="run nothing: the page of what is there")
    chosen = parser.parse_args()
    with one_line_errors():
        rows = read_rows([word for word in chosen.words if "=" not in word])
        overrides = [word for word in chosen.words if "=" in word]
        wanted = {(row, seed): composed([*row.words(seed), *overrides]) for row in rows for seed in range(row.seeds)}
        if not chosen.read:
            run_missing(wanted, overrides, chosen.store)
        write(rows, wanted, overrides, chosen.store, Path(chosen.output))


def read_rows(experiments: Sequence[str]) -> list[Row]:
    """Those of conf/results.yaml. Raises PipelineError for an experiment that has none."""
    nodes = OmegaConf.to_container(OmegaConf.load(CONF / "results.yaml"))["rows"]
    rows = [
        Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in node.items()})
        for node in nodes
    ]
    known = [row.experiment for row in rows]
    for name in experiments:
        if name not in known:
            raise PipelineError(f"{name}: has no row; there are {', '.join(known)}")
    return [row for row in rows if row.experiment in (experiments or known)]


def composed(words: Sequence[str]) -> DictConfig:
    """As the command line would have it. Raises PipelineError for what can't be trained."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=list(words))
    check(cfg)
    return cfg


def run_missing(wanted: dict[tuple[Row, int], DictConfig], overrides: Sequence[str], store: str) -> None:
    """One after the other, each by its own command. Raises PipelineError where one fails; those before it stay."""
    from pipeline.tracking.stored import finished_runs

    with finished_runs(store) as stored:
        missing = [key for key, cfg in wanted.items() if matching(cfg, stored) is None]
    for number, (row, seed) in enumerate(missing, start=1):
        words = [*row.words(seed), *overrides]
        print(f"run {number} of {len(missing)}: python -m pipeline.train {' '.join(map(quote, words))}", flush=True)
        done = subprocess.run([sys.executable, "-m", "pipeline.train", *words, f"tracking.store={store}"], check=False)
        if done.returncode:
            raise PipelineError(
                f"{' '.join(words)}: ended with exit code {done.returncode}; the same command goes on from here"
            )


def matching(cfg: DictConfig, stored: Sequence["StoredRun"]) -> "StoredRun | None":
    """The latest run that was trained as cfg says, on the same images, wherever they lay."""
    for run in stored:
        params, tags = run.run.data.params, run.run.data.tags
        alike = (params["model"], params["seed"]) == (cfg.model.name, str(cfg.seed))
        if alike and tags["dataset_sha256"] == _sha256(cfg) and _recipe(run.config) == _recipe(cfg):
            return run
    return None


def _recipe(cfg: DictConfig) -> str:
    plain = trained(cfg)
    for key in PATHS:
        plain["dataset"].pop(key, None)
        plain["dataset"]["source"].pop(key, None)
    return json.dumps(plain, sort_keys=True)


def _sha256(cfg: DictConfig) -> str:
    """Of the dataset as it is now; many rows share one."""
    return _loaded(OmegaConf.to_yaml(cfg.dataset, resolve=True))


@cache
def _loaded(dataset: str) -> str:
    from pipeline import datasets

    return datasets.load(OmegaConf.create(dataset)).sha256


def write(
    rows: Sequence[Row], wanted: dict[tuple[Row, int], DictConfig], overrides: Sequence[str], store: str, page: Path
) -> None:
    """The page, and the figures of each row's first run beside it."""
    from pipeline.tracking.stored import finished_runs

    paths = dict(word.split("=", 1) for word in overrides if word.startswith("dataset."))
    here, page = Path.cwd(), page.resolve()
    with finished_runs(store) as stored:
        found = [Measured(row, tuple(_of(row, wanted, lambda cfg: matching(cfg, stored)))) for row in rows]
        found = [each for each in found if each.runs]
        sections = [section(each, here, paths, page.parent) for each in found]
    absent = [row.experiment for row in rows if row not in [each.row for each in found]]
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([*opening(), *map(line, found), "", *closing(absent), *sections]))
    print(f"{page.relative_to(here) if page.is_relative_to(here) else page}: {len(found)} of {len(rows)} rows")
    for each in found:
        if each.difference is not None and each.difference < -WORSE and each.row.note is None:
            print(f"{each.row.experiment}: {100 * each.difference:.2f} points below the reference; find out why")


def _of(row: Row, wanted: dict, find: Callable) -> Iterator["StoredRun"]:
    return filter(None, (find(cfg) for (each, _), cfg in wanted.items() if each is row))


def opening() -> list[str]:
    """Title, how the page is made, the table's head."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("tensorflow", "keras", "scikit-learn"))
    return [
        "# Results",
        "",
        "Every system of the five references, and what the same protocol gives here. `python -m pipeline.results`",
        "writes this page: it runs what is missing from MLflow and reads the rest (with `dataset.path=mnist.npz` where",
        "the whole MNIST lies in a file already). Accuracies are of the test split, on which nothing was chosen, or of",
        "the validation split where the reference has no other: mean and standard deviation over the seeds. Points:",
        "the difference from the reference, in hundredths of accuracy.",
        "",
        f"{os.cpu_count()} CPU cores ({platform.machine()}), Python {platform.python_version()}, {packages}. Seconds",
        "are medians, of the training and of the whole command, on a machine that was doing other work as well.",
        "",
        "| experiment | from | reference | here | points | weights | training | all | command |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def line(each: Measured) -> str:
    """Of the table."""
    row, runs = each.row, each.runs
    seconds = [(run.run.info.end_time - run.run.info.start_time) / 1000 for run in runs]
    cells = [
        f"[`{row.experiment}`](#{row.experiment})",
        row.reference,
        row.said or (f"{row.figure:.4f}" if row.figure is not None else "-"),
        f"**{spread(each.accuracies)}**" + (" (validation)" if row.split == "val" else ""),
        "-" if each.difference is None else f"{100 * each.difference:+.2f}",
        f"{each.metric('weights')[0]:,.0f}" if each.metric("weights")[0] else "-",
        f"{statistics.median(each.metric('train_seconds')):.0f} s",
        f"{statistics.median(seconds):.0f} s",
        f"`python -m pipeline.train {' '.join(row.words(0))}`" + (f" to {len(runs) - 1}" if len(runs) > 1 else ""),
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float]) -> str:
    """Mean, standard deviation, count."""
    if len(values) == 1:
        return f"{values[0]:.4f} (1 run)"
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values):.4f} ({len(values)} runs)"


def closing(absent: Sequence[str]) -> list[str]:
    return [f"Not run yet: {', '.join(absent)}.", ""] if absent else []


def section(each: Measured, here: Path, paths: dict[str, str], folder: Path) -> str:
    """What the experiment is, in its own file's words, with each seed's accuracy and the first run's figures."""
    row, first = each.row, each.runs[0]
    text = [f"## {row.experiment}", "", header(row.experiment), ""]
    values = ", ".join(f"{value:.4f}" for value in each.accuracies)
    text += [f"{'Validation' if row.split == 'val' else 'Test'} accuracy by seed: {values}."]
    if row.once and len(each.runs) == 1:
        text += [f"One run: {row.once}."]
    if limit := first.config.model.get("fit_limit"):
        text += [f"Fitted to {limit:,} of the training images."]
    if row.note:
        text += [row.note]
    text += [""]
    for name in draw(first, row.show, here, paths, folder / "figures" / "results" / row.experiment):
        text += [f"![{row.experiment}: {name.replace('_', ' ')}](figures/results/{row.experiment}/{name}.png)", ""]
    return "\n".join(text)


def header(experiment: str) -> str:
    """The sentences at the head of an experiment's file, without command, cost and expectation."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[1:]
    return "\n".join(
        line.removeprefix("# ") for line in takewhile(lambda line: not line.startswith("# Command:"), lines)
    )


def draw(run: "StoredRun", names: Sequence[str], here: Path, paths: dict[str, str], folder: Path) -> Iterator[str]:
    """Write a run's figures of these names into the folder; each name once it is there."""
    from pipeline import gallery

    known = sorted((path.stem for path in (CONF / "figures").glob("*.yaml")), key=len, reverse=True)
    groups = {next(group for group in known if name.startswith(group)) for name in names}
    folder.mkdir(parents=True, exist_ok=True)
    drawn = gallery.draw(chosen_figures([f"figures=[{','.join(sorted(groups))}]"]), finished(run, here, paths))
    for name, figure in drawn:
        if name in names:
            figure.savefig(folder / f"{name}.png")
            yield name


if __name__ == "__main__":
    main()
