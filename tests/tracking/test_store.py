"""The store: made once, found after a move, refused in one line where it cannot be used."""

import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import forked
import pytest
from conftest import command, free_port
from mlflow import MlflowClient
from sqlalchemy import event
from sqlalchemy.orm import Session

from pipeline.errors import PipelineError
from pipeline.tracking.entries import Direct
from pipeline.tracking.store import open_store

QUICK = ("model=sgd_classifier", "dataset=digits", "figures=none")
OPENING = """
import empty_store
from pipeline.tracking import store

store._migrate = empty_store.migrate
client, experiment = store.open_store("mlruns", None, "x")
client.create_run(experiment)
"""


def test_processes_that_begin_together_share_one_store(tmp_path: Path) -> None:
    (tmp_path / "opening.py").write_text(OPENING)
    started = [forked.Process("opening.py", cwd=tmp_path) for _ in range(4)]
    assert [process.wait(timeout=120) for process in started] == [0, 0, 0, 0]
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("x")
    assert len(client.search_runs([experiment.experiment_id])) == 4
    assert experiment.artifact_location == f"mlruns/artifacts/{experiment.experiment_id}"


def test_a_creation_that_was_cut_off_is_begun_again(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db.unfinished").write_bytes(b"half a database")
    client, experiment = open_store(str(tmp_path), None, "x")
    assert client.get_experiment(experiment).name == "x"
    assert not (tmp_path / "mlflow.db.unfinished").exists()


def test_a_deleted_experiment_is_named(tmp_path: Path) -> None:
    client, experiment = open_store(str(tmp_path), None, "x")
    client.delete_experiment(experiment)
    with pytest.raises(PipelineError, match="experiment x: was deleted in MLflow"):
        open_store(str(tmp_path), None, "x")


def test_a_store_that_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlruns").write_text("a file")
    done = command(*QUICK, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: mlruns")
    assert done.stderr.count("\n") == 1


def test_a_database_without_its_driver_is_named(tmp_path: Path) -> None:
    with pytest.raises(PipelineError, match="^tracking.uri=mysql://me@here/db: needs MySQLdb, a module that is not"):
        open_store(str(tmp_path), "mysql://me@here/db", "x")


@pytest.mark.skipif(find_spec("psycopg") is None, reason="pip install -e '.[cluster]'")
def test_a_database_that_does_not_answer_is_named_at_once(tmp_path: Path) -> None:
    uri = f"postgresql+psycopg://me@127.0.0.1:{free_port()}/mlflow"
    began = time.monotonic()
    with pytest.raises(
        PipelineError, match=f"^tracking.uri={re.escape(uri)}: cannot be used \\(.*[Cc]onnection refused"
    ):
        open_store(str(tmp_path), uri, "x")
    assert time.monotonic() - began < 20, "MLflow's own attempts go on for 100 seconds"


def can_mount() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True).returncode == 0
    )


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces, to mount a full and a read-only folder")
@pytest.mark.parametrize(
    ("mount", "reason"),
    [
        ("mount -t tmpfs -o size=5m none mlruns", "mlruns: the disk is full, 5 MB left; a run needs 20 MB"),
        ("mount -t tmpfs -o ro none mlruns", "Read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_a_full_or_read_only_store_is_one_line(mount: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    train = f"{sys.executable} -m pipeline.train {' '.join(QUICK)}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"{mount} && exec {train}"], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.skipif(not can_mount(), reason="needs user namespaces, to mount a folder that fills up")
def test_a_disk_that_fills_up_in_mid_run_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "filler.py").write_text(
        "def fill(epoch, metrics):\n"
        "    with open('mlruns/filler', 'wb', buffering=0) as file:\n"
        "        while file.write(bytes(4096)) == 4096: pass\n"
    )
    fill = "'observers=[{_target_: hydra.utils.get_method, path: filler.fill}]'"
    train = f"{sys.executable} -m pipeline.train {' '.join(QUICK)} {fill}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", f"mount -t tmpfs -o size=24m none mlruns && exec {train}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1


def test_two_runs_that_are_the_first_with_a_dataset_both_have_it(tmp_path: Path) -> None:
    dataset = {"name": "x", "digest": "0123", "source_type": "code", "source": "{}"}
    runs = []
    for _ in range(2):
        client, experiment = open_store(str(tmp_path / "mlruns"), None, "x")
        run_id = client.create_run(experiment).info.run_id
        runs.append(Direct(client, run_id, experiment, tmp_path))

    def be_faster(*_: object) -> None:
        runs[1].put({"dataset": dataset})

    event.listen(Session, "before_flush", be_faster, once=True)  # when the first has looked for it in vain
    runs[0].put({"dataset": dataset})
    for run in runs:
        [found] = client.get_run(run.run_id).inputs.dataset_inputs
        assert found.dataset.digest == "0123"
