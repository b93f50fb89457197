"""`python -m pipeline.ui`."""

import re
import signal
import socket
from pathlib import Path
from urllib.request import urlopen

import forked
import pytest
from conftest import FinishedRun, command, free_port


def test_it_serves_the_run_and_ends_with_ctrl_c(finished_run: FinishedRun) -> None:
    run_id = finished_run.done.stdout.split()[-1]
    port = free_port()
    words = ("pipeline.ui", run_id, "--port", str(port))
    server = forked.Process(*words, cwd=finished_run.folder, forks=False)  # nobody else ends what it leaves behind
    try:
        address = server.stdout.readline()
        page = rf"MLflow: http://127.0.0.1:{port}/#/experiments/1/runs/{run_id}\?workflowType=machine_learning\n"
        assert re.fullmatch(page, address)
        artifact = f"http://127.0.0.1:{port}/get-artifact?path=curves.png&run_uuid={run_id}"
        with urlopen(artifact) as response:
            assert response.read().startswith(b"\x89PNG")
        server.send_signal(signal.SIGINT)
        assert server.wait(timeout=30) == 130
    finally:
        server.send_signal(signal.SIGTERM)  # where it failed: with it, MLflow's would stay
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", port)) != 0, "no process is left behind"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("--store", "nowhere"), "error: nowhere/mlflow.db: no such file; train something first"),
        (("0123",), "error: 0123: no such run in mlruns"),
        (("--port", "99999"), "error: --port 99999: must be 1 to 65535"),
    ],
)
def test_what_is_not_there_is_named(finished_run: FinishedRun, arguments: tuple[str, ...], line: str) -> None:
    done = command(*arguments, cwd=finished_run.folder, module="pipeline.ui")
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_port_in_use_is_named(finished_run: FinishedRun) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = command("--port", str(port), cwd=finished_run.folder, module="pipeline.ui")
    assert done.returncode == 1
    assert f"--port {port}: cannot be used" in done.stderr


def test_the_store_is_a_folder_of_the_command_line(finished_run: FinishedRun, tmp_path: Path) -> None:
    store = finished_run.folder / "mlruns"
    done = command("nosuch", "--store", str(store), cwd=tmp_path, module="pipeline.ui")
    assert f"nosuch: no such run in {store}" in done.stderr
