"""Figures of a finished run, drawn later from what it stored: `python -m pipeline.explain <run id> figures=all`."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from pipeline.errors import PipelineError, one_line_errors

if TYPE_CHECKING:
    from pipeline.gallery import Finished
    from pipeline.tracking.stored import StoredRun

CONF = Path(__file__).parents[1] / "conf"
PATHS = ("path", "test_path")  # of a dataset's files, which may have been moved since


def main() -> None:
    """Draw the chosen figures of a run, all by default, without training: into the run, or into a folder."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.explain", description="Draw figures of a finished run, without training."
    )
    parser.add_argument("run", help="id of the run")
    parser.add_argument(
        "overrides",
        nargs="*",
        help="figures=barcodes, figures=[kernels,mistakes], figures.feature_maps.classes=[3]; default: figures=all; "
        "dataset.path=... where the data lies elsewhere now",
    )
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--output", help="a folder for the PNGs; without it, the run in MLflow gets those it lacks")
    chosen = parser.parse_args()
    with one_line_errors():
        explain(chosen.run, chosen.overrides, chosen.store, chosen.output)


def explain(run_id: str, overrides: Sequence[str], store: str, output: str | None) -> None:
    """Raises PipelineError for what is no figure, a run that can't be read, data that isn't what it was trained on."""
    figures = chosen_figures([word for word in overrides if word.startswith(("figures=", "figures."))])
    paths = dict(word.split("=", 1) for word in overrides if word.startswith(tuple(f"dataset.{key}=" for key in PATHS)))
    for word in overrides:
        if not word.startswith("figures") and word.partition("=")[0] not in paths:
            raise PipelineError(f"{word}: the run is what it is; figures=... and dataset.path=... can be chosen")
    here, folder = Path.cwd(), Path(output).resolve() if output is not None else None

    from pipeline import gallery
    from pipeline.tracking.stored import open_run

    with open_run(run_id, store) as stored:
        drawn = gallery.draw(figures, finished(stored, here, paths))
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for name, figure in drawn:
                figure.savefig(folder / f"{name}.png")
                print(Path(output) / f"{name}.png", flush=True)
            return
        for name, new in stored.add_figures(drawn):
            print(f"{name}.png" if new else f"{name}.png: is there already and stays; --output folder draws it anew")
    print(f"look at them:  python -m pipeline.ui {run_id}" + (f" --store {store}" if store != "mlruns" else ""))


def chosen_figures(overrides: Sequence[str]) -> DictConfig:
    """The group `figures` as these words choose it; all of them where none is chosen."""
    chosen = any(word.startswith("figures=") for word in overrides)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        return compose("config", overrides=[*([] if chosen else ["figures=all"]), *overrides]).figures


def finished(stored: "StoredRun", here: Path, paths: dict[str, str]) -> "Finished":
    """What figures are drawn of, from a stored run. paths: where the data is now, by key; relative ones are below here.

    Raises PipelineError where the data is not what the run was trained on.
    """
    from pipeline import datasets, device, models
    from pipeline.evaluation import evaluate
    from pipeline.gallery import Finished

    cfg = stored.config
    for key in PATHS:
        if (path := paths.get(f"dataset.{key}", cfg.dataset.get(key))) is not None:
            if not (here / Path(path).expanduser()).exists():
                raise PipelineError(f"dataset.{key}={path}: no such file or folder now; give dataset.{key}=...")
            cfg.dataset[key] = cfg.dataset.source[key] = str(here / Path(path).expanduser())
    dataset = datasets.load(cfg.dataset)
    if dataset.sha256 != stored.run.data.tags["dataset_sha256"]:
        raise PipelineError(
            f"{dataset.name}: the data is not what run {stored.run_id} was trained on; its hash differs"
        )
    if cfg.train_on == "train_val":
        dataset = dataset.with_validation_in_training()
    if cfg.model.family == "network":
        device.prepare("auto", "float32", cfg.seed)
    model, split = stored.model(), getattr(dataset, cfg.evaluate)
    kept = stored.arrays(f"predictions_{cfg.evaluate}.npz")
    probabilities = kept["probabilities"] if kept else models.family(cfg.model.family).predict(model, split.images)
    return Finished(
        cfg=cfg,
        model=model,
        dataset=dataset,
        history=stored.history(),
        evaluation=evaluate(split.labels, probabilities, dataset.class_names),
        kernels_before=stored.arrays("kernels_before.npz") or {},
    )


if __name__ == "__main__":
    main()
