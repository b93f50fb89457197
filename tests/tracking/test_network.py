"""Runs on an MLflow server, a real one, that hangs or dies in their midst; and passwords, which nobody writes down."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest
from conftest import command, free_port
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.tracking.stored import find_runs

SHORT = ("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100", "figures=[curves]")
EPOCHS = 6


class Server:
    """`mlflow server` with SQLite and its own artifacts, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        words = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(self.port)]
        words += ["--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db"]
        words += ["--artifacts-destination", str(self.folder / "files")]
        self.process = subprocess.Popen(
            words,
            cwd=self.folder,
            env=os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=(self.folder / "log").open("a"),
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def wait(self) -> None:
        for _ in range(600):
            try:
                with urlopen(f"{self.uri}/health", timeout=1):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text())

    def signal(self, number: int) -> None:
        os.killpg(self.process.pid, number)

    def end(self) -> None:
        self.signal(signal.SIGKILL)
        self.process.wait()

    def runs(self) -> list[Run]:
        client = MlflowClient(self.uri)
        return list(client.search_runs([each.experiment_id for each in client.search_experiments()]))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.wait()
    yield server
    server.end()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests give up soon, and observers of this folder are found."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


def train(server: Server, folder: Path, *words: str, outage: tuple[str, int] | None = None) -> subprocess.CompletedProcess:
    if outage:
        name, epoch = outage
        target = "{_target_: outage.send, signal_name: %s, server: %d, at: %d}" % (name, server.process.pid, epoch)
        words = (*words, f"observers=[{target}]")
    return command("model=cnn", *SHORT, f"epochs={EPOCHS}", f"tracking.uri={server.uri}", *words, cwd=folder)


def check_whole(server: Server, run_id: str) -> None:
    """Every metric of every epoch, in their order and each once, images, model and page."""
    client = MlflowClient(server.uri)
    for metric in ("train_loss", "val_accuracy"):
        points = client.get_metric_history(run_id, metric)
        assert [point.step for point in sorted(points, key=lambda each: each.timestamp)] == list(range(1, EPOCHS + 1))
    images = [item.path for item in client.list_artifacts(run_id, "images") if "kernels~conv1" in item.path]
    assert len([path for path in images if path.endswith(".png")]) == EPOCHS + 1
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")
    with find_runs([run_id], uri=server.uri) as [stored]:
        assert {"report.html", "curves.png", "predictions_test.npz"} <= stored.artifacts
        assert run_id in stored.read("report.html").decode()
        assert stored.model().count_params() == run.data.metrics["weights"]


def unsent(folder: Path) -> list[Path]:
    return list((folder / "mlruns" / "unsent").glob("*"))


def test_a_server_that_hangs_holds_nothing_up(server: Server, tmp_path: Path) -> None:
    back = threading.Timer(8, server.signal, [signal.SIGCONT])
    ...
