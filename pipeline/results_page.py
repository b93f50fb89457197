"""Rows and their runs -> docs/RESULTS.md, and the figures beside it."""

import os
import platform
import statistics
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import gallery
from pipeline.config import CONF
from pipeline.errors import PipelineError
from pipeline.explain import chosen_figures
from pipeline.reload import reload

if TYPE_CHECKING:
    from pipeline.results import Measured, Row
    from pipeline.tracking.stored import StoredRun

WORSE = 0.002  # further below the reference's figure than this, the page says it


def write(page: Path, rows: Sequence["Row"], found: Sequence["Measured"], here: Path, paths: Mapping[str, str]) -> None:
    """here, paths: where the data is, as for reload."""
    sections = [section(each, here, paths, page.parent) for each in found]
    there = [each.row for each in found]
    absent = [row.experiment for row in rows if row not in there]
    missing = [f"Not run yet: {', '.join(absent)}.", ""] if absent else []
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text("\n".join([*opening(), *map(line, found), "", *missing, *sections]))


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
        "are medians, of the training and of the run in MLflow with evaluation and figures, on a machine that was",
        "doing other work as well.",
        "",
        "| experiment | from | reference | here | points | weights | training | run | command |",
        "|---|---|---|---|---|---|---|---|---|",
    ]


def line(each: "Measured") -> str:
    """Of the table."""
    row, runs = each.row, each.runs
    seconds = [(run.run.info.end_time - run.run.info.start_time) / 1000 for run in runs]
    seeds = [run.config.seed for run in runs]
    cells = [
        f"[`{row.experiment}`](#{row.experiment})",
        row.reference,
        row.said or (f"{row.figure:.4f}" if row.figure is not None else "-"),
        f"**{spread(each.accuracies, row.seeds)}**" + (" (validation)" if row.split == "val" else ""),
        "-" if each.difference is None else f"{100 * each.difference:+.2f}",
        f"{each.metric('weights')[0]:,.0f}" if each.metric("weights")[0] else "-",
        f"{statistics.median(each.metric('train_seconds')):.0f} s",
        f"{statistics.median(seconds):.0f} s",
        f"`python -m pipeline.train {' '.join(row.words(seeds[0]))}`" + "".join(f", `{seed}`" for seed in seeds[1:]),
    ]
    return f"| {' | '.join(cells)} |"


def spread(values: Sequence[float], wanted: int) -> str:
    """Mean, standard deviation, count, and how many runs are wanted where these are fewer."""
    count = f"{len(values)} of {wanted} runs" if len(values) < wanted else f"{wanted} run{'s' if wanted > 1 else ''}"
    deviation = f" ± {statistics.stdev(values):.4f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.4f}{deviation} ({count})"


def is_worse(each: "Measured") -> bool:
    return each.difference is not None and each.difference < -WORSE


def section(each: "Measured", here: Path, paths: Mapping[str, str], folder: Path) -> str:
    """What the experiment is, in its own file's words, with each seed's accuracy and the first run's figures."""
    row, first = each.row, each.runs[0]
    values = ", ".join(f"{value:.4f}" for value in each.accuracies)
    text = [f"## {row.experiment}", "", header(row.experiment), ""]
    text += [f"{'Validation' if row.split == 'val' else 'Test'} accuracy by seed: {values}."]
    if row.once:
        text += [f"One run: {row.once}."]
    if limit := first.config.model.get("fit_limit"):
        text += [f"Fitted to {limit:,} of the training images."]
    if is_worse(each):
        text += [f"{-100 * each.difference:.2f} points below the reference. {row.note or ''}".strip()]
    text += [f"Code: {code(each)}.", ""]
    for name in draw(first, row.show, here, paths, folder / "figures" / "results" / row.experiment):
        text += [f"![{row.experiment}: {name.replace('_', ' ')}](figures/results/{row.experiment}/{name}.png)", ""]
    return "\n".join(text)


def code(each: "Measured") -> str:
    """The commits of the runs, and whether they had changes on top."""
    found = {}
    for run in each.runs:
        changed = " with changes" if run.origin.changed else ""
        found[f"`{run.run.data.tags.get('git_commit', 'unknown')[:7]}`{changed}"] = None
    return ", ".join(found)


def header(experiment: str) -> str:
    """The sentences at the head of an experiment's file, without command, cost and expectation."""
    lines = (CONF / "experiment" / f"{experiment}.yaml").read_text().splitlines()[1:]
    return "\n".join(
        line.removeprefix("# ") for line in takewhile(lambda line: not line.startswith("# Command:"), lines)
    )


def draw(run: "StoredRun", names: Sequence[str], here: Path, paths: Mapping[str, str], folder: Path) -> Iterator[str]:
    """Write a run's figures of these names into the folder; each name once it is there.

    Raises PipelineError for a name that the run has no figure of.
    """
    groups = sorted((path.stem for path in (CONF / "figures").glob("*.yaml")), key=len, reverse=True)
    chosen = {next((group for group in groups if name.startswith(group)), name) for name in names}
    missing = set(names)
    folder.mkdir(parents=True, exist_ok=True)
    figures = chosen_figures([f"figures=[{','.join(sorted(chosen))}]"])
    for file, png in gallery.draw(figures, reload(run, here, paths)):
        if (name := file.removesuffix(".png")) in missing:
            (folder / file).write_bytes(png)
            missing.remove(name)
            yield name
    if missing:
        raise PipelineError(f"conf/results.yaml: {run.config.model.name} has no figure {', '.join(sorted(missing))}")
