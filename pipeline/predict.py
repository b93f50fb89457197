"""A trained model on a person's own pictures: `python -m pipeline.predict <run id> picture.png ...`."""

import argparse
from collections.abc import Sequence
from contextlib import chdir
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from pipeline import pictures
from pipeline.errors import PipelineError, one_line_errors
from pipeline.stored_runs import add_options

MOST_COLUMNS = 12  # of classes
SUFFIXES = (".png", ".pdf", ".svg", ".jpg")


def main() -> None:
    """Predict the class of pictures of any size, dark on light or light on dark, with the model of a finished run."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.predict", description="Predict the classes of pictures with the model of a run."
    )
    parser.add_argument("run", help="id of the run, its beginning, or its name")
    parser.add_argument("pictures", nargs="+", help="PNG, JPEG, ...: any size, dark on light or light on dark, photos")
    add_options(parser)
    parser.add_argument(
        "--output", default="predictions.png", help="the figure; no file is overwritten (default: %(default)s)"
    )
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        predict(chosen.run, chosen.pictures, chosen.store, Path(chosen.output), chosen.uri)


def predict(run_id: str, paths: Sequence[str], store: str, output: Path, uri: str | None = None) -> None:
    """A table on the screen and a figure.

    Raises PipelineError for files that are no pictures, before anything heavy is imported, and for runs that can't be
    read.
    """
    for path in paths:
        pictures.check(path)
    if output.suffix.lower() not in SUFFIXES:
        raise PipelineError(f"--output {output}: must end in one of {', '.join(SUFFIXES)}")
    if not output.parent.is_dir():
        raise PipelineError(f"--output {output}: there is no folder {output.parent}")

    from pipeline import device, models
    from pipeline.figures.pictures import predicted
    from pipeline.tracking.stored import open_run

    here = Path.cwd()
    with open_run(run_id, store, uri) as stored:
        seen = stored.json("input.json")
        if seen is None:
            raise PipelineError(
                f"{run_id}: is of an older version and doesn't say what its model has seen (input.json); train it again"
            )
        with chdir(here):  # a stored run is read from the folder around its store
            prepared = [pictures.prepare(path, seen) for path in paths]
        family = stored.config.model.family
        if family == "network":
            device.prepare("auto", "float32", seed=0)
        pixels = np.stack([picture.pixels for picture in prepared])
        probabilities = models.family(family).predict(stored.model(), pixels)

    names = _names(paths)
    show(names, probabilities, seen["class_names"])
    for name, picture in zip(names, prepared, strict=True):
        print(f"{name}: {'; '.join(picture.steps)}")
    figure = predicted([picture.original for picture in prepared], pixels, probabilities, names, seen["class_names"])
    file = _free(output)
    figure.savefig(file)
    print(f"look at it:    {file}", flush=True)


def show(names: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str]) -> None:
    """The table: every class's probability where the terminal is wide enough for all, the three likeliest otherwise."""
    console = Console(highlight=False, markup=False, emoji=False)
    table = _table(names, probabilities, class_names, likeliest=2, all_classes=True)
    needed = console.measure(table, options=console.options.update(max_width=10_000)).maximum
    if len(class_names) > MOST_COLUMNS or needed > console.width:
        table = _table(names, probabilities, class_names, likeliest=3, all_classes=False)
    console.print(table)


def _table(
    names: Sequence[str], probabilities: np.ndarray, class_names: Sequence[str], likeliest: int, all_classes: bool
) -> Table:
    """A row per picture."""
    from pipeline.figures.pictures import UNSURE

    table = Table()
    table.add_column("picture", overflow="fold")
    for heading in ("predicted", "runner-up", "third")[: min(likeliest, len(class_names))]:
        table.add_column(heading, style="bold" if heading == "predicted" else None)
    for name in class_names if all_classes else ():
        table.add_column(name, justify="right", style="dim", no_wrap=True)
    for name, row in zip(names, probabilities, strict=True):
        order = np.argsort(row)[::-1][:likeliest]
        cells = [f"{class_names[index]}  {row[index]:.3f}" for index in order]
        cells[0] += "  unsure" if row[order[0]] < UNSURE else ""
        table.add_row(name, *cells, *(f"{probability:.2f}" for probability in row if all_classes))
    return table


def _names(paths: Sequence[str]) -> list[str]:
    """The files' names, or their paths where two have the same name."""
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else [str(path) for path in paths]


def _free(output: Path) -> Path:
    """The file itself, or the first of name-2, name-3, ... that doesn't exist."""
    file, number = output, 1
    while file.exists():
        number += 1
        file = output.with_stem(f"{output.stem}-{number}")
    return file


if __name__ == "__main__":
    main()
