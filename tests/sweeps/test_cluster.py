"""executor=dask with a real scheduler and real workers, which join, leave and are killed. Toy trainings."""

import pickletools
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import forked
import pytest
from conftest import Toy, free_port
from optuna.trial import TrialState

from pipeline.errors import PipelineError

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")
psutil = pytest.importorskip("psutil", reason="comes with distributed")
DASK = "@executor.name=dask"


@dataclass
class Cluster:
    """Started in the toy's folder, by the commands that a person would give."""

    toy: Toy
    port: int = field(default_factory=free_port)
    options: tuple[str, ...] = ()  # of scheduler and workers alike: TLS
    scheme: str = "tcp"
    processes: list[forked.Process] = field(default_factory=list)

    @property
    def sweep(self) -> tuple[str, ...]:
        return (DASK, "@executor.slots=auto", f"+hydra.sweeper.executor.address={self.scheme}://127.0.0.1:{self.port}")

    def scheduler(self) -> forked.Process:
        environment = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
        return self._start("scheduler", "--host", "127.0.0.1", "--port", str(self.port), **environment)

    def worker(self, name: str, *options: str, **environment: str) -> forked.Process:
        """One slot, unless options say more."""
        address = f"{self.scheme}://127.0.0.1:{self.port}"
        return self._start("worker", address, "--name", name, "--nthreads", "1", "--no-nanny", *options, **environment)

    def _start(self, kind: str, *arguments: str, **environment: str) -> forked.Process:
        words = (f"distributed.cli.dask_{kind}", "--no-dashboard", *arguments, *self.options)
        log = self.toy.folder / f"dask_{kind}.log"
        process = forked.Process(*words, cwd=self.toy.folder, log=log, forks=False, **environment)
        self.processes.append(process)
        return process


def kill_tree(process: forked.Process) -> None:
    found = psutil.Process(process.pid)
    for each in [*found.children(recursive=True), found]:
        each.kill()
    process.wait()


@pytest.fixture
def cluster(toy: Toy) -> Iterator[Cluster]:
    started = Cluster(toy)
    yield started
    for process in started.processes:
        if process.poll() is None:
            kill_tree(process)


