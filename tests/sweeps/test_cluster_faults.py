"""One sweep over two hosts with a network of their own: cut off, killed, servers stopped and started, all in one.

A host is a network namespace. On `head` are the driver, Dask's scheduler, PostgreSQL and MLflow; `a` and `b` train.
"""

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import forked
import psutil
import pytest
from conftest import TINY
from mlflow import MlflowClient
from optuna.trial import FrozenTrial, TrialState
from postgresql import PASSWORD, VARIABLE, Server, running

pytest.importorskip("distributed", reason="needs the extra cluster")

POINTS = 10
HEAD = "10.213.0.1"  # wherever it is reached from
SCHEDULER, MLFLOW = f"tcp://{HEAD}:8786", f"http://{HEAD}:5000"
PATIENCE = {"DASK_DISTRIBUTED__COMM__TIMEOUTS__TCP": "11s"}  # of Dask, the least it takes, with a link that is cut
SECONDS_CUT = 15
OBSERVER = """
import time
from pathlib import Path

def observer():
    return lambda epoch, metrics: None if Path("hurry").exists() else time.sleep(3)
"""
ASKING = """
import sys, time
from contextlib import suppress
from urllib.request import urlopen

while True:
    with suppress(OSError):
        sys.exit(urlopen(sys.argv[1]).status != 200)
    time.sleep(0.2)
"""


def ip(*words: str) -> str:
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@dataclass(frozen=True)
class Host:
    """Its processes are those in its namespace."""

    namespace: str
    folder: Path
    started: list[forked.Process] = field(default_factory=list)

    @property
    def inside(self) -> tuple[str, ...]:
        return ("ip", "netns", "exec", self.namespace)

    def start(self, module: str, *words: str, logged: bool = True, **environment: str) -> forked.Process:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "slow.py").write_text(OBSERVER)
        process = forked.Process(
            module,
            *words,
            cwd=self.folder,
            log=self.folder / f"{module}.log" if logged else None,
            namespace=self.namespace,
            **PATIENCE,
            **environment,
        )
        self.started.append(process)
        return process

    def processes(self) -> list[psutil.Process]:
        return [psutil.Process(int(number)) for number in ip("netns", "pids", self.namespace).split()]

    def train(self) -> None:
        """A worker with one slot."""
        one = ("--nworkers", "1", "--nthreads", "1", "--no-nanny", "--no-dashboard", "--name", self.namespace[-1])
        self.start("distributed.cli.dask_worker", SCHEDULER, *one)

    def has_unsent(self) -> bool:
        return any(path.is_dir() for path in (self.folder / "mlruns" / "unsent").glob("*"))

    def is_idle(self) -> bool:
        for process in self.started:
            process.poll()
        return not self.processes()

    def die(self) -> None:
        """All of it, at once."""
        with suppress(psutil.NoSuchProcess):
            while found := self.processes():
                for process in found:
                    process.kill()
                for process in self.started:
                    process.wait()
                psutil.wait_procs(found, 5)


@contextmanager
def network(folder: Path) -> Iterator[tuple[Host, Host, Host]]:
    """head, a and b. Skips where this process may not make namespaces, or lacks the programs."""
    hosts = [Host(f"sweep{os.getpid()}{name}", folder / name) for name in ("head", "a", "b")]
    names = [host.namespace for host in hosts]
    with ExitStack() as stack:
        try:
            for name in names:
                ip("netns", "add", name)
                stack.callback(ip, "netns", "delete", name)
                ip("-n", name, "link", "set", "lo", "up")
            ip("-n", names[0], "address", "add", f"{HEAD}/32", "dev", "lo")
            for number, name in enumerate(names[1:], 1):
                link, other = f"to_{name[-1]}", ("type", "veth", "peer", "name", "eth0", "netns", name)
                ip("-n", names[0], "link", "add", link, *other)
                for where, device, last in ((names[0], link, 1), (name, "eth0", 2)):
                    ip("-n", where, "address", "add", f"10.213.{number}.{last}/24", "dev", device)
                    ip("-n", where, "link", "set", device, "up")
                ip("-n", name, "route", "add", "default", "via", f"10.213.{number}.1")
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", None) or error
            pytest.skip(f"needs root and iproute2, for hosts in network namespaces: {str(said).strip()}")
        for host in hosts:
            stack.callback(host.die)
        yield tuple(hosts)


def cut(head: Host, name: str, state: str) -> None:
    ip("-n", head.namespace, "link", "set", f"to_{name}", state)


def mlflow(head: Host) -> forked.Process:
    words = ("server", "--workers", "1", "--host", "0.0.0.0", "--port", "5000", "--allowed-hosts", f"{HEAD}:5000")
    stores = ("--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", str(head.folder / "files"))
    return head.start("mlflow", *words, *stores, MLFLOW_SERVER_ENABLE_JOB_EXECUTION="false")


def kill_tree(process: forked.Process) -> None:
    found = psutil.Process(process.pid)
    for each in [*found.children(recursive=True), found]:
        each.kill()
    process.wait()


def until(holds: Callable[[], object], what: str, seconds: float = 90) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"in vain waited for {what}"
        time.sleep(0.1)


