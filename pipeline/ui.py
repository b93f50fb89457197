"""MLflow's UI, started right: `python -m pipeline.ui [sweep or run]`."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO
from urllib.error import URLError
from urllib.request import ProxyHandler, build_opener

from pipeline.errors import PipelineError, one_line_errors

START_UP_SECONDS = 120


def main() -> None:
    """Start the server, wait until it answers, print the address, and stay until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.ui", description="Look at the runs in MLflow.")
    parser.add_argument(
        "what",
        nargs="?",
        help="sweep or run to open, by name, id or its beginning; without it, where the latest run is",
    )
    parser.add_argument("--store", default="mlruns", help="folder of the tracking store (default: %(default)s)")
    parser.add_argument("--port", type=int, default=5000, help="default: %(default)s")
    chosen = parser.parse_args()
    with one_line_errors():
        serve(Path(chosen.store), chosen.port, chosen.what)


def serve(store: Path, port: int, what: str | None) -> None:
    """Raises PipelineError where there is no store, no such run, or the port is taken."""
    if not (store / "mlflow.db").exists():
        raise PipelineError(
            f"{store / 'mlflow.db'}: no such file; train something first, or name the folder with --store"
        )
    _check(port)
    address = f"http://127.0.0.1:{port}"
    with _server(store.resolve(), port) as (server, log):
        from pipeline.tracking import addresses  # here: MLflow takes seconds to import, as it does in the server

        pages = addresses.pages(str(store), what)
        _wait(server, f"{address}/health", log)
        print(f"MLflow: {address}/#{pages[0][1]}")
        for title, page in pages[1:]:
            print(f"{title}: {address}/#{page}")
        if not addresses.views.are_read():
            print("this version of MLflow knows nothing of saved views: columns and charts are as it chooses")
        print("Ctrl-C ends it.", flush=True)
        server.wait()


def _check(port: int) -> None:
    if not 0 < port < 65536:
        raise PipelineError(f"--port {port}: must be 1 to 65535")
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise PipelineError(
                f"--port {port}: cannot be used ({error.strerror or error}); try --port {port + 1}"
            ) from None


@contextmanager
def _server(store: Path, port: int) -> Iterator[tuple[subprocess.Popen, IO[str]]]:
    """MLflow's, with the file it logs to, for as long as the block lasts."""
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--host", "127.0.0.1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{store / 'mlflow.db'}"]
    command += ["--default-artifact-root", str(store / "artifacts")]
    # the job runners are for MLflow's GenAI side: 14 more processes and 2.6 GB
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with tempfile.TemporaryFile("w+") as log:
        server = subprocess.Popen(
            command, cwd=store.parent, env=environment, stdout=log, stderr=log, start_new_session=True
        )
        try:
            yield server, log
        finally:
            with suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)  # its worker too
            server.wait()


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
