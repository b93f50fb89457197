"""Runs and their curves as tables, for people who plot elsewhere: `python -m pipeline.export csv|parquet [run ...]`.

runs      a row for each run: run_id, name, state, started (UTC), seconds, then params.*, metrics.* and tags.*, each in
          alphabetical order; a metric by epoch with its last value, a parameter as a number where all runs have one.
curves    a row for each epoch of each run: run_id, epoch, train_loss, train_accuracy, val_loss, val_accuracy.
"""

import argparse
import math
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError, one_line_errors
from pipeline.progress import counted
from pipeline.stored_runs import add_options

if TYPE_CHECKING:
    import pandas as pd

    from pipeline.tracking.stored import StoredRun

TABLES = ("runs", "curves")
COUNTS = ("metrics.best_epoch", "metrics.train_images", "metrics.weights")
NOT_A_COLUMN = ("kind", "state")  # of the tags: all are runs, and the state has a column of its own
AT_ONCE = 8  # runs whose curves are asked for at the same time

# as Python writes numbers, so that a name such as 007 stays one
WHOLE = r"-?(0|[1-9]\d{0,17})"
NUMBER = rf"{WHOLE}(\.\d+)?(e[-+]?\d+)?|-?inf|nan"
TRUTH = r"True|False"


def main() -> None:
    """Write runs.csv and curves.csv, or .parquet."""
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.export", description="Write runs and their curves as tables, for other programs."
    )
    parser.add_argument("format", choices=("csv", "parquet"))
    parser.add_argument(
        "runs",
        nargs="*",
        help="ids, beginnings of ids, names, or filters such as \"params.model = 'cnn'\"; default: all runs",
    )
    add_options(parser)
    parser.add_argument("--output", default=".", help="the folder for the two files (default: this one)")
    parser.add_argument("--force", action="store_true", help="overwrite what is there")
    chosen = parser.parse_intermixed_args()
    with one_line_errors():
        export(chosen.format, chosen.runs, chosen.store, chosen.uri, Path(chosen.output), chosen.force)


def export(kind: str, words: Sequence[str], store: str, uri: str | None, output: Path, force: bool = False) -> None:
    """Both files or none.

    Raises PipelineError for runs that can't be read and for files that are there, OSError where none can be written.
    """
    files = {name: output / f"{name}.{kind}" for name in TABLES}
    there = [file for file in files.values() if file.exists()]
    if there and not force:
        raise PipelineError(f"{there[0]}: is there already; --force overwrites it, --output names another folder")

    from pipeline.tracking.stored import find_runs

    with find_runs(words, store, uri) as found:
        if not found:
            raise PipelineError(f"{uri or store}: has no runs")
        tables = {"runs": runs_table(found), "curves": curves_table(found)}
    output.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=output, prefix=".export-") as scratch:
        for name, table in tables.items():
            write = table.to_csv if kind == "csv" else table.to_parquet
            write(Path(scratch) / name, index=False)
        for name, file in files.items():
            (Path(scratch) / name).replace(file)
    for name, table in tables.items():
        print(f"{files[name]}: {len(table):,} rows, {len(table.columns)} columns", flush=True)


def runs_table(runs: "Sequence[StoredRun]") -> "pd.DataFrame":
    """A row for each run, in their order."""
    import pandas as pd

    table = pd.DataFrame(
        {
            "run_id": pd.array([run.run_id for run in runs], dtype="string"),
            "name": pd.array([run.name for run in runs], dtype="string"),
            "state": pd.array([run.state for run in runs], dtype="string"),
            "started": pd.to_datetime([run.run.info.start_time for run in runs], unit="ms", utc=True),
            "seconds": pd.array([_seconds(run) for run in runs], dtype="float64"),
        }
    )
    data = [run.run.data for run in runs]
    params = _columns("params", [each.params for each in data]).apply(_typed)
    metrics = _columns("metrics", [each.metrics for each in data]).astype("float64").apply(_counted)
    own = [{key: tag for key, tag in each.tags.items() if _is_column(key)} for each in data]
    tags = _columns("tags", own).astype("string")
    if "tags.trial" in tags:
        tags["tags.trial"] = _typed(tags["tags.trial"])
    return pd.concat([table, params, metrics, tags], axis="columns")


def curves_table(runs: "Sequence[StoredRun]") -> "pd.DataFrame":
    """A row for each epoch, the runs in their order; a run without epochs has none."""
    import pandas as pd

    from pipeline.tracking.stored import BY_EPOCH

    with ThreadPoolExecutor(AT_ONCE) as pool:
        # one run is one row of what is counted
        curves = counted(pool.map(lambda run: [run.epochs()], runs), len(runs), "reading curves")
        rows = [
            {"run_id": run.run_id, "epoch": epoch, **metrics}
            for run, [epochs] in zip(runs, curves, strict=True)
            for epoch, metrics in enumerate(epochs, start=1)
        ]
    types = {"run_id": "string", "epoch": "int64"} | dict.fromkeys(BY_EPOCH, "float64")
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _seconds(run: "StoredRun") -> float:
    """From its start to its end; NaN while it runs."""
    began, ended = run.run.info.start_time, run.run.info.end_time
    return math.nan if ended is None else (ended - began) / 1000


def _is_column(tag: str) -> bool:
    return tag not in NOT_A_COLUMN and not tag.startswith("mlflow.")


def _columns(prefix: str, rows: Sequence[dict[str, Any]]) -> "pd.DataFrame":
    """A column for each key that any row has."""
    import pandas as pd

    keys = sorted({key for row in rows for key in row})
    return pd.DataFrame({f"{prefix}.{key}": [row.get(key) for row in rows] for key in keys})


def _counted(metric: "pd.Series") -> "pd.Series":
    """MLflow keeps every metric as a float: counts back to whole numbers."""
    return metric.astype("Int64") if metric.name in COUNTS and (metric.dropna() % 1 == 0).all() else metric


def _typed(column: "pd.Series") -> "pd.Series":
    """MLflow keeps parameters as text: back to whole numbers, numbers or truth values, where all of them are."""
    text = column.astype("string")
    known = text.dropna().str
    if known.fullmatch(WHOLE).all():
        return text.astype("Int64")
    if known.fullmatch(NUMBER).all():
        return text.astype("float64")
    if known.fullmatch(TRUTH).all():
        return text.map({"True": True, "False": False}).astype("boolean")
    return text


if __name__ == "__main__":
    main()
