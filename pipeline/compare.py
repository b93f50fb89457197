"""Runs beside each other: `python -m pipeline.compare <run> <run> ...` prints a table and writes a page."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from pipeline.errors import PipelineError, one_line_errors
from pipeline.stored_runs import add_options


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
    add_options(parser)
    parser.add_argument(
        "--split",
        choices=("val", "test"),
        help="whose predictions are tested (default: validation, unless more runs can be compared on test)",
    )
    parser.add_argument(
        "--output", default="comparison.html", help="the page, which a new comparison replaces (default: %(default)s)"
    )
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        show(chosen.runs, chosen.store, chosen.uri, chosen.split, Path(chosen.output))


def show(words: Sequence[str], store: str, uri: str | None, split: str | None, page: Path) -> None:
    """Raises PipelineError for runs that can't be read, fewer than two of them, and a page that can't be written."""
    if page.suffix != ".html" or page.is_dir():
        raise PipelineError(f"--output {page}: must be a page's name, ending in .html")
    target = page.resolve()  # what is read is read in the folder around the store

    from pipeline.comparison.compared import compare
    from pipeline.comparison.runs import read
    from pipeline.tracking.stored import find_runs

    with find_runs(words, store, uri) as found:
        readable = [run for run in found if "config.yaml" in run.artifacts]
        if len(readable) < 2:
            raise PipelineError(f"{' '.join(words)}: {_too_few(len(found), len(readable))}")
        comparison = compare([read(run) for run in readable], against_best=len(words) == 1, split=split)
    if len(readable) < len(found):
        unread = f"Left out, because they have no config.yaml: {len(found) - len(readable)} of {len(found)} runs."
        comparison = replace(comparison, notes=(*comparison.notes, unread))

    from pipeline.comparison.page import page_of
    from pipeline.comparison.terminal import print_out

    print_out(comparison)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(page_of(comparison), encoding="utf-8")
    print(page)


def _too_few(found: int, readable: int) -> str:
    if found == 1:
        return "is one run; a comparison takes two or more"
    return f"{found} runs, of which {readable} have a config.yaml; a comparison takes two of those or more"


if __name__ == "__main__":
    main()
