"""What Dask runs on a worker: a trial, in the process of one of the worker's slots. JSON in, JSON out."""

import json
import math
import re
import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from distributed import Queue, Worker, get_worker
from distributed.core import Status

from pipeline.errors import PipelineError
from sweeps.forkserver import ForkServer
from sweeps.process import SlotProcess
from sweeps.slots import Machine, slots, visible_gpus
from sweeps.trial import Result

GLANCE = 0.5  # seconds between looks at whether the trial is still wanted
IDLE = 60.0  # seconds after which a process ends that no trial comes to: its driver may be gone


@dataclass(frozen=True)
class Order:
    """A trial for a slot. driver names the command that asks; folder is the sweep's, found from where the worker is."""

    driver: str
    number: int
    job: Mapping[str, Any]
    task: str
    folder: str
    slot: int
    slots: int  # that this worker has
    imports: Sequence[str]
    trials_per_worker: int
    timeout: float | None


def reports_of(driver: str) -> str:
    """The name of the queue to a driver: [number, epoch, metrics]."""
    return f"{driver} reports"


def answers_to(driver: str, address: str, slot: int) -> str:
    """The name of the queue to a slot: [number, epoch, stop]."""
    return f"{driver} {address} {slot}"


def train(order: str) -> str:
    """Never raises for what happens to the trial. A result that is `interrupted`: this worker can train no more."""
    asked = Order(**json.loads(order))
    try:
        with _places[asked.slot]:
            result = _in_slot(asked).train(asked)
    except PipelineError as error:
        result = Result("failed", cause="interrupted", message=str(error))
    return json.dumps(asdict(result))


def end(driver: str) -> None:
    """End the processes that a driver has on this worker, each when its trial is over."""
    for key in [key for key in _processes if key[0] == driver]:
        with suppress(KeyError):
            _processes[key].end()


_places: defaultdict[int, threading.Lock] = defaultdict(threading.Lock)  # one trial in each, whoever drives
_processes: "dict[tuple[str, int], _InSlot]" = {}
_making = threading.Lock()  # or ending, for a fork server ends with the last of its processes


def _in_slot(asked: Order) -> "_InSlot":
    key = (asked.driver, asked.slot)
    with _making:
        if key not in _processes:
            _processes[key] = _InSlot(asked, get_worker())
        return _processes[key]


class _InSlot:
    """A driver's process in a slot of this worker, and the way of its reports to the driver and back."""

    def __init__(self, asked: Order, worker: Worker) -> None:
        server = _fork_server(asked, worker)
        self.process = SlotProcess(server, asked.task, asked.trials_per_worker, asked.timeout, self.report)
        self.reports = Queue(reports_of(asked.driver))
        self.answers = Queue(answers_to(asked.driver, worker.address, asked.slot))
        self.key = (asked.driver, asked.slot)
        self.busy = threading.Lock()
        self.idle = threading.Timer(IDLE, self.end_if_idle)

    def train(self, asked: Order) -> Result:
        self.idle.cancel()
        with self.busy, _watched(self.interrupt):
            result = self.process.train(asked.number, asked.job)
        if self.process.interrupted:
            self.end()
            return Result("failed", cause="interrupted", message="it is closing")
        self.idle = threading.Timer(IDLE, self.end_if_idle)
        self.idle.daemon = True
        self.idle.start()
        return result

    def report(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Through the scheduler, the one address that all know. Raises EOFError where the trial was interrupted."""
        try:
            self.reports.put([number, epoch, dict(metrics)])
            while not self.process.interrupted:
                *of, stop = self.answers.get()
                if of == [number, epoch]:  # not to a trial that died before it came
                    return stop
        except OSError:  # the scheduler is gone, and this worker goes too
            self.process.interrupt()
        raise EOFError

    def interrupt(self) -> None:
        """From another thread: let the trial put its run in order and end, even if it waits for an answer."""
        self.process.interrupt()
        with suppress(OSError):
            self.answers.put([None, None, True])

    def end_if_idle(self) -> None:
        if self.busy.acquire(blocking=False):
            self.busy.release()
            self.end()

    def end(self) -> None:
        with self.busy:
            self.idle.cancel()
            self.process.end()
            with _making:
                _processes.pop(self.key, None)
                server = self.process.server
                if all(each.process.server is not server for each in _processes.values()):
                    server.end()


def _fork_server(asked: Order, worker: Worker) -> ForkServer:
    """The one that the driver's other slots with this environment have, else a new one."""
    environment = _environment(asked, worker)
    for (driver, _), each in _processes.items():
        if driver == asked.driver and each.process.server.environment == environment:
            return each.process.server
    name = re.sub(r"[^\w.]+", "-", str(worker.name))
    log = Path(asked.folder) / f"workers-{name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    return ForkServer(environment, asked.imports, log)


def _environment(asked: Order, worker: Worker) -> Mapping[str, str]:
    """Of the slot. Raises PipelineError where the worker has less than it declares."""
    declared = int(worker.state.total_resources.get("GPU", 0))
    gpus = visible_gpus({})
    if declared > len(gpus):
        raise PipelineError(f"it declares GPU={declared} and has {len(gpus)} (CUDA_VISIBLE_DEVICES, else nvidia-smi)")
    machine = Machine(tuple(gpus[:declared]), worker.state.nthreads, memory=math.inf)
    return slots({"slots": asked.slots}, 1, machine)[asked.slot].environment


@contextmanager
def _watched(interrupt: Callable[[], None]) -> Iterator[None]:
    """Calls interrupt when its driver is gone or wants it no more, and when the worker is told to close."""
    worker, over = get_worker(), threading.Event()
    key = worker.get_current_task()

    def unwanted() -> bool:
        task = worker.state.tasks.get(key)
        closing = worker.status not in (Status.running, Status.paused)
        return closing or task is None or task.state == "cancelled"

    def watch() -> None:
        while not unwanted():
            if over.wait(GLANCE):
                return
        interrupt()

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()