def workers_of(toy: Toy) -> "list[psutil.Process]":
    """Living processes of slots, and those that they are forked from, one on each worker."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        if "sweeps.worker" in (process.info["cmdline"] or ()) and process.info["cwd"] == str(toy.folder):
            found.append(process)
    return found


def until(holds: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "it did not come to pass"
        time.sleep(0.05)


def complete(toy: Toy) -> list[float]:
    return sorted(trial.params["x"] for trial in toy.study().trials if trial.state == TrialState.COMPLETE)


def test_without_an_address_a_cluster_of_this_machine_is_started(toy: Toy) -> None:
    pruner = "+hydra.sweeper.pruner={_target_:optuna.pruners.MedianPruner,n_startup_trials:3}"
    toy.sweep("x=0.3,0.31,0.32,4.0,5.0,6.0", "epochs=8", "@executor.slots=1", pruner, DASK)
    trials = toy.study().trials
    assert [trial.state.name for trial in trials][-2:] == ["PRUNED"] * 2
    assert [len(trial.intermediate_values) for trial in trials] == [8, 8, 8, 1, 1, 1]
    assert len({event["process"] for event in toy.events("start")}) == 1, "a slot's process stays for more trials"
    assert workers_of(toy) == []


def test_workers_join_and_are_killed_and_the_budget_is_exact(toy: Toy, cluster: Cluster) -> None:
    cluster.scheduler()
    driver = toy.start("x=range(0,10)", "seconds=0.2", *cluster.sweep)
    assert "waiting for a worker" in driver.stdout.readline()
    first = cluster.worker("first")
    until(lambda: toy.events("start"))
    second = cluster.worker("second")
    until(lambda: len({event["process"] for event in toy.events("start")}) == 2)
    until(lambda: len(workers_of(toy)) == 4)
    kill_tree(second)
    _, err = driver.communicate(timeout=60)
    assert driver.returncode == 0, err
    assert complete(toy) == list(range(10)), "each point has one result"
    (lost,) = [trial for trial in toy.study().trials if trial.state == TrialState.FAIL]
    (again,) = [trial for trial in toy.study().trials if "retry_of" in trial.user_attrs]
    assert (again.user_attrs["retry_of"], again.params) == (lost.number, lost.params)
    assert len(toy.events("end")) == 10, "nothing is trained twice to its end"
    assert workers_of(toy) == []
    assert first.poll() is None, "the cluster is not ours to end"


def test_a_scheduler_that_dies_ends_the_sweep_with_a_line_and_another_resumes_it(toy: Toy, cluster: Cluster) -> None:
    scheduler = cluster.scheduler()
    cluster.worker("first")
    sweep = ("x=range(0,6)", "seconds=0.2", *cluster.sweep)
    driver = toy.start(*sweep)
    until(lambda: len(toy.events("start")) == 3)
    scheduler.kill()
    _, err = driver.communicate(timeout=30)
    assert driver.returncode != 0
    assert "the Dask scheduler is gone; the same command goes on where this one ended" in err
    until(lambda: not workers_of(toy))
    assert toy.states()["RUNNING"] == 0, err
    cluster.scheduler()
    cluster.worker("second")
    toy.sweep(*sweep)
    assert complete(toy) == list(range(6))
    assert len(toy.events("end")) == 6


def test_a_scheduler_that_dies_while_the_driver_ends_is_no_error(
    toy: Toy, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sweeps.cluster import DaskExecutor, connect

    scheduler = cluster.scheduler()
    cluster.worker("first")
    settings = {"address": f"tcp://127.0.0.1:{cluster.port}"}
    monkeypatch.setattr(DaskExecutor, "_lose", lambda executor, error: None)  # who listens has not heard of it yet
    task = f"{toy.folder}/app.py:main"
    executor = DaskExecutor(connect(settings, 1), settings, 1, task, str(toy.folder), lambda *epoch: False)
    until(lambda: executor.slots and executor.workers)
    scheduler.kill()
    scheduler.wait()
    executor.shutdown(cancel_futures=True)
    assert executor.client.status == "closed"


@pytest.mark.parametrize("signum", [signal.SIGKILL, signal.SIGTERM])
def test_a_drivers_end_ends_its_processes_on_the_workers(toy: Toy, cluster: Cluster, signum: signal.Signals) -> None:
    cluster.scheduler()
    cluster.worker("first", "--nthreads", "2")
    sweep = ("x=range(0,4)", "seconds=1.5", "epochs=1", *cluster.sweep)
    driver = toy.start(*sweep)
    until(lambda: len(toy.events("start")) == 2)
    driver.send_signal(signum)
    driver.communicate(timeout=30)
    until(lambda: not workers_of(toy), seconds=5)
    toy.sweep(*sweep)
    assert complete(toy) == list(range(4))
    assert len(toy.events("end")) == 4


def test_gpus_are_what_workers_declare_and_several_trials_share_one(toy: Toy, cluster: Cluster) -> None:
    source = (toy.folder / "app.py").read_text().replace("import os\n", "import os\nSEEN = dict(os.environ)\n")
    source = source.replace('"seed": cfg.seed', '"seed": SEEN["CUDA_VISIBLE_DEVICES"]')
    (toy.folder / "app.py").write_text(source)
    cluster.scheduler()
    cluster.worker("boaster", "--resources", "GPU=3", "--nthreads", "3", CUDA_VISIBLE_DEVICES="1")
    cluster.worker("two cards", "--resources", "GPU=2", "--nthreads", "8", CUDA_VISIBLE_DEVICES="5,7")
    done = toy.sweep("x=range(0,8)", "seconds=0.2", "+hydra.sweeper.executor.per_gpu=2", *cluster.sweep)
    starts = toy.events("start")
    assert [sum(event["seed"] == gpu for event in starts) for gpu in ("5", "7")] == [4, 4]
    assert len({event["process"] for event in starts}) == 4
    assert "gets no more trials: it declares GPU=3 and has 1" in done.stdout


def test_over_tls(toy: Toy, cluster: Cluster) -> None:
    certificates(toy.folder)
    cluster.scheme = "tls"
    cluster.options = ("--tls-ca-file", "ca.pem", "--tls-cert", "cert.pem", "--tls-key", "key.pem")
    cluster.scheduler()
    cluster.worker("first")
    tls = "+hydra.sweeper.executor.tls={ca_file:ca.pem,cert:cert.pem,key:key.pem}"
    toy.sweep("x=0.1,0.2", *cluster.sweep, tls)
    assert complete(toy) == [0.1, 0.2]
    certificates(toy.folder)  # of somebody else
    done = toy.run("x=0.1,0.2,0.3", *cluster.sweep, tls)
    assert "no Dask scheduler answers there" in done.stderr
    assert done.returncode != 0


def certificates(folder: Path) -> None:
    """A key, and a certificate that signs itself."""
    words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=sweepline"
    files = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run([*words.split(), *files], cwd=folder, check=True, capture_output=True)
    (folder / "ca.pem").write_bytes((folder / "cert.pem").read_bytes())


@pytest.mark.parametrize(
    ("executor", "line"),
    [
        ({"address": "head:8786"}, "executor.address=head:8786: must begin with tcp:// or tls://"),
        ({"address": "tcp://h:1", "tls": {"key": "no.pem"}}, "tcp://h:1: must begin with tls:// where executor.tls"),
        ({"address": "tls://h:1"}, "executor.tls.ca_file=None: must be a file in PEM"),
        ({"address": "tls://h:1", "tls": {"ca_file": "no.pem"}}, "executor.tls.ca_file=no.pem: must be a file in PEM"),
    ],
)
def test_what_cannot_be_is_said(executor: dict[str, Any], line: str) -> None:
    from sweeps import cluster

    with pytest.raises(PipelineError, match=re.escape(line)):
        cluster.connect(executor, 1)


def test_without_dask_the_extra_is_named_before_there_is_a_study(toy: Toy) -> None:
    (toy.folder / "dask.py").write_text("raise ModuleNotFoundError('no dask', name='dask')")
    driver = toy.start("x=0.1,0.2", DASK, fresh=True)  # in a process that has not imported the real one
    _, err = driver.communicate(timeout=60)
    assert "executor=dask: dask is not installed; pip install -e '.[cluster]'" in err
    assert not (toy.folder / "studies.db").exists()


def test_what_crosses_the_wire_of_ours_is_a_name_and_text() -> None:
    from sweeps import cluster_worker

    pickled = distributed.protocol.pickle.dumps(cluster_worker.train)
    words = [argument for _, argument, _ in pickletools.genops(pickled) if isinstance(argument, str)]
    assert words == ["sweeps.cluster_worker", "train"]
