"""The parent of slots' processes: it imports what they need, once, and forks one whenever a slot wants one.

A forked process doesn't wait for imports, and shares the memory that they take.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path


class ForkServer:
    """Started with the first fork, and again where it has died.

    environment is what its processes have on top of this one's, fixed before TensorFlow is imported; imports are the
    modules that they find loaded, which must not compute anything while they are; log takes what they print.
    """

    def __init__(self, environment: Mapping[str, str], imports: Sequence[str], log: Path) -> None:
        self.environment, self.imports, self.log = environment, list(imports), log
        self.folder = Path.cwd()  # other threads may go elsewhere for a while
        self.lock = threading.Lock()
        self.process: subprocess.Popen | None = None

    def fork(self, connection: socket.socket) -> "Future[int]":
        """A process at the other end of this connection, once the modules are there; to be its exit status.

        Below 0 for a signal, as subprocess gives it. Where the server ends first, the connection does, and this is the
        server's. Raises OSError.
        """
        ours, theirs = socket.socketpair()
        with self.lock, theirs:
            if self.process is None or self.process.poll() is not None:
                self._start()
            socket.send_fds(self.control, [b"f"], [connection.fileno(), theirs.fileno()])
        ended: Future[int] = Future()
        threading.Thread(target=_await_end, args=(ours, self.process, ended), daemon=True).start()
        return ended

    def _start(self) -> None:
        self.control, theirs = socket.socketpair()
        with self.log.open("ab") as log, theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "sweeps.worker", str(theirs.fileno())],
                env={**os.environ, **self.environment},
                pass_fds=[theirs.fileno()],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C is for the driver, which decides
            )
        content = {"path": [path for path in sys.path if path], "imports": self.imports}
        self.control.sendall(json.dumps(content).encode() + b"\n")

    def end(self) -> None:
        """Of the server; its processes are for those who have them."""
        with self.lock:
            if self.process is not None:
                self.process.kill()
                self.process.wait()
                self.control.close()

    def last_word(self) -> str:
        """What it, or one of its processes, printed last."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self.log}"


def _await_end(told: socket.socket, server: subprocess.Popen, ended: "Future[int]") -> None:
    with told:
        ended.set_result(int(told.recv(8) or server.wait()))
