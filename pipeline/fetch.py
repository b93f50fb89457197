"""The figures and the page of a run as files: `python -m pipeline.fetch <run> --output results/cnn`."""

import argparse
from pathlib import Path

from pipeline.errors import PipelineError, one_line_errors
from pipeline.stored_runs import add_options


def main() -> None:
    """Copies of what is at the run's root in MLflow: the PNGs into figures/, HTML beside that."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.fetch", description="Copy the figures and the page of a run into a folder."
    )
    parser.add_argument("run", help="id of the run, the beginning of it, or its name")
    parser.add_argument("--output", required=True, help="the folder")
    add_options(parser)
    chosen = parser.parse_args()
    with one_line_errors():
        fetch(chosen.run, Path(chosen.output).resolve(), chosen.store, chosen.uri)


def fetch(word: str, folder: Path, store: str, uri: str | None) -> None:
    """Raises PipelineError where the run has neither."""
    from pipeline.tracking.stored import open_run

    with open_run(word, store, uri) as stored:
        figures, pages = (sorted(name for name in stored.artifacts if name.endswith(end)) for end in (".png", ".html"))
        if not figures and not pages:
            raise PipelineError(f"{word}: has no figures and no page; python -m pipeline.explain makes them")
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name in (*figures, *pages):
            (folder / "figures" / name if name in figures else folder / name).write_bytes(stored.read(name))


if __name__ == "__main__":
    main()
