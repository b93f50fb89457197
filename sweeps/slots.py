"""Where trials run: slots, each a place with its own environment, and the processes in them."""

import concurrent.futures
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TextIO

from pipeline.errors import PipelineError
from sweeps.trial import Result

GIGABYTES_EACH = 1.5  # of memory, for a process that trains on the CPU
SECONDS_TO_END = 15  # for a worker that was asked to: it closes its run in MLflow


@dataclass(frozen=True)
class Slot:
    """environment is what its process has on top of the driver's, fixed before TensorFlow is imported."""

    name: str
    environment: Mapping[str, str]


@dataclass(frozen=True)
class Machine:
    """gpus by the names that CUDA_VISIBLE_DEVICES takes; memory in GB."""

    gpus: tuple[str, ...]
    cores: int
    memory: float


Report = Callable[[int, int, Mapping[str, float]], bool]  # (trial, epoch, metrics) -> stop?


def slots(executor: Mapping[str, Any], n_jobs: int, machine: Machine) -> list[Slot]:
    """The places of executor=local: executor.per_gpu on each GPU, else one on each core.

    Raises PipelineError for counts that cannot be.
    """
    wanted, per_gpu = executor.get("slots", "auto"), executor.get("per_gpu", 1)
    if wanted == "auto" and n_jobs > 1:
        wanted = n_jobs
    for key, value in (("slots", wanted), ("per_gpu", per_gpu)):
        if not (value == "auto" and key == "slots") and not (isinstance(value, int) and value >= 1):
            raise PipelineError(f"executor.{key}={value}: must be a whole number of at least 1")
    gpus, cores = machine.gpus, machine.cores
    if gpus:
        count = len(gpus) * per_gpu if wanted == "auto" else wanted
        return [
            _on_gpu(number, gpus[number % len(gpus)], -(-count // len(gpus)), cores, count) for number in range(count)
        ]
    fitting = max(1, min(cores, int(machine.memory / GIGABYTES_EACH)))
    count = fitting if wanted == "auto" else wanted
    return [Slot(f"cpu {number}", _threads(max(1, cores // count))) for number in range(count)]


def _threads(count: int) -> dict[str, str]:
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS")
    return dict.fromkeys((*names, "PJRT_NPROC"), str(count)) | {"CUDA_VISIBLE_DEVICES": "-1"}


def _on_gpu(number: int, gpu: str, sharing: int, cores: int, count: int) -> Slot:
    memory = {
        "TF_FORCE_GPU_ALLOW_GROWTH": "true",
        "XLA_PYTHON_CLIENT_MEM_FRACTION": f"{0.9 / sharing:.2f}",
    }
    return Slot(f"gpu {gpu}.{number}", _threads(max(1, cores // count)) | memory | {"CUDA_VISIBLE_DEVICES": gpu})


def visible_gpus(executor: Mapping[str, Any]) -> list[str]:
    """executor.gpus where it is stated, else what CUDA_VISIBLE_DEVICES allows, else what nvidia-smi finds."""
    stated = executor.get("gpus", "auto")
    if stated != "auto":
        return [str(gpu) for gpu in stated or ()]
    allowed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if allowed is not None:
        return [gpu for gpu in allowed.split(",") if gpu.strip() not in ("", "-1")]
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=True,
        )
        return found.stdout.split()
    return []


def this_machine(executor: Mapping[str, Any]) -> Machine:
    """What this process may use of it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    return Machine(tuple(visible_gpus(executor)), cores, memory)


class LocalExecutor(concurrent.futures.Executor):
    """A thread for each slot, and in each a process that trains one trial at a time: it dies alone."""

    def __init__(
        self,
        places: Sequence[Slot],
        task: str,
        log: Path,
        report: Report,
        trials_per_worker: int,
        timeout: float | None,
    ) -> None:
        self.jobs: queue.SimpleQueue[tuple[int, dict[str, Any], concurrent.futures.Future] | None] = queue.SimpleQueue()
        self.workers = [_Worker(place, task, log, report, trials_per_worker, timeout) for place in places]
        self.threads = [threading.Thread(target=self._serve, args=(worker,), daemon=True) for worker in self.workers]
        for thread in self.threads:
            thread.start()

    def submit(self, number: int, job: dict[str, Any]) -> "concurrent.futures.Future[Result]":
        """job is what trial.as_job makes of a configuration."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        self.jobs.put((number, job, future))
        return future

    def _serve(self, worker: "_Worker") -> None:
        while (item := self.jobs.get()) is not None:
            number, job, future = item
            try:
                future.set_result(worker.train(number, job))
            except BaseException as error:
                future.set_exception(error)
        worker.end()

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends every process; with cancel_futures those in training are told to end now."""
        if cancel_futures:
            for worker in self.workers:
                worker.interrupt()
        for _ in self.threads:
            self.jobs.put(None)
        if wait:
            for thread in self.threads:
                thread.join()


class _Worker:
    """The process in a slot, started when it is first needed and again after trials_per_worker trials or a death."""

    def __init__(
        self, slot: Slot, task: str, log: Path, report: Report, trials_per_worker: int, timeout: float | None
    ) -> None:
        self.slot, self.task, self.log, self.report = slot, task, log, report
        self.trials_per_worker, self.timeout = trials_per_worker, timeout
        self.folder = Path.cwd()  # other threads may go elsewhere for a while
        self.process: subprocess.Popen | None = None
        self.interrupted = False

    def train(self, number: int, job: Mapping[str, Any]) -> Result:
        """Never raises for what happens in the process: its death is a result."""
        if self.interrupted:
            return Result("failed", cause="interrupted", message="the sweep was stopped")
        kills = _kills_for_memory()
        try:
            if self.process is None:
                self._start()
            if self.interrupted:  # while it started
                raise EOFError
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
                env={**os.environ, **self.slot.environment},
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
        self._send({"task": self.task, "path": [path for path in sys.path if path]})
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
                values = message.pop("values")
                return Result(values=None if values is None else tuple(values), **message)
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
