"""Runs on an MLflow server, a real one, that hangs or dies in their midst; and passwords, which nobody writes down."""

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import urlopen

import forked
import psutil
import pytest
import requests
from conftest import command, free_port
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.tracking.entries import now, put_end
from pipeline.tracking.outbox import TAG, Outbox, UnsentError
from pipeline.tracking.stored import find_runs

SHORT = ("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100", "figures=none")
EPOCHS = 4
LOST = 0
SECRET = "correct-horse"


class Server:
    """`mlflow server` with SQLite and its own artifacts, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self) -> None:
        """One process that serves, beside the one that started it."""
        words = ("mlflow", "server", "--workers", "1", "--port", str(self.port))
        words += ("--backend-store-uri", f"sqlite:///{self.folder}/mlflow.db")
        words += ("--artifacts-destination", str(self.folder / "files"))
        settings = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        self.process = forked.Process(*words, cwd=self.folder, log=self.folder / "log", **settings)

    def wait(self) -> None:
        for _ in range(600):
            try:
                with urlopen(f"{self.uri}/health", timeout=1):
                    return
            except (URLError, OSError):
                time.sleep(0.1)
        raise TimeoutError((self.folder / "log").read_text())

    @property
    def serving(self) -> int | None:
        """The number of the process that answers."""
        listening = [each for each in psutil.net_connections("tcp4") if each.status == psutil.CONN_LISTEN]
        return next((each.pid for each in listening if each.laddr.port == self.port), None)

    def end(self) -> None:
        with suppress(ProcessLookupError):  # a test may have killed it
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        until(lambda: self.serving is None)

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
    """A request that gets no answer gives up soon; and there is a password to hide."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "anna")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", SECRET)


def train(
    server: Server, folder: Path, *words: str, outage: tuple[str, int | None] | None = None
) -> subprocess.CompletedProcess:
    """outage: a signal, and whom it is for after the second epoch."""
    if outage:
        name, whom = outage
        target = f"{{_target_: outage.observer, name: {name}, server: {whom or 'null'}, at: 2}}"
        words = (*words, f"observers=[{target}]")
    return command(*SHORT, f"epochs={EPOCHS}", f"tracking.uri={server.uri}", *words, cwd=folder)


