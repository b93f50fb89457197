"""The figures and the page of a run as files: `python -m pipeline.fetch <run> --output results/cnn`."""

import argparse
from pathlib import Path

from pipeline.errors import PipelineError, one_line_errors


def main() -> None:
    """Copies of what is at the run's root in MLflow: the PNGs into figures/, HTML beside that."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.fetch", description="Copy the figures and the page of a run into a folder."
    )
    parser.add_argument("run", help="id of the run, the beginning of it, or its name")
    parser.add_argument("--output", required=True, help="the folder")
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--uri", help="address of an MLflow server, in place of the store")
    chosen = parser.parse_args()
    with one_line_errors():
        fetch(chosen.run, Path(chosen.output).resolve(), chosen.store, chosen.uri)


def fetch(word: str, folder: Path, store: str, uri: str | None) -> None:
    """Raises PipelineError where the run has no figures."""
    from pipeline.tracking.stored import open_run

    with open_run(word, store, uri) as stored:
        figures, pages = (sorted(name for name in stored.artifacts if name.endswith(end)) for end in (".png", ".html"))
        if not figures:
            raise PipelineError(f"{word}: has no figures; python -m pipeline.explain draws them")
        (folder / "figures").mkdir(parents=True, exist_ok=True)
        for name in (*figures, *pages):
            (folder / "figures" / name if name in figures else folder / name).write_bytes(stored.read(name))


if __name__ == "__main__":
    main()
