"""executor=dask: trials on the workers of a Dask cluster, which come and go."""

import concurrent.futures
import json
import logging
import math
import threading
import time
import uuid
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import dask
import distributed
from distributed import Client, KilledWorker, Queue, Security

from pipeline.errors import PipelineError, first_line
from sweeps import cluster_worker
from sweeps.process import SECONDS_TO_END, Report
from sweeps.slots import Machine, Slot, slots, this_machine
from sweeps.trial import Result, as_result

GLANCE = 1.0  # seconds between looks at which workers there are
SECONDS_TO_CONNECT = 10
INSTALL = "the same Sweepline must be installed at the scheduler and its workers"
STOPPED = Result("failed", cause="interrupted", message="the sweep was stopped")


def connect(executor: Mapping[str, Any], n_jobs: int) -> Client:
    """To the scheduler at executor.address; without one, to a cluster of this process that opens no port.

    Raises PipelineError where nobody answers, and for an address or files that cannot be.
    """
    for name in ("distributed", "distributed.client", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what is the matter is said in one line
    address = executor.get("address")
    if address is None:
        machine = this_machine(executor)
        count = len(slots(executor, n_jobs, machine))
        with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
            return Client(
                processes=False,
                n_workers=1,
                threads_per_worker=max(count, machine.cores),
                memory_limit=int(machine.memory * 1e9),
                resources={"GPU": len(machine.gpus)},
                dashboard_address=None,
                set_as_default=False,
            )
    security = _security(str(address), executor.get("tls") or {})
    dask.config.set({"distributed.comm.timeouts.connect": SECONDS_TO_CONNECT})
    try:
        return Client(str(address), timeout=SECONDS_TO_CONNECT, security=security, set_as_default=False)
    except (OSError, ValueError) as error:
        raise PipelineError(f"executor.address={address}: no Dask scheduler answers there: {error}") from error


def _security(address: str, tls: Mapping[str, str | None]) -> Security | None:
    if address.startswith("tcp://"):
        if any(tls.values()):
            raise PipelineError(f"executor.address={address}: must begin with tls:// where executor.tls names files")
        return None
    if not address.startswith("tls://"):
        raise PipelineError(f"executor.address={address}: must begin with tcp:// or tls://, as in tcp://host:8786")
    files = {key: tls.get(key) for key in ("ca_file", "cert", "key")}
    for key, file in files.items():
        if not file or not Path(file).is_file():
            raise PipelineError(f"executor.tls.{key}={file}: must be a file in PEM")
    return Security(
        tls_ca_file=files["ca_file"],
        tls_client_cert=files["cert"],
        tls_client_key=files["key"],
        require_encryption=True,
    )


def places(client: Client, executor: Mapping[str, Any], n_jobs: int) -> dict[str, list[Slot]]:
    """The slots of each worker, by its address."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return {address: _slots(worker, executor, n_jobs) for address, worker in workers.items()}


def places_now(executor: Mapping[str, Any], n_jobs: int) -> list[Slot]:
    """All of them. Raises PipelineError where there are none."""
    with connect(executor, n_jobs) as client:
        found = [slot for there in places(client, executor, n_jobs).values() for slot in there]
    if not found:
        raise PipelineError(f"executor.address={executor.get('address')}: has no workers yet")
    return found


def _slots(worker: Mapping[str, Any], executor: Mapping[str, Any], n_jobs: int) -> list[Slot]:
    """A worker is a machine by what it declares: its threads, its memory, its resource GPU."""
    gpus = tuple(map(str, range(int(worker["resources"].get("GPU", 0)))))
    machine = Machine(gpus, worker["nthreads"], (worker["memory_limit"] or math.inf) / 1e9)
    found = slots(executor, n_jobs, machine)[: worker["nthreads"]]  # which Dask runs at once
    return [Slot(f"{worker['name']} {slot.name}", slot.environment) for slot in found]


@dataclass(eq=False)
class _Trial:
    """Submitted; then on a slot of a worker, as a task of Dask's."""

    number: int
    job: Mapping[str, Any]
    future: "concurrent.futures.Future[Result]"
    worker: str = ""
    slot: int = 0
    task: distributed.Future | None = None


def _lost(trial: _Trial) -> Result:
    return Result("failed", cause="killed", message=f"worker {trial.worker} left the cluster")


class DaskExecutor(concurrent.futures.Executor):
    """A trial is a Dask task, pinned to a slot of a worker. A lost worker is a result, a lost scheduler the end."""

    def __init__(
        self, client: Client, executor: Mapping[str, Any], n_jobs: int, task: str, folder: str, report: Report
    ) -> None:
        self.client, self.executor, self.n_jobs, self.report = client, executor, n_jobs, report
        self.driver = uuid.uuid4().hex
        self.order = {"driver": self.driver, "task": task, "folder": folder, "imports": executor.get("imports") or ()}
        self.order |= {"trials_per_worker": executor.get("trials_per_worker", 1), "timeout": executor.get("timeout")}
        self.lock = threading.RLock()
        self.waiting: deque[_Trial] = deque()
        self.running: dict[int, _Trial] = {}
        self.workers: dict[str, list[Slot]] = {}
        self.alone, self.looked = False, -math.inf
        self.avoided: set[str] = set()  # workers that cannot train, or are about to leave
        self.lost: PipelineError | None = None
        self.reports = Queue(cluster_worker.reports_of(self.driver), client=client)
        self.answers: dict[tuple[str, int], Queue] = {}
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def slots(self) -> int:
        """How many trials may train at once, now; one that waits where there is no worker.

        Raises PipelineError where the scheduler is gone.
        """
        if self.lost is not None:
            raise self.lost
        if time.monotonic() - self.looked > GLANCE:
            self._look_around()
        return max(1, sum(map(len, self.workers.values())))

    def submit(self, number: int, job: dict[str, Any]) -> "concurrent.futures.Future[Result]":
        """job is what trial.as_job makes of a configuration."""
        future: concurrent.futures.Future[Result] = concurrent.futures.Future()
        with self.lock:
            self.waiting.append(_Trial(number, job, future))
        self._place()
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Ends this driver's processes on all workers; with cancel_futures those in training are told to end now."""
        if self.client.status == "closed":
            return
        if cancel_futures:
            for trial in [*self.running.values(), *self.waiting]:
                self._end(trial, STOPPED)
        if self.lost is None:
            gone = (OSError, TimeoutError, concurrent.futures.CancelledError)  # the scheduler, and nobody has heard yet
            with suppress(*gone), self.client.as_current():
                ends = [self._pinned(cluster_worker.end, self.driver, worker) for worker in self.workers]
                distributed.wait(ends, timeout=SECONDS_TO_END + 5 if wait else 0)
                self.reports.put(None)
        self.client.close()

    # --- trials and workers

    def _look_around(self) -> None:
        """What there is now; a trial whose worker isn't any more ends."""
        self.looked = time.monotonic()
        try:
            found = places(self.client, self.executor, self.n_jobs)
        except (OSError, TimeoutError) as error:
            self._lose(error)
            raise self.lost from error
        self.workers = {address: slots for address, slots in found.items() if address not in self.avoided}
        if not self.workers and not self.alone:
            print(f"{self._address}: waiting for a worker", flush=True)
        self.alone = not self.workers
        for trial in list(self.running.values()):
            if trial.worker not in found:
                self._end(trial, _lost(trial))
        self._place()

    def _place(self) -> None:
        """Trials that wait, where a slot is free; on the worker with the most room."""
        with self.lock:
            while self.waiting and (free := self._free()):
                trial = self.waiting.popleft()
                trial.worker, trial.slot = free
                order = {"number": trial.number, "job": trial.job, "slot": trial.slot}
                order |= {"slots": len(self.workers[trial.worker]), **self.order}
                trial.task = self._pinned(cluster_worker.train, json.dumps(order, default=str), trial.worker)
                self.running[trial.number] = trial
                trial.task.add_done_callback(partial(self._done, trial))

    def _free(self) -> tuple[str, int] | None:
        taken = {(trial.worker, trial.slot) for trial in self.running.values()}
        rooms = {
            worker: [slot for slot in range(len(there)) if (worker, slot) not in taken]
            for worker, there in self.workers.items()
        }
        worker = max(rooms, key=lambda worker: len(rooms[worker]), default=None)
        return (worker, rooms[worker][0]) if worker is not None and rooms[worker] else None

    def _pinned(self, function: Any, text: str, worker: str) -> distributed.Future:
        return self.client.submit(function, text, workers=[worker], allow_other_workers=False, pure=False, retries=0)

    def _done(self, trial: _Trial, task: distributed.Future) -> None:
        """In a thread of Dask's."""
        try:
            result = as_result(json.loads(task.result()))
        except KilledWorker:
            self._leave_out(trial.worker)  # before another trial goes there
            self._end(trial, _lost(trial))
        except concurrent.futures.CancelledError as error:  # nothing if it was this driver that wanted it no more
            self._end(trial, self._gone(error))
        except Exception as error:
            to_mend = f"; {INSTALL}" if isinstance(error.__cause__, ImportError) else ""
            self._end(trial, PipelineError(f"{self._address}: {first_line(error)}{to_mend}"))
        else:
            if result.cause == "interrupted":
                self._avoid(trial, result.message)
            else:
                self._end(trial, result)

    def _avoid(self, trial: _Trial, reason: str) -> None:
        """The trial is for another worker, and so are all to come."""
        if trial.number in self.running:
            print(f"worker {trial.worker}: gets no more trials: {reason}", flush=True)
            self.avoided.add(trial.worker)
            self._leave_out(trial.worker)
            self._end(trial, Result("failed", cause="interrupted", message=f"worker {trial.worker}: {reason}"))

    def _leave_out(self, worker: str) -> None:
        with self.lock:
            self.workers = {address: slots for address, slots in self.workers.items() if address != worker}

    def _end(self, trial: _Trial, outcome: Result | Exception) -> None:
        """The first outcome counts."""
        with self.lock:
            if self.running.pop(trial.number, None) is None:
                if trial not in self.waiting:
                    return
                self.waiting.remove(trial)
        if trial.task is not None:
            trial.task.release()  # where it still trains it is interrupted
        if isinstance(outcome, Result):
            trial.future.set_result(outcome)
        else:
            trial.future.set_exception(outcome)

    # --- reports, and the scheduler they come through

    def _listen(self) -> None:
        try:
            while (report := self.reports.get()) is not None:
                self._answer(*report)
        except Exception as error:
            self._lose(error)

    def _answer(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        trial = self.running.get(number)
        if trial is None:  # ended meanwhile
            return
        try:
            stop = self.report(number, epoch, metrics)
        except Exception as error:
            self._end(trial, error)
            return
        place = (trial.worker, trial.slot)
        if place not in self.answers:
            self.answers[place] = Queue(cluster_worker.answers_to(self.driver, *place), client=self.client)
        self.answers[place].put([number, epoch, stop])

    def _lose(self, error: Exception) -> None:
        self.lost = self._gone(error)
        for trial in [*self.running.values(), *self.waiting]:
            self._end(trial, self.lost)

    def _gone(self, error: Exception) -> PipelineError:
        return PipelineError(
            f"{self._address}: the Dask scheduler is gone; the same command goes on where this one ended"
        )

    @property
    def _address(self) -> str:
        address = self.executor.get("address")
        return f"executor.address={address}" if address else "executor=dask"
