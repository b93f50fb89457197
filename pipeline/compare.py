"""Runs beside each other: `python -m pipeline.compare <run> <run> ...` prints a table and writes a page."""

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.errors import PipelineError, one_line_errors

if TYPE_CHECKING:
    from pipeline.comparison import Comparison

MOST_COLUMNS = 4  # configurations; more of them go down the terminal, one a row


def main() -> None:
    """Read the runs, print what differs and what is better, write the page."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.compare",
        description="What differs between runs, and which is better. Runs that differ in their seed alone count as "
        "one configuration. Differences are from the first that is named; where one word names all, from the best.",
    )
    parser.add_argument(
        "runs",
        nargs="+",
        help="ids, their beginnings, names, or a filter: \"params.model='cnn' and metrics.val_accuracy > 0.95\"",
    )
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--uri", help="address of an MLflow server, in place of the store")
    parser.add_argument("--split", choices=("val", "test"), help="whose predictions are tested (default: validation)")
    parser.add_argument("--output", default="comparison.html", help="the page (default: %(default)s)")
    chosen = parser.parse_args()
    with one_line_errors():
        show(chosen.runs, chosen.store, chosen.uri, chosen.split, Path(chosen.output))


def show(words: Sequence[str], store: str, uri: str | None, split: str | None, page: Path) -> None:
    """Raises PipelineError for runs that can't be read, fewer than two of them, and a page that can't be written."""
    if page.is_dir():
        raise PipelineError(f"--output {page}: is a folder; give the page's name in it")
    target = page.resolve()  # what is read is read in the folder around the store

    from pipeline.comparison import compare, read
    from pipeline.tracking.stored import find_runs

    with find_runs(words, store, uri) as found:
        readable = [run for run in found if "config.yaml" in run.artifacts]
        if len(readable) < 2:
            raise PipelineError(f"{' '.join(words)}: {_too_few(len(found), len(readable))}")
        comparison = compare([read(run) for run in readable], against_best=len(words) == 1, split=split)
    if len(readable) < len(found):
        unread = f"Left out, because they have no config.yaml: {len(found) - len(readable)} of {len(found)} runs."
        comparison = replace(comparison, notes=(*comparison.notes, unread))

    from pipeline import comparison_page

    console = Console(highlight=False, markup=False)
    for part in report(comparison):
        console.print(part)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(comparison_page.page(comparison), encoding="utf-8")
    print(page)


def _too_few(found: int, readable: int) -> str:
    if found == 1:
        return "is one run; a comparison takes two or more"
    return f"{found} runs, of which {readable} have a config.yaml; a comparison takes two of those or more"


def report(comparison: "Comparison") -> Iterator[Table | Text | str]:
    """One table, what it means, and what could not be compared."""
    from pipeline import comparison_text as text

    few = len(comparison.configurations) <= MOST_COLUMNS
    yield (_across if few else _down)(comparison)
    if not few:
        yield from text.apart(comparison)
    if implied := text.settings(comparison, implied=True):
        yield f"{len(implied)} more keys differ that go with these names; the page has them."
    yield from text.sentences(comparison)
    yield from comparison.notes
    if comparison.differences:
        yield Text(text.method(comparison), style="dim")


def _across(comparison: "Comparison") -> Table:
    """A column for each configuration: what differs, then what came out."""
    from pipeline import comparison_text as text

    drawn = Table("", *map(text.heading, comparison.configurations), box=box.SIMPLE_HEAD)
    for row in text.settings(comparison):
        drawn.add_row(row.title, *row.cells)
    drawn.add_section()
    for row in text.headlines(comparison, few=True):
        drawn.add_row(row.title, *row.cells)
    return drawn


def _down(comparison: "Comparison") -> Table:
    """A row for each configuration: what came out."""
    from pipeline import comparison_text as text

    rows = text.headlines(comparison, few=False)
    drawn = Table("configuration", box=box.SIMPLE_HEAD)
    for row in rows:
        drawn.add_column(row.title.replace(" ", "\n"), justify="right", no_wrap=True)
    for place, each in enumerate(comparison.configurations):
        drawn.add_row(text.heading(each), *(row.cells[place] for row in rows))
    return drawn


if __name__ == "__main__":
    main()
