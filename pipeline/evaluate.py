"""The numbers of a finished run as files: `python -m pipeline.evaluate <run> --output results/cnn`."""

import argparse
import csv
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, one_line_errors
from pipeline.stored_runs import add_options

if TYPE_CHECKING:
    from pipeline.tracking.stored import StoredRun

COUNTS = ("best_epoch", "weights", "train_images")
OF_SPLIT = {"val": ("accuracy",), "test": ("accuracy", "loss", "calibration_error")}  # val_loss is of the training


def main() -> None:
    """metrics.json, curves.csv (a line for each epoch) and predictions.csv (a line for each evaluated image)."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.evaluate", description="Write the numbers of a finished run into files."
    )
    parser.add_argument("run", help="id of the run, the beginning of it, or its name")
    parser.add_argument("--output", required=True, help="folder for metrics.json, curves.csv and predictions.csv")
    add_options(parser)
    chosen = parser.parse_args()
    with one_line_errors():
        folder = Path(chosen.output).resolve()
        from pipeline.tracking.stored import open_run

        with open_run(chosen.run, chosen.store, chosen.uri) as stored:
            write(stored, folder)


def write(stored: "StoredRun", folder: Path) -> None:
    """Raises PipelineError where the run has no stored predictions."""
    from pipeline.evaluation import evaluate

    if "predictions_val.npz" not in stored.artifacts:
        raise PipelineError(f"{stored.run_id}: has no stored predictions; train it again")
    names, logged = stored.json("input.json")["class_names"], stored.run.data.metrics
    metrics = {"best_val_accuracy": logged["best_val_accuracy"], "train_seconds": logged["train_seconds"]}
    metrics |= {name: int(logged[name]) for name in COUNTS}
    for split in ("val", "test") if stored.config.evaluate == "test" else ("val",):
        kept = stored.arrays(f"predictions_{split}.npz")
        found = evaluate(kept["labels"], kept["probabilities"], names)
        metrics |= {f"{split}_{name}": getattr(found, name) for name in OF_SPLIT[split]}
    epochs = stored.history().epochs
    actual, predicted = (
        [names[label] for label in labels] for labels in (found.labels, found.probabilities.argmax(axis=1))
    )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
    _write(
        folder / "curves.csv", ("epoch", *epochs[0]), ((n, *each.values()) for n, each in enumerate(epochs, start=1))
    )
    _write(folder / "predictions.csv", ("actual", "predicted"), zip(actual, predicted, strict=True))


def _write(file: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with file.open("w", newline="") as out:
        csv.writer(out).writerows([header, *rows])


if __name__ == "__main__":
    main()
