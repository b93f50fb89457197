"""MLflow's UI, started right: `python -m pipeline.ui [run id]`."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from pipeline.errors import PipelineError, one_line_errors

START_UP_SECONDS = 120


def main() -> None:
    """Start the server, wait until it answers, print the address, and stay until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description="Look at the runs in MLflow.")
    parser.add_argument("run", nargs="?", help="id of a run to open; without it, all experiments")
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    chosen = parser.parse_args()
    with one_line_errors():
        serve(Path(chosen.store), chosen.port, chosen.run)


def serve(store: Path, port: int, run_id: str | None) -> None:
    """Raises PipelineError where there is no store, no such run, or the port is taken."""
    if not (store / "mlflow.db").exists():
        raise PipelineError(
            f"{store / 'mlflow.db'}: no such file; train something first, or name the folder with --store"
        )
    if not 0 < port < 65536:
        raise PipelineError(f"--port {port}: must be 1 to 65535")
    page = _page(store, run_id)
    store = store.resolve()
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PipelineError(
                f"--port {port}: cannot be used ({error.strerror or error}); try --port {port + 1}"
            ) from None
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += [
        "--backend-store-uri",
        f"sqlite:///{store / 'mlflow.db'}",
        "--default-artifact-root",
        str(store / "artifacts"),
    ]
    # the job runners are for MLflow's GenAI side: 14 more processes and 2.6 GB
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            command, cwd=store.parent, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            _wait(server, f"http://127.0.0.1:{port}/health", log)
            print(f"MLflow: http://127.0.0.1:{port}/#{page}?workflowType=machine_learning\nCtrl-C ends it.", flush=True)
            server.wait()
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)  # its worker too
            server.wait()


def _page(store: Path, run_id: str | None) -> str:
    """The path of the UI's page within the address."""
    if run_id is None:
        return "/experiments"
    from pipeline.tracking.store import experiment_of

    return f"/experiments/{experiment_of(store, run_id)}/runs/{run_id}"


def _wait(server: subprocess.Popen, health: str, log: IO[str]) -> None:
    """Until the server answers. Raises PipelineError with the server's last words where it ends instead."""
    deadline = time.monotonic() + START_UP_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            log.seek(0)
            last = [line for line in log.read().splitlines() if line.strip()][-1:]
            raise PipelineError(f"MLflow did not start: {' '.join(last) or f'exit code {server.returncode}'}")
        try:
            with build_opener(ProxyHandler({})).open(health, timeout=1):  # this machine, whatever the proxy
                return
        except (URLError, OSError):
            time.sleep(0.2)
    raise PipelineError(f"MLflow did not answer within {START_UP_SECONDS} s")


if __name__ == "__main__":
    main()
