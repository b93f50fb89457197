"""Figures and page of a finished run, later, from what it stored: `python -m pipeline.explain <run id> figures=all`."""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from itertools import chain, tee
from pathlib import Path

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline.config import CONF, check_figures
from pipeline.errors import one_line_errors
from pipeline.reload import reload
from pipeline.stored_runs import add_options, as_options, given


def main() -> None:
    """Draw the chosen figures of a run, all by default, without training: into the run, or into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.explain", description="Draw figures of a finished run, without training."
    )
    parser.add_argument("run", help="id of the run, its beginning, or its name")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="figures=barcodes, figures=[kernels,mistakes], figures.feature_maps.classes=[3]; default: figures=all; "
        "dataset.path=... where the data lies elsewhere now",
    )
    add_options(parser)
    parser.add_argument(
        "--output", help="a folder for the PNGs and the page; without it, the run in MLflow gets what it lacks"
    )
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        explain(chosen.run, chosen.overrides, chosen.store, chosen.uri, chosen.output)


def explain(run_id: str, overrides: Sequence[str], store: str, uri: str | None, output: str | None) -> None:
    """Raises PipelineError for what is no figure, a run that can't be read, data that isn't what it was trained on."""
    paths = given(overrides, "figures")
    figures = chosen_figures([word for word in overrides if word.startswith("figures")])
    here, folder = Path.cwd(), Path(output).resolve() if output is not None else None

    from pipeline import gallery, report
    from pipeline.tracking.stored import open_run

    with open_run(run_id, store, uri) as stored:
        run = reload(stored, here, paths)
        drawn, told = tee(gallery.draw(figures, run))
        origin = replace(stored.origin, found_by=as_options(store, uri))
        page = report.tell(run, chain(told, stored.figures()), origin)
        for name, content in chain(drawn, page):
            if folder is not None:
                folder.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
                print(Path(output) / name, flush=True)
            elif stored.add_file(name, content):
                print(name, flush=True)
            else:
                print(f"{name}: is there already and stays; --output folder draws it anew", flush=True)
    if uri is None and folder is None:
        print(f"look at them:  python -m pipeline.ui {run_id}{as_options(store, uri)}")


def chosen_figures(overrides: Sequence[str]) -> DictConfig:
    """The group `figures` as these words choose it; all of them where none is chosen."""
    chosen = any(word.startswith("figures=") for word in overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=[*([] if chosen else ["figures=all"]), *overrides])
    check_figures(cfg)
    return cfg.figures


if __name__ == "__main__":
    main()
