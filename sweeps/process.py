"""The process in a slot, here or on a cluster's worker, as its parent sees it: one trial at a time; it dies alone."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from sweeps.trial import Result, as_result

SECONDS_TO_END = 15  # for a trial that was asked to: it closes its run in MLflow

Report = Callable[[int, int, Mapping[str, float]], bool]  # (trial, epoch, metrics) -> stop?


class SlotProcess:
    """Started when it is first needed and again after trials_per_worker trials or a death.

    environment is what it has on top of this process's, fixed before TensorFlow is imported.
    """

    def __init__(
        self,
        environment: Mapping[str, str],
        task: str,
        log: Path,
        trials_per_worker: int,
        timeout: float | None,
        report: Report,
        imports: Sequence[str] = (),
    ) -> None:
        """imports: modules that it loads before the first trial comes."""
        self.environment, self.task, self.log, self.report = environment, task, log, report
        self.imports = list(imports)
        self.trials_per_worker, self.timeout = trials_per_worker, timeout
        self.folder = Path.cwd()  # other threads may go elsewhere for a while
        self.process: subprocess.Popen | None = None
        self.interrupted = False

    def prepare(self) -> None:
        """Start before there is a trial. What goes wrong is told by the first one, which tries again."""
        try:
            if not self.interrupted:
                self._start()
        except (OSError, EOFError):
            if self.process is not None:
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
        except (OSError, EOFError):
            result = self._death(kills)
        if self.process is not None:
            self.trained += 1
            if self.trained >= self.trials_per_worker:
                self.end()
        return result

    def _start(self) -> None:
        ours, theirs = socket.socketpair()
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
        ours.settimeout(self.timeout)
        self.line: TextIO = ours.makefile("rw", encoding="utf-8")
        self.connection, self.trained, self.ready = ours, 0, False
        if self.interrupted:  # while it started
            raise EOFError
        self._send({"task": self.task, "path": [path for path in sys.path if path], "imports": self.imports})
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

    def _death(self, kills: int) -> Result:
        """What a worker that stopped talking died of."""
        timed_out = self.process.poll() is None and not self._ends_within(2)
        status = self._kill()
        if self.interrupted:
            return Result("failed", cause="interrupted", message="the sweep was stopped")
        if not self.ready and status >= 0 and not timed_out:
            return Result("failed", cause="error", message=f"the worker could not start: {self._last_word()}")
        if timed_out:
            return Result(
                "failed", cause="timeout", message=f"silent for longer than executor.timeout={self.timeout:g} s"
            )
        if status == -signal.SIGKILL and _kills_for_memory() > kills:
            return Result("failed", cause="out of memory", message="killed by the kernel: out of memory")
        died = f"killed by {signal.Signals(-status).name}" if status < 0 else f"the worker ended with status {status}"
        return Result("failed", cause="killed", message=died)

    def _last_word(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else f"see {self.log}"

    def _ends_within(self, seconds: float) -> bool:
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def _kill(self) -> int:
        """The process and whatever it started."""
        process, self.process = self.process, None
        with suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        self.connection.close()
        return process.wait()

    def interrupt(self) -> None:
        """From another thread: let the trial in training put its run in order and end."""
        self.interrupted = True
        process = self.process
        if process is not None:
            with suppress(OSError):
                process.terminate()
            killer = threading.Timer(SECONDS_TO_END, process.kill)
            killer.daemon = True
            killer.start()

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
