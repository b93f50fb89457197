"""Our numbers beside the references': `python -m pipeline.results` runs what is missing and writes docs/RESULTS.md."""

import argparse
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

from pipeline.config import CONF, PATHS, check, recipe
from pipeline.errors import PipelineError, one_line_errors

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

GIVEN = (*(f"dataset.{key}" for key in PATHS), "device")  # to every run, because no result depends on them


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
class Wanted:
    """One run of a row, and how it is to be trained."""

    row: Row
    seed: int
    cfg: DictConfig


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
        "words",
        nargs="*",
        help="experiments to run (default: all), and for every run: dataset.path=mnist.npz, device=cpu",
    )
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--output", default="docs/RESULTS.md", help="the page (default: %(default)s)")
    parser.add_argument("--read", action="store_true", help="run nothing: the page of what is there")
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        given = [_checked(word) for word in chosen.words if "=" in word]
        rows = read_rows()
        names = [word for word in chosen.words if "=" not in word]
        for name in names:
            if name not in [row.experiment for row in rows]:
                raise PipelineError(f"{name}: has no row; there are {', '.join(row.experiment for row in rows)}")
        wanted = [each for row in rows for each in composed(row, given)]
        if not chosen.read:
            run_missing([each for each in wanted if each.row.experiment in names or not names], given, chosen.store)
        write(rows, wanted, given, chosen.store, Path(chosen.output))


def _checked(word: str) -> str:
    """What may be given to every run; files by their absolute paths. Raises PipelineError for the rest."""
    key, _, value = word.partition("=")
    if key not in GIVEN:
        raise PipelineError(f"{word}: a row has its own protocol; what can be given is {', '.join(GIVEN)}")
    return f"{key}={Path(value).expanduser().resolve()}" if key.startswith("dataset.") else word


def read_rows() -> list[Row]:
    """Those of conf/results.yaml."""
    nodes = OmegaConf.to_container(OmegaConf.load(CONF / "results.yaml"))["rows"]
    return [
        Row(**{key: tuple(value) if isinstance(value, list) else value for key, value in node.items()})
        for node in nodes
    ]


def composed(row: Row, given: Sequence[str]) -> Iterator[Wanted]:
    """A row's runs as the command line would have them. Raises PipelineError for what can't be trained."""
    with initialize_config_dir(str(CONF), version_base="1.3"):
        first = compose("config", overrides=[*row.words(0), *given])
    check(first)
    for seed in range(row.seeds):
        cfg = first.copy()
        cfg.seed = seed
        yield Wanted(row, seed, cfg)


def run_missing(wanted: Sequence[Wanted], given: Sequence[str], store: str) -> None:
    """One after the other, each by its own command. Raises PipelineError where one fails; those before it stay."""
    from pipeline.tracking.stored import finished_runs

    with finished_runs(store) as stored:
        missing = [each for each in wanted if matching(each.cfg, stored) is None]
    for number, each in enumerate(missing, start=1):
        words = [*each.row.words(each.seed), *given, *([f"tracking.store={store}"] if store != "mlruns" else [])]
        print(f"run {number} of {len(missing)}: python -m pipeline.train {' '.join(map(quote, words))}", flush=True)
        done = subprocess.run([sys.executable, "-m", "pipeline.train", *words], check=False)
        if done.returncode:
            raise PipelineError(
                f"{' '.join(each.row.words(each.seed))}: ended with exit code {done.returncode}; "
                "the same command goes on from here"
            )


def matching(cfg: DictConfig, stored: Sequence["StoredRun"]) -> "StoredRun | None":
    """The latest run that was trained as cfg says, on the same images, wherever they lay."""
    from pipeline import datasets

    wanted = recipe(cfg)
    for run in stored:
        params, tags = run.run.data.params, run.run.data.tags
        alike = (params["model"], params["seed"]) == (cfg.model.name, str(cfg.seed)) and "config.yaml" in run.artifacts
        if alike and tags["dataset_sha256"] == datasets.load(cfg.dataset).sha256 and recipe(run.config) == wanted:
            return run
    return None


def write(rows: Sequence[Row], wanted: Sequence[Wanted], given: Sequence[str], store: str, page: Path) -> None:
    """The page, and the figures of each row's first run beside it. Raises PipelineError where no row has a run."""
    from pipeline import results_page
    from pipeline.tracking.stored import finished_runs

    here, target = Path.cwd(), page.resolve()
    paths = dict(word.split("=", 1) for word in given)
    with finished_runs(store) as stored:
        runs = {(each.row, each.seed): matching(each.cfg, stored) for each in wanted}
        found = [Measured(row, tuple(run for (each, _), run in runs.items() if each is row and run)) for row in rows]
        found = [each for each in found if each.runs]
        if not found:
            raise PipelineError(f"{store}: has no run of any row on this data; {page} stays as it is")
        results_page.write(target, rows, found, here, paths)
    print(f"{page}: {len(found)} of {len(rows)} rows")
    for each in found:
        if results_page.is_worse(each):
            why = each.row.note or "find out why"
            print(f"{each.row.experiment}: {100 * each.difference:.2f} points below the reference; {why}")


if __name__ == "__main__":
    main()
