"""A comparison on the terminal: one table, and a few lines."""

from collections.abc import Iterator

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from pipeline.comparison import text
from pipeline.comparison.compared import Comparison

MOST_COLUMNS = 4  # configurations; more of them go down, one a row


def print_out(comparison: Comparison) -> None:
    """One table, what it means, and what could not be compared."""
    console = Console(highlight=False, markup=False)
    for part in _parts(comparison):
        console.print(part)


def _parts(comparison: Comparison) -> Iterator[Table | Text | str]:
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


def _across(comparison: Comparison) -> Table:
    """A column for each configuration: what differs, then what came out."""
    drawn = Table("", *map(text.heading, comparison.configurations), box=box.SIMPLE_HEAD)
    for row in text.settings(comparison):
        drawn.add_row(row.title, *row.cells)
    drawn.add_section()
    for row in text.headlines(comparison, few=True):
        drawn.add_row(row.title, *row.cells)
    return drawn


def _down(comparison: Comparison) -> Table:
    """A row for each configuration: what came out."""
    rows = text.headlines(comparison, few=False)
    drawn = Table("", box=box.SIMPLE_HEAD)
    for row in rows:
        drawn.add_column(row.title, justify="right", no_wrap=True)
    for place, each in enumerate(comparison.configurations):
        drawn.add_row(each.label, *(row.cells[place] for row in rows))
    return drawn
