"""The process in a slot, here or on a cluster's worker, as its parent sees it: one trial at a time; it dies alone."""

import concurrent.futures
import json
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.forkserver import ForkServer
from sweeps.trial import Result, as_result

SECONDS_TO_END = 15  # for a trial that was asked to: it closes its run in MLflow
SECONDS_TO_DIE = 2  # between the last word of a process and its end

Report = Callable[[int, int, Mapping[str, float]], bool]  # (trial, epoch, metrics) -> stop?


@dataclass(frozen=True)
class Child:
    """ended is to be its exit status; or the server's where that ended before, though this one may live on."""

    pid: int
    ended: "concurrent.futures.Future[int]"

    def signal(self, number: int) -> None:
        """To it alone."""
        with suppress(OSError):
            os.kill(self.pid, number)

    def kill(self) -> int:
        """It and whatever it started; its exit status."""
        with suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        return self.ended.result()


class SlotProcess:
    """Forked when it is first needed and again after trials_per_worker trials or a death."""

    def __init__(
        self, server: ForkServer, task: str, trials_per_worker: int, timeout: float | None, report: Report
    ) -> None:
        """timeout: seconds without a word after which it is killed."""
        self.server, self.task, self.report = server, task, report
        self.trials_per_worker, self.timeout = trials_per_worker, timeout
        self.process: Child | None = None
        self.ended: concurrent.futures.Future[int] | None = None  # of the process, which may not be there yet
        self.connection: socket.socket | None = None
        self.ready = self.interrupted = False

    def prepare(self) -> None:
        """Start before there is a trial. What goes wrong is told by the first one, which tries again."""
        try:
            if not self.interrupted:
                self._start()
        except (OSError, EOFError):
            self._kill()

    def train(self, number: int, job: Mapping[str, Any]) -> Result:
        """One at a time. Never raises for what happens in the process: its death is a result."""
        if self.interrupted:
            return Result("failed", cause="interrupted", message="the sweep was stopped")
        kills = _kills_for_memory()
        try:
            if self.process is None:
                self._start()
            self._send(job)
            result = self._result(number)
        except (OSError, EOFError) as error:
            result = self._death(error, kills)
        if self.process is not None:
            self.trained += 1
            if self.trained >= self.trials_per_worker:
                self.end()
        return result

    def _start(self) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(self.timeout)
        self.line = self.connection.makefile("rw", encoding="utf-8")
        self.trained, self.ready = 0, False
        with theirs:
            self.ended = self.server.fork(theirs)
        if self.interrupted:  # before there was a connection to end
            raise EOFError
        self.process = Child(self._receive()["pid"], self.ended)
        self._send({"task": self.task})
        self._receive()
        self.ready = True

    def _send(self, message: Mapping[str, Any]) -> None:
        self.line.write(json.dumps(message, default=str) + "\n")
        self.line.flush()

    def _receive(self) -> dict[str, Any]:
        line = self.line.readline()
        if not line:
            raise EOFError
        return json.loads(line)

    def _result(self, number: int) -> Result:
        while True:
            message = self._receive()
            if message.pop("kind") == "result":
                return as_result(message)
            self._send({"stop": self.report(number, message["epoch"], message["metrics"])})

    def _death(self, error: Exception, kills: int) -> Result:
        """What a worker that stopped talking died of."""
        timed_out = isinstance(error, TimeoutError)
        if self.ended is not None and not timed_out:
            concurrent.futures.wait([self.ended], SECONDS_TO_DIE)
        status = self._kill()
        if status is None:
            status = -signal.SIGKILL if isinstance(error, ConnectionError) else 0  # the server's, or none began
        if self.interrupted:
            return Result("failed", cause="interrupted", message="the sweep was stopped")
        if not self.ready and status >= 0 and not timed_out:
            return Result("failed", cause="error", message=f"the worker could not start: {self.server.last_word()}")
        if timed_out:
            return Result(
                "failed", cause="timeout", message=f"silent for longer than executor.timeout={self.timeout:g} s"
            )
        if status == -signal.SIGKILL and _kills_for_memory() > kills:
            return Result("failed", cause="out of memory", message="killed by the kernel: out of memory")
        died = f"killed by {signal.Signals(-status).name}" if status < 0 else f"the worker ended with status {status}"
        return Result("failed", cause="killed", message=died)

    def _kill(self) -> int | None:
        """The exit status, if it is known."""
        process, ended = self.process, self.ended
        self.process = self.ended = None
        with suppress(OSError):  # with a word that never went
            self.line.close()
        self.connection.close()
        if process is not None:
            return process.kill()
        return ended.result() if ended is not None and ended.done() else None

    def interrupt(self) -> None:
        """From another thread: let the trial in training put its run in order and end."""
        self.interrupted = True
        process = self.process
        if process is not None:
            process.signal(signal.SIGTERM)
            killer = threading.Timer(SECONDS_TO_END, self._kill_late, [process])
            killer.daemon = True
            killer.start()
        elif self.connection is not None:
            with suppress(OSError):
                self.connection.shutdown(socket.SHUT_RDWR)  # whoever waits for a process waits no more

    def _kill_late(self, process: Child) -> None:
        if self.process is process:  # it has not ended
            process.signal(signal.SIGKILL)

    def end(self) -> None:
        if self.process is not None:
            self._kill()


def _kills_for_memory() -> int:
    """How often the kernel has killed something for want of memory, here or in this container."""
    total = 0
    for path, word in (("/sys/fs/cgroup/memory.events", "oom_kill"), ("/proc/vmstat", "oom_kill")):
        with suppress(OSError):
            for line in Path(path).read_text().splitlines():
                name, _, count = line.partition(" ")
                if name == word:
                    total += int(count)
    return total