@contextmanager
def between(server: Server, does: Callable[[str], int | None]) -> Iterator[str]:
    """The address of a proxy: does(path) is a status to answer with, LOST for the server's answer, or None."""

    class Proxy(BaseHTTPRequestHandler):
        def hand_on(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"] or 0))
            answer = requests.request(self.command, f"{server.uri}{self.path}", data=body, headers=self.headers)
            status = does(urlsplit(self.path).path)
            if status is None:
                self.send_response(answer.status_code)
                self.end_headers()
                self.wfile.write(answer.content)
            elif status != LOST:
                self.send_error(status)

        do_GET = do_POST = do_PUT = do_PATCH = hand_on  # noqa: N815

        def log_message(self, *_: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as proxy:
        threading.Thread(target=proxy.serve_forever).start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()


@contextmanager
def later(act: Callable[[], None], folder: Path, pattern: str) -> Iterator[None]:
    """Do it when the file is there, and a request or two have had no answer since; not after the block."""
    over = threading.Event()

    def wait() -> None:
        while not list(folder.glob(pattern)):
            if over.wait(0.05):
                return
        time.sleep(2)
        act()

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def check_whole(server: Server, run_id: str) -> None:
    """Every metric of every epoch, in their order and each once, model and page."""
    client = MlflowClient(server.uri)
    for metric in ("train_loss", "val_accuracy"):
        points = client.get_metric_history(run_id, metric)
        assert [point.step for point in sorted(points, key=lambda each: each.timestamp)] == list(range(1, EPOCHS + 1))
    run = client.get_run(run_id)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")
    with find_runs([run_id], uri=server.uri) as [stored]:
        assert {"report.html", "predictions_val.npz"} <= stored.artifacts
        assert run_id in stored.read("report.html").decode()
        assert stored.model().count_params() == run.data.metrics["weights"]


def check_images(server: Server, run_id: str) -> None:
    """One of each epoch, and one of before, each with its thumbnail."""
    names = [item.path for item in MlflowClient(server.uri).list_artifacts(run_id, "images")]
    for ending in (".png", "+compressed.webp"):
        steps = [name.split("+")[2] for name in names if "kernels~conv1" in name and name.endswith(ending)]
        assert sorted(steps) == [str(step) for step in range(EPOCHS + 1)]


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def unsent(folder: Path) -> list[Path]:
    return [path for path in (folder / "mlruns" / "unsent").glob("*") if path.suffix != ".lock"]


def files_with(word: str, *folders: Path) -> list[Path]:
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    assert files
    return [path for path in files if word.encode() in path.read_bytes()]


def test_training_does_not_wait_for_a_server_that_hangs(server: Server, tmp_path: Path) -> None:
    serving = server.serving
    with later(lambda: os.kill(serving, signal.SIGCONT), tmp_path, "mlruns/unsent/*/files/report.html"):
        done = train(server, tmp_path, "model=cnn", outage=("SIGSTOP", serving))
    assert done.returncode == 0, done.stderr
    run_id = done.stdout.split("/")[-1].strip()
    check_whole(server, run_id)
    check_images(server, run_id)
    assert not unsent(tmp_path)
    assert not files_with(SECRET, tmp_path, server.folder)
    assert SECRET not in done.stdout + done.stderr


def test_what_a_server_is_too_long_away_for_is_kept_and_sent_later(server: Server, tmp_path: Path) -> None:
    done = train(server, tmp_path, "model=cnn", "tracking.patience=1", outage=("SIGKILL", server.serving))
    [folder] = unsent(tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        f"error: tracking.uri={server.uri}: no answer for 1 s ([Errno 111] Connection refused); "
        f"the run is kept in {folder.relative_to(tmp_path)}, and `python -m pipeline.send` sends it\n"
    )
    away = command("--patience", "0", module="pipeline.send", cwd=tmp_path)
    assert (away.returncode, away.stderr.count("\n")) == (1, 1)
    server.end()
    server.start()
    sent = command(module="pipeline.send", cwd=tmp_path)
    assert sent.returncode == 0, sent.stderr
    assert sent.stdout.startswith(f"sent: {server.uri}/#/experiments/")
    run_id = sent.stdout.split("/")[-1].strip()
    check_whole(server, run_id)
    check_images(server, run_id)
    assert command(module="pipeline.send", cwd=tmp_path).stdout == "mlruns/unsent: no run waits here\n"


def test_a_sweep_outlasts_a_server_that_is_started_anew(server: Server, tmp_path: Path) -> None:
    def restart() -> None:
        server.end()
        server.start()

    sweep = ("sweep=seeds", "seed=0,1,2", "sweep.name=three", "executor=serial", "model=softmax_regression")
    with later(restart, tmp_path, "mlruns/sweeps/three/1/result.json"):
        done = train(server, tmp_path, *sweep, outage=("SIGKILL", server.serving))
    assert done.returncode == 0, done.stderr
    assert "3 complete of 3 trials" in done.stdout
    [parent] = [run for run in server.runs() if run.data.tags.get("kind") == "sweep"]
    assert parent.info.status == "FINISHED"
    assert parent.data.metrics["trials_complete"] == 3
    children = [run for run in server.runs() if run.data.tags.get("mlflow.parentRunId") == parent.info.run_id]
    assert sorted(run.data.tags["trial"] for run in children) == ["0", "1", "2"]
    for run in children:
        check_whole(server, run.info.run_id)
    assert not unsent(tmp_path)


def test_a_sweeps_run_is_there_once_though_nobody_heard_of_its_creation(server: Server, tmp_path: Path) -> None:
    paths = []

    def does(path: str) -> int | None:
        paths.append(path)
        return LOST if path.endswith("runs/create") and paths.count(path) == 1 else None

    words = ("sweep=seeds", "seed=0", "sweep.name=unheard", "executor=serial", "model=sgd_classifier", *SHORT)
    with between(server, does) as uri:
        done = command(*words, f"tracking.uri={uri}", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    runs = [run for run in server.runs() if run.data.tags.get("sweep") == "unheard"]
    assert sorted(run.data.tags["kind"] for run in runs) == ["run", "sweep"]
    [parent] = [run for run in runs if run.data.tags["kind"] == "sweep"]
    assert (parent.info.status, parent.data.params["model"]) == ("FINISHED", "sgd_classifier")


def test_what_a_server_refuses_is_one_line_of_a_sweeps_commands_too(server: Server, tmp_path: Path) -> None:
    refusing = threading.Event()

    def does(path: str) -> int | None:
        return 401 if refusing.is_set() and path.endswith("runs/search") else None

    def refused(module: str, *words: str) -> str:
        done = command(*words, module=module, cwd=tmp_path)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        return done.stderr

    sweep = ("sweep=seeds", "seed=0", "sweep.name=refused", "executor=serial", "model=sgd_classifier", *SHORT)
    with between(server, does) as uri:
        assert command(*sweep, f"tracking.uri={uri}", cwd=tmp_path).returncode == 0
        refusing.set()
        line = f"error: tracking in {uri}: the server wants to know who asks; "
        assert refused("pipeline.train", *sweep, "sweep.name=another", f"tracking.uri={uri}").startswith(line)
        for verb in ("report", "promote"):
            assert refused("sweeps", verb, "refused").startswith(line)


def test_what_a_killed_run_had_not_sent_comes_with_the_next(server: Server, tmp_path: Path) -> None:
    assert train(server, tmp_path, "model=softmax_regression", outage=("SIGKILL", None)).returncode == -signal.SIGKILL
    [folder] = unsent(tmp_path)
    with (folder / "entries.jsonl").open("a") as file:
        file.write('{"metrics": {"val_acc')  # as far as it got
    done = train(server, tmp_path, "model=softmax_regression")
    assert done.returncode == 0, done.stderr
    killed = next(run for run in server.runs() if run.data.tags.get(TAG) == folder.name)
    assert (killed.info.status, killed.data.tags["state"]) == ("KILLED", "killed")
    assert [point.step for point in MlflowClient(server.uri).get_metric_history(killed.info.run_id, "val_loss")] == [
        1,
        2,
    ]
    assert not unsent(tmp_path)


def test_what_a_server_refuses_stays_with_its_run_until_that_has_ended(server: Server, tmp_path: Path) -> None:
    run = {"uri": server.uri, "experiment": "x", "name": "refused", "tags": {}, "began": now()}
    refused = Outbox(tmp_path / "mlruns" / "unsent" / "one", run)
    refused.begin(required=True)
    client = MlflowClient(server.uri)
    client.delete_run(refused.run_id)
    refused.put({"tags": {"some": "thing"}})
    until(lambda: refused.refused)
    client.restore_run(refused.run_id)
    assert command(module="pipeline.send", cwd=tmp_path).stdout == "mlruns/unsent: no run waits here\n"
    refused.put({"tags": {"state": "complete"}})
    put_end(refused, "FINISHED")
    with pytest.raises(UnsentError, match="must be in the 'active' state.*; the run is kept in"):
        refused.close(patience=5)
    assert command(module="pipeline.send", cwd=tmp_path).returncode == 0
    sent = client.get_run(refused.run_id)
    assert (sent.info.status, sent.data.tags["state"], sent.data.tags["some"]) == ("FINISHED", "complete", "thing")


def test_files_that_a_server_would_leave_to_us_are_not_written_who_knows_where(server: Server, tmp_path: Path) -> None:
    MlflowClient(server.uri).create_experiment("elsewhere", "/no/such/folder")
    done = train(server, tmp_path, "model=softmax_regression", "dataset.name=elsewhere")
    assert done.returncode == 1
    assert "keeps the files of elsewhere in" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not unsent(tmp_path)


def test_a_password_that_hydra_cannot_read_is_not_repeated_either(tmp_path: Path) -> None:
    done = command(f"tracking.uri=http://anna:{SECRET}{{@localhost:5000", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("error: tracking.uri=http://***@localhost:5000: cannot be read; ")


@pytest.mark.parametrize("words", [(), ("sweep=seeds", "executor=serial")], ids=["run", "sweep"])
@pytest.mark.parametrize("password", [SECRET, f"a/b:c@ {SECRET}"])
def test_a_password_in_the_address_is_refused_and_not_repeated(
    words: tuple[str, ...], password: str, tmp_path: Path
) -> None:
    done = command(f"tracking.uri=http://anna:{password}@localhost:5000", *words, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: tracking.uri=http://***@localhost:5000: must have no password in it; ")
    assert SECRET not in done.stdout + done.stderr
    (tmp_path / "some file").touch()
    assert not files_with(SECRET, tmp_path)
