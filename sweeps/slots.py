"""Where trials run: slots, each a place with its own environment; and executor=local, a process in each."""

import concurrent.futures
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError
from sweeps.forkserver import ForkServer
from sweeps.process import Report, SlotProcess
from sweeps.trial import Result

GIGABYTES_EACH = 1.5  # of memory, for a process that trains on the CPU


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
    fitting = max(1, int(min(cores, machine.memory / GIGABYTES_EACH)))
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
        if not isinstance(stated, Sequence) or isinstance(stated, str):
            raise PipelineError(f"executor.gpus={stated}: must be auto, or a list such as [0,1]; [] for none")
        return [str(gpu) for gpu in stated]
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
    """A thread for each slot, and in each a process that trains one trial at a time.

    As many processes as `ready` says start at once, the others with their first trial.
    """

    def __init__(
        self,
        places: Sequence[Slot],
        task: str,
        log: Path,
        trials_per_worker: int,
        timeout: float | None,
        report: Report,
        imports: Sequence[str] = (),
        ready: int = 0,
    ) -> None:
        self.jobs: queue.SimpleQueue[tuple[int, dict[str, Any], concurrent.futures.Future] | None] = queue.SimpleQueue()
        environments = [frozenset(place.environment.items()) for place in places]
        self.servers = {each: ForkServer(dict(each), imports, log) for each in environments}
        self.workers = [
            SlotProcess(self.servers[each], task, trials_per_worker, timeout, report) for each in environments
        ]
        self.slots = len(places)
        self.threads = [
            threading.Thread(target=self._serve, args=(worker, number < ready), daemon=True)
            for number, worker in enumerate(self.workers)
        ]
        for thread in self.threads:
            thread.start()

    def submit(self, number: int, job: dict[str, Any]) -> "concurrent.futures.Future[Result]":
        """job is what trial.as_job makes of a configuration."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        self.jobs.put((number, job, future))
        return future

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        self.shutdown(cancel_futures=kind is not None)

    def _serve(self, worker: SlotProcess, ready: bool) -> None:
        if ready:
            worker.prepare()
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
            for server in self.servers.values():
                server.end()