def scheduler(head: Host) -> forked.Process:
    return head.start("distributed.cli.dask_scheduler", "--no-dashboard", "--host", "0.0.0.0")


def drive(head: Host, server: Server) -> forked.Process:
    """Always the same command."""
    words = ("model=knn", "sweep=custom", f"seed=range(0,{POINTS})", *TINY[:3], "figures=none", "sweep.retries=9")
    words += (
        "observers=[{_target_: slow.observer}]",
        "executor=dask",
        f"executor.address={SCHEDULER}",
        f"tracking.uri={MLFLOW}",
    )
    secret = {VARIABLE: PASSWORD}
    return head.start("pipeline.train", *words, f"sweep.storage='{server.url()}'", logged=False, **secret)


def test_a_sweep_over_hosts_survives_what_befalls_them(tmp_path: Path) -> None:
    with network(tmp_path) as (head, a, b), running(where=head.inside) as server:
        first, carrier = mlflow(head), scheduler(head)
        a.train()
        b.train()
        await_mlflow(head)
        driver = drive(head, server)
        until(lambda: len(complete(server)) >= 2, "two trials")

        cut(head, "b", "down")
        since = time.monotonic()
        kill_tree(first)  # MLflow: trials train on
        server.stop("immediate")
        time.sleep(1)
        server.start()
        done = len(complete(server))
        until(lambda: len(complete(server)) > done, "a trial, after PostgreSQL's restart, without MLflow and one host")
        until(lambda: time.monotonic() > since + SECONDS_CUT, "a long cut")
        again = mlflow(head)
        cut(head, "b", "up")
        until(b.is_idle, "the end of the host that was given up")
        b.train()

        lost = len(repeated(server))
        a.die()
        until(lambda: len(repeated(server)) > lost, "what was trained on the host that was killed")
        until(lambda: slots(b), "the other host, which waits for a scheduler for ever where it comes too late")

        carrier.kill()
        out, errors = driver.communicate(timeout=60)
        assert driver.returncode == 1, out
        assert "the Dask scheduler is gone; the same command goes on where this one ended" in out + errors
        until(lambda: a.is_idle() and b.is_idle(), "the end of all that trained")
        assert len(complete(server)) < POINTS, "there was nothing left to resume"

        scheduler(head)
        for host in (a, b):
            (host.folder / "hurry").touch()
            host.train()
        await_mlflow(head)
        driver = drive(head, server)
        out, errors = driver.communicate(timeout=120)
        assert driver.returncode == 0, errors
        assert f"{POINTS} complete of {POINTS} trials" in out
        until(lambda: not slots(a) + slots(b), "the end of the slots' processes")
        check_study(server)
        for host in (a, b):
            if host.has_unsent():  # of the one that was killed, where no trial came after it
                host.start("pipeline.send").wait(60)
        kill_tree(again)
        check_runs(head, complete(server))


def await_mlflow(head: Host) -> None:
    """One process that asks and asks: what starts there needs the machine more than who waits for it."""
    words = [*head.inside, sys.executable, "-c", ASKING, f"{MLFLOW}/health"]
    subprocess.run(words, check=True, capture_output=True, timeout=90)


def slots(host: Host) -> list[psutil.Process]:
    """What its workers have started."""
    return [process for process in host.processes() if process.pid not in [each.pid for each in host.started]]


def trials(server: Server) -> list[FrozenTrial]:
    """By way of a socket in the file system, which all namespaces share; none where there is no study yet."""
    url = f"postgresql+psycopg://postgres:{PASSWORD}@/postgres?host={server.folder}&port={server.port}"
    try:
        return server.trials("custom-knn-mnist5k", url)
    except KeyError:
        return []


def complete(server: Server) -> list[FrozenTrial]:
    return [trial for trial in trials(server) if trial.state == TrialState.COMPLETE]


def repeated(server: Server) -> set[int]:
    return {trial.user_attrs["retry_of"] for trial in trials(server) if "retry_of" in trial.user_attrs}


def check_study(server: Server) -> None:
    every, again = trials(server), repeated(server)
    assert len([trial for trial in every if trial.number not in again]) == POINTS, "the budget is exact"
    assert sorted(trial.params["seed"] for trial in complete(server)) == list(range(POINTS)), "each point once"
    assert {trial.state for trial in every} == {TrialState.COMPLETE, TrialState.FAIL}


def check_runs(head: Host, those: list[FrozenTrial]) -> None:
    """MLflow says what the study says."""
    client = MlflowClient(f"sqlite:///{head.folder}/mlflow.db")
    runs = client.search_runs([each.experiment_id for each in client.search_experiments()], max_results=1000)
    (parent,) = [run for run in runs if run.data.tags.get("kind") == "sweep"]
    assert (parent.info.status, parent.data.metrics["trials_complete"]) == ("FINISHED", POINTS)
    assert "RUNNING" not in {run.info.status for run in runs}
    kept = Counter(run.data.tags.get("trial") for run in runs if run.data.tags.get("state") == "complete")
    assert [kept[str(trial.number)] for trial in those] == [1] * POINTS, "a run for each trial"
