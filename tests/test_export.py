"""`python -m pipeline.export`."""

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest
from conftest import FinishedRun, command
from mlflow.entities import Metric, Param

from pipeline.errors import PipelineError
from pipeline.export import export
from pipeline.tracking.store import open_store
from pipeline.tracking.stored import BY_EPOCH, open_run

TYPES = {
    "run_id": "string",
    "name": "string",
    "state": "string",
    "seconds": "float64",
    "params.batch_size": "Int64",
    "params.lr": "float64",
    "params.model": "string",
    "params.flag": "boolean",
    "params.code": "string",
    "metrics.val_accuracy": "float64",
    "metrics.weights": "Int64",
    "tags.sweep": "string",
    "tags.trial": "Int64",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two trials, one of them killed in its first epoch, and their sweep."""
    folder = tmp_path_factory.mktemp("made") / "mlruns"
    client, experiment = open_store(str(folder), None, "toy")
    params = [
        {"model": "cnn", "batch_size": "32", "lr": "0.001", "flag": "True", "code": "007"},
        {"model": "mlp", "lr": "1e-05", "code": "8"},
    ]
    for number, (each, epochs) in enumerate(zip(params, (3, 0), strict=True)):
        tags = {"kind": "run", "sweep": "s", "trial": str(number), "state": "complete" if epochs else "killed"}
        run = client.create_run(experiment, start_time=1000 + number, run_name=each["model"], tags=tags)
        points = [Metric(name, step / 10, 0, step) for name in BY_EPOCH for step in range(1, epochs + 1)]
        points += [Metric("weights", 123.0, 0, 0)] if epochs else []
        client.log_batch(run.info.run_id, points, [Param(*pair) for pair in each.items()])
        if epochs:
            client.set_terminated(run.info.run_id, end_time=3500)
    client.create_run(experiment, run_name="s", tags={"kind": "sweep", "sweep": "s"})
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy, in the folder that is worked in."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made, tmp_path / "mlruns"))


def test_a_row_for_each_run_with_the_types_of_what_is_in_it(store: Path) -> None:
    export("parquet", [], "mlruns", None, Path("new/folder"))
    runs, curves = (pd.read_parquet(f"new/folder/{name}.parquet") for name in ("runs", "curves"))
    assert sorted(path.name for path in Path("new/folder").iterdir()) == ["curves.parquet", "runs.parquet"]
    assert {name: str(runs[name].dtype) for name in TYPES} == TYPES
    assert str(runs["started"].dtype.tz) == "UTC"
    assert runs["name"].tolist() == ["mlp", "cnn"], "the latest first"
    assert runs["state"].tolist() == ["killed", "complete"]
    assert runs["seconds"].isna().tolist() == [True, False]
    assert runs.loc[1, ["seconds", "params.batch_size", "params.code", "tags.trial"]].tolist() == [2.5, 32, "007", 0]
    assert pd.isna(runs.loc[0, "params.batch_size"])
    kinds = [name.partition(".")[0] for name in runs.columns[5:]]
    assert list(dict.fromkeys(kinds)) == ["params", "metrics", "tags"]
    assert "tags.kind" not in runs
    assert curves.columns.tolist() == ["run_id", "epoch", *BY_EPOCH]
    assert curves["epoch"].tolist() == [1, 2, 3]
    assert curves["val_loss"].tolist() == [0.1, 0.2, 0.3]
    assert set(curves["run_id"]) == {runs["run_id"][1]}


def test_the_command_writes_what_the_run_logged_and_overwrites_only_when_told(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    run_id, where = finished_run.done.stdout.split()[-1], ("--store", str(finished_run.folder / "mlruns"))
    done = command("csv", run_id[:8], *where, cwd=tmp_path, module="pipeline.export")
    assert (done.returncode, done.stderr) == (0, "")
    assert "curves.csv: 2 rows, 6 columns" in done.stdout
    runs, curves = pd.read_csv(tmp_path / "runs.csv", parse_dates=["started"]), pd.read_csv(tmp_path / "curves.csv")
    with open_run(run_id, where[1]) as stored:
        assert runs.loc[0, "metrics.test_accuracy"] == stored.run.data.metrics["test_accuracy"]
        assert tuple(curves[list(BY_EPOCH)].to_dict("records")) == stored.epochs()
        (tmp_path / "runs.csv").write_text("somebody's own")
        with pytest.raises(PipelineError, match=r"runs\.csv: is there already; --force overwrites it, --output names"):
            export("csv", [run_id], where[1], None, tmp_path)
        assert (tmp_path / "runs.csv").read_text() == "somebody's own"
    export("csv", [run_id], where[1], None, tmp_path, force=True)
    assert pd.read_csv(tmp_path / "runs.csv")["params.model"].tolist() == ["cnn_dropout"]
    assert {path.name for path in tmp_path.iterdir()} == {"runs.csv", "curves.csv"}


def newer(store: Path) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")


def deleted(store: Path) -> None:
    client, experiment = open_store(str(store), None, "toy")
    for run in client.search_runs([experiment]):
        client.delete_run(run.info.run_id)


@pytest.mark.parametrize(
    ("spoil", "words", "line"),
    [
        (lambda store: None, ["nosuch"], r"^nosuch: no such run in mlruns$"),
        (lambda store: None, ["s"], r"^s: is a sweep, not a run; its trials are "),
        (lambda store: shutil.rmtree(store), [], r"^mlruns/mlflow\.db: no such file"),
        (deleted, [], r"^mlruns: has no runs"),
        (newer, [], "schema|newer MLflow"),
    ],
    ids=["unknown", "a sweep", "no store", "all deleted", "newer schema"],
)
def test_what_cannot_be_read_is_named_and_nothing_is_written(spoil, words: list[str], line: str, store: Path) -> None:
    spoil(store)
    with pytest.raises(PipelineError, match=line):
        export("csv", words, "mlruns", None, Path("out"))
    assert not Path("out").exists()


def test_where_no_folder_can_be_nothing_is_written(store: Path) -> None:
    Path("file").write_text("somebody's own")
    with pytest.raises(OSError, match="file"):
        export("csv", [], "mlruns", None, Path("file"))
    assert Path("file").read_text() == "somebody's own"
