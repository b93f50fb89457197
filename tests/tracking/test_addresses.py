"""What `python -m pipeline.ui` opens, and what it says of stores and runs that it cannot open."""

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from conftest import FinishedRun
from mlflow import MlflowClient

from pipeline.errors import PipelineError
from pipeline.tracking.addresses import pages
from pipeline.tracking.stored import find_runs


@pytest.fixture
def store(finished_run: FinishedRun, tmp_path: Path) -> Path:
    """A copy of the finished run's store, in another folder."""
    return Path(shutil.copytree(finished_run.folder / "mlruns", tmp_path / "moved" / "mlruns"))


@pytest.fixture
def run_id(finished_run: FinishedRun) -> str:
    return finished_run.done.stdout.split()[-1]


def client(store: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{store / 'mlflow.db'}")


def test_the_latest_run_decides_which_leaderboard(store: Path) -> None:
    later = client(store).create_experiment("later")
    client(store).create_run(later, tags={"kind": "run"})
    [(title, path), (second, _)] = pages(str(store), None)
    assert (title, second) == ("Leaderboard", "Curves & kernels")
    assert path.startswith(f"/experiments/{later}/runs?workflowType=machine_learning&viewStateShareKey=sweepline-")
    key = path.partition("viewStateShareKey=")[2].partition("&")[0]
    assert f"mlflow.sharedViewState.{key}" in client(store).get_experiment(later).tags, "it is written where it lacks"


def test_a_run_by_its_name_or_the_beginning_of_its_id(store: Path, run_id: str) -> None:
    page = f"/experiments/1/runs/{run_id}?workflowType=machine_learning"
    for word in (run_id, run_id[:6], "cnn_dropout adam seed 0"):
        assert pages(str(store), word) == [("cnn_dropout adam seed 0", page)]


def test_a_sweep_comes_before_runs_of_its_name(store: Path) -> None:
    for kind in ("run", "sweep", "run"):
        tags = {"kind": kind, "sweep": "mine"}
        run = client(store).create_run("1", run_name="mine", tags=tags)
        client(store).log_param(run.info.run_id, "swept/batch_size", "32, 64")
    assert [title for title, _ in pages(str(store), "mine")] == ["Batch size mine", "Sweep mine"]


def test_a_database_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    missing = f"sqlite:///{tmp_path}/none.db"
    with pytest.raises(PipelineError, match=f"^{missing}: no such file; "), find_runs(["abcd"], uri=missing):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_store_without_a_run_opens_on_its_experiments(store: Path, run_id: str) -> None:
    client(store).delete_run(run_id)
    assert pages(str(store), None) == [("experiments", "/experiments")]


def several(store: Path, run_id: str) -> None:
    for _ in range(2):
        client(store).create_run("1", run_name="the same", tags={"kind": "run"})


def deleted(store: Path, run_id: str) -> None:
    client(store).delete_run(run_id)


def newer(store: Path, run_id: str) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'fedcba987654'")


def garbage(store: Path, run_id: str) -> None:
    (store / "mlflow.db").write_bytes(b"no database at all" * 100)


@pytest.mark.parametrize(
    ("spoil", "word", "line"),
    [
        (several, "the same", "the same: there are 2 of them; take one by its id: "),
        (deleted, None, "was deleted; restore it first"),
        (newer, None, "is of a newer MLflow than .*; pip install --upgrade mlflow"),
        (garbage, None, "mlflow.db: file is not a database"),
    ],
)
def test_what_cannot_be_opened_is_said_and_nothing_changed(
    spoil: Callable[[Path, str], None], word: str | None, line: str, store: Path, run_id: str
) -> None:
    spoil(store, run_id)
    before = (store / "mlflow.db").read_bytes()
    with pytest.raises(PipelineError, match=line):
        pages(str(store), word or run_id)
    assert (store / "mlflow.db").read_bytes() == before


def test_a_renamed_store_is_told_its_name(store: Path) -> None:
    renamed = store.rename(store.with_name("runs"))
    with pytest.raises(PipelineError, match="runs: its artifacts are known as mlruns/artifacts; name it mlruns again"):
        pages(str(renamed), None)


@pytest.mark.parametrize("place", ["/artifacts/1", "s3://artifacts/1"])
def test_artifacts_that_lie_elsewhere_are_no_renamed_store(store: Path, run_id: str, place: str) -> None:
    with closing(sqlite3.connect(store / "mlflow.db")) as database, database:
        database.execute("UPDATE experiments SET artifact_location = ? WHERE experiment_id = 1", (place,))
    [(title, _)] = pages(str(store), run_id)
    assert title == "cnn_dropout adam seed 0"


def test_a_name_comes_before_a_filter(store: Path) -> None:
    created = client(store).create_run("1", run_name="bs=32", tags={"kind": "run"}).info.run_id
    with find_runs(["bs=32"], str(store)) as found:
        assert [run.run_id for run in found] == [created]
    with find_runs(["attributes.run_name like 'bs%'"], str(store)) as found:
        assert [run.run_id for run in found] == [created]


def test_the_views_of_all_experiments_are_brought_up_to_date(store: Path) -> None:
    other = client(store).create_experiment("other")
    client(store).create_run(other, tags={"kind": "run"})
    pages(str(store), "cnn_dropout adam seed 0")
    assert "mlflow.sharedViewState.sweepline-leaderboard" in client(store).get_experiment(other).tags
