"""`python -m sweeps.worker <file descriptor>`: imports what trials need, then forks the processes of the slots.

Each trains the trials that its driver sends, one after another; both directions are lines of JSON. The environment was
fixed by whoever started it, before anything was imported.
"""

import gc
import importlib
import importlib.util
import json
import os
import pickle
import queue
import signal
import socket
import sys
import threading
import traceback
import warnings
from collections.abc import Mapping
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from types import ModuleType
from typing import Any

from hydra._internal.callbacks import Callbacks
from hydra.conf import HydraConf
from hydra.core.utils import JobRuntime, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from pipeline.errors import first_line
from sweeps import trial


class Driver:
    """The other end of the line. When it is gone, this process ends at once, whatever it was doing."""

    def __init__(self, connection: socket.socket) -> None:
        self.file = connection.makefile("rw", encoding="utf-8")
        self.received: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        try:
            for line in self.file:
                self.received.put(json.loads(line))
        finally:
            os._exit(1)

    def send(self, **message: Any) -> None:
        self.file.write(json.dumps(message) + "\n")
        self.file.flush()

    def report(self, epoch: int, metrics: Mapping[str, float]) -> bool:
        """Whether the training is to stop."""
        self.send(kind="epoch", epoch=epoch, metrics=dict(metrics))
        return self.received.get()["stop"]


def load(reference: str) -> TaskFunction:
    """`package.module:name`, or `file.py:name`; what @hydra.main wraps is what is run."""
    place, _, name = reference.rpartition(":")
    if place.endswith(".py"):
        sys.path.insert(0, str(Path(place).parent))
        module = _from_file(Path(place))
    else:
        module = importlib.import_module(place)
    task = getattr(module, name)
    return getattr(task, "__wrapped__", task)


def _from_file(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


def configuration(content: Mapping[str, Any]) -> DictConfig:
    """A configuration as data -> with Hydra's own types again."""
    hydra = dict(content["hydra"])
    own = {key: hydra.pop(key) for key in ("job", "overrides")}  # what differs from trial to trial
    cfg = pickle.loads(_typed(json.dumps(hydra)))
    cfg.hydra = OmegaConf.merge(cfg.hydra, own)
    cfg.merge_with({key: value for key, value in content.items() if key != "hydra"})
    OmegaConf.set_struct(cfg, True)
    return cfg


@lru_cache(maxsize=32)
def _typed(hydra: str) -> bytes:
    base = OmegaConf.create({"hydra": OmegaConf.structured(HydraConf)})
    OmegaConf.set_struct(base.hydra, False)
    return pickle.dumps(OmegaConf.merge(base, {"hydra": json.loads(hydra)}))


def train(task: TaskFunction, job: Mapping[str, Any], driver: Driver) -> trial.Result:
    """One trial as Hydra runs a job: its own folder, its own log, HydraConfig."""
    cfg = configuration(job["config"])
    JobRuntime.instance().set("name", cfg.hydra.job.name)
    folder = trial.folder(cfg, job["number"])
    folder.mkdir(parents=True, exist_ok=True)
    _log_to(folder / "log.txt")
    done = run_job(
        task_function=partial(trial.run, task, report=driver.report, objectives=job["objectives"]),
        config=cfg,
        job_dir_key="hydra.sweep.dir",
        job_subdir_key="hydra.sweep.subdir",
        hydra_context=HydraContext(config_loader=None, callbacks=Callbacks(cfg)),
    )
    result = done.return_value
    trial.keep(result, folder, job["digest"])
    return result


def _log_to(path: Path) -> None:
    """All that is printed, TensorFlow's C++ included."""
    sys.stdout.flush()
    sys.stderr.flush()
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)


def forked(control: socket.socket) -> socket.socket:
    """Forks a process for each pair of sockets that comes: to its driver, and to whom it matters how it ends.

    Returns in each of these processes, with the first of the two; where it serves, it ends with whoever started it.
    """
    living: dict[int, socket.socket] = {}

    def bury(*_: object) -> None:
        while living:
            process, status = os.waitpid(-1, os.WNOHANG)
            if not process:
                return
            with living.pop(process) as told, suppress(OSError):
                told.sendall(str(os.waitstatus_to_exitcode(status)).encode())

    handled = signal.signal(signal.SIGCHLD, bury)
    while True:
        _, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if not descriptors:
            sys.exit()
        for each in descriptors:
            os.set_inheritable(each, False)
        connection, told = (socket.socket(fileno=each) for each in descriptors)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGCHLD])  # so that none is buried before it is known
        process = os.fork()
        if not process:
            signal.signal(signal.SIGCHLD, handled)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
            os.setsid()  # with what it starts, it can be killed as one
            for each in (control, told, *living.values()):
                each.close()
            return connection
        living[process] = told
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGCHLD])
        connection.close()


def main() -> None:
    control = socket.socket(fileno=int(sys.argv[1]))
    content = json.loads(control.makefile("rb", buffering=0).readline())  # no byte more than the line
    sys.path[:0] = [path for path in content["path"] if path not in sys.path]
    for module in content["imports"]:
        importlib.import_module(module)
    gc.freeze()  # what is shared stays so: the collector would write to all of it
    # by Python 3.12, of threads in pyarrow's allocator and in OpenBLAS, which are ready for a fork
    warnings.filterwarnings("ignore", ".* is multi-threaded", DeprecationWarning)
    driver = Driver(forked(control))
    driver.send(kind="forked", pid=os.getpid())
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()  # else all of them would draw the same; Python's own does it by itself
    task = load(driver.received.get()["task"])
    setup_globals()
    driver.send(kind="ready")
    while True:
        job = driver.received.get()
        try:
            result = train(task, job, driver)
        except Exception as error:  # around the training: the folder, Hydra's callbacks
            traceback.print_exc()
            result = trial.Result("failed", cause="error", message=f"{type(error).__name__}: {first_line(error)}")
        driver.send(kind="result", **vars(result))


if __name__ == "__main__":
    main()
