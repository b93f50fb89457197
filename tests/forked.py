"""`python -m module ...` and `python app.py ...` in processes that wait neither for imports nor for an empty store.

They are forked from one that has the imports, fork_server.py, which all processes of the tests share.
"""

import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path

import interpreter
from interpreter import ADDRESS, KIND


@contextmanager
def server() -> Iterator[None]:
    """Its address is in the environment. It imports when it is first asked for a process, and ends with this one."""
    if ADDRESS in os.environ:  # in a process of pytest-xdist's
        yield
        return
    with tempfile.TemporaryDirectory() as folder, socket.socket(*KIND) as listener:
        listener.bind(f"{folder}/socket")
        listener.listen(64)
        with subprocess.Popen(
            [sys.executable, Path(__file__).with_name("fork_server.py"), str(listener.fileno())],
            pass_fds=[listener.fileno()],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            start_new_session=True,  # a terminal's Ctrl-C is for the tests
        ):
            os.environ[ADDRESS] = listener.getsockname()
            interpreter.write()
            yield


def folder() -> Path:
    """That all processes of the tests share."""
    return Path(os.environ[ADDRESS]).parent


class Process:
    """What subprocess.Popen would give, in a session of its own."""

    def __init__(
        self,
        program: str,
        *arguments: str,
        cwd: Path,
        log: Path | None = None,
        namespace: str | None = None,
        forks: bool = True,
        **environment: str,
    ) -> None:
        """program is a module or a file. What it says goes into pipes, or is added to a log.

        namespace is one of the network's, by its name; forks: are the interpreters that it starts forked as well?
        """
        self.args, self.returncode = (program, *arguments), None
        if log is None:
            (stdout, out), (stderr, err) = os.pipe(), os.pipe()
            self.stdout, self.stderr = os.fdopen(stdout), os.fdopen(stderr)
        else:
            out, err = (os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND) for _ in range(2))
        self.connection = interpreter.ask(
            {1: out, 2: err},
            words=self.args,
            folder=str(cwd),
            environment=os.environ | environment,
            path=sys.path,
            executable=interpreter.own() if forks else None,
            network=f"/run/netns/{namespace}" if namespace else interpreter.NETWORK,
        )
        os.close(out)
        os.close(err)
        self.pid = int(self.connection.recv(20))

    def poll(self) -> int | None:
        return self.returncode if not select.select([self.connection], [], [], 0)[0] else self.wait()

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self.connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout)
            self.returncode = int(self.connection.recv(20))
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Where its time is over, it is killed."""
        readers = ThreadPoolExecutor(2)
        reading = readers.map(lambda stream: stream.read(), (self.stdout, self.stderr), timeout=timeout)
        readers.shutdown(wait=False)
        try:
            out, err = reading
        except TimeoutError:
            self.kill()
            raise subprocess.TimeoutExpired(self.args, timeout) from None
        self.wait(timeout)
        return out, err

    def send_signal(self, signum: int) -> None:
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has ended since
                os.kill(self.pid, signum)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    program: str, *arguments: str, cwd: Path, timeout: float = 300, forks: bool = True
) -> subprocess.CompletedProcess:
    """As subprocess.run gives it. Raises subprocess.TimeoutExpired."""
    process = Process(program, *arguments, cwd=cwd, forks=forks)
    out, err = process.communicate(timeout)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)
