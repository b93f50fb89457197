"""Studies in PostgreSQL: one driver or several, any of them killed, the server restarted, the password seen nowhere."""

import os
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import TINY, Toy, command
from optuna.trial import FrozenTrial, TrialState
from postgresql import PASSWORD, VARIABLE, Server

from pipeline.errors import PipelineError
from sweeps import storage


@pytest.fixture
def study(toy: Toy, postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[FrozenTrial]]:
    """The toy with its study in PostgreSQL, under a name of its own; gives the trials as they are now."""
    monkeypatch.setenv(VARIABLE, PASSWORD)
    name = toy.folder.name
    file = toy.folder / "config.yaml"
    text = (
        file.read_text()
        .replace("sqlite:///studies.db", postgresql.url())
        .replace("study_name: toy", f"study_name: {name}")
    )
    file.write_text(text)
    return lambda: postgresql.trials(name)


def until(holds: Callable[[], object]) -> None:
    for _ in range(600):
        if holds():
            return
        time.sleep(0.05)
    pytest.fail("waited for 30 s")


def processes(toy: Toy) -> list[int]:
    """Living ones that this test has started, by the folder they are in."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (entry / "cwd").resolve() == toy.folder:
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def seen(toy: Toy, where: set[str], over: threading.Event) -> None:
    """Notes what processes of this test show the password in their arguments, or inherited it."""
    while not over.wait(0.02):
        for process in processes(toy):
            for name in ("cmdline", "environ"):
                try:
                    content = (Path("/proc") / str(process) / name).read_bytes()
                    if PASSWORD.encode() in content:
                        where.add(f"{name} of {'worker' if is_worker(process) else 'driver'}")
                except OSError:
                    continue


def is_worker(process: int) -> bool:
    return b"sweeps.worker" in (Path("/proc") / str(process) / "cmdline").read_bytes()


def point(trial: FrozenTrial) -> tuple[int, int]:
    return trial.params["x"], trial.params["y"]


def complete(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    return [trial for trial in trials if trial.state == TrialState.COMPLETE]


def counted(trials: list[FrozenTrial]) -> list[FrozenTrial]:
    """Without those that came again."""
    again = {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}
    return [trial for trial in trials if trial.number not in again]


def test_a_dead_driver_is_replaced_from_anywhere(toy: Toy, study: Callable[[], list[FrozenTrial]]) -> None:
    """Two may not drive; the second one may once the first is killed, though it is in another folder."""
    points = ("x=range(0,8)", "seconds=0.1")
    first = toy.start(*points)
    until(lambda: len(toy.events("end")) > 1)
    workers = [process for process in processes(toy) if is_worker(process)]
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)  # so that it lasts
    refused = toy.run(*points, "hydra.sweep.dir=elsewhere")
    assert f"is being driven by process {first.pid} on {os.uname().nodename}" in refused.stderr
    first.kill()
    for worker in workers:
        os.kill(worker, signal.SIGCONT)
    first.communicate()
    toy.sweep(*points, "hydra.sweep.dir=elsewhere")
    assert sorted(trial.params["x"] for trial in complete(study())) == list(range(8))
    assert len(counted(study())) == 8
    assert processes(toy) == []


def test_a_restart_of_the_server_ends_no_sweep(
    toy: Toy, study: Callable[[], list[FrozenTrial]], postgresql: Server
) -> None:
    driver = toy.start("x=range(0,12)", "seconds=0.2", "@n_trials=12")
    until(lambda: len(toy.events("end")) > 2)
    postgresql.stop("immediate")
    time.sleep(2)
    postgresql.start()
    out, errors = driver.communicate(timeout=60)
    assert driver.returncode == 0, errors
    assert "the study's storage is away, trying for 60 s: " in out
    assert sorted(trial.params["x"] for trial in complete(study())) == list(range(12))
    assert len(toy.events("end")) == 12, "nothing was trained twice"


def test_several_drivers_share_a_study_whatever_befalls_them(
    toy: Toy, study: Callable[[], list[FrozenTrial]], postgresql: Server
) -> None:
    """Three at once, from nothing; one is killed, the server restarts, and the password is seen nowhere."""
    where, over = set(), threading.Event()
    watching = threading.Thread(target=seen, args=(toy, where, over))
    watching.start()
    points = ("x=range(0,20)", "y=range(0,2)", "seconds=0.1", "hydra/sweeper/sampler=random")
    points = (*points, "@sampler.seed=0", "@n_trials=30", "@shared=true", "@executor.slots=2")
    drivers = [toy.start(*points, f"hydra.sweep.dir=out{number}", fresh=True) for number in range(3)]
    until(lambda: len(toy.events("end")) > 5)
    os.killpg(drivers[0].pid, signal.SIGKILL)
    until(lambda: len(toy.events("end")) > 12)
    postgresql.stop()
    time.sleep(1)
    postgresql.start()
    said = [driver.communicate(timeout=90) for driver in drivers]
    over.set()
    watching.join()

    assert [driver.returncode for driver in drivers] == [-signal.SIGKILL, 0, 0], said
    trials = study()
    assert len(counted(trials)) == 30, "the budget is of all drivers together"
    assert {trial.state for trial in counted(trials)} == {TrialState.COMPLETE}
    assert len({trial.user_attrs.get("driver") for trial in trials} - {None}) == 3
    ends = Counter((event["x"], event["y"]) for event in toy.events("end"))
    told = {point(trial) for trial in complete(trials)}
    again = [trial for trial in trials if "retry_of" in trial.user_attrs]
    assert ends.keys() == told
    twice = ends - Counter(told)
    assert twice <= Counter(map(point, again)), "a configuration is trained twice only where the first went unheard"
    whose = [trials[trial.user_attrs["retry_of"]].user_attrs.get("driver", "") for trial in again]
    others = [driver for driver in whose if f" {drivers[0].pid} " not in driver]
    assert len(others) <= 1, "but for what the killed driver had, a claim that the restart cut off"
    assert len(whose) - len(others) <= 2 + 3, "two in its slots, and what waited there for an equal one to end"
    until(lambda: processes(toy) == [])
    assert where <= {"environ of driver"}, "which was given it"
    assert PASSWORD not in str(said)
    assert holding(toy.folder) == []
    assert holding(postgresql.folder) == []


def holding(folder: Path) -> list[Path]:
    """Files that the password can be read in."""
    done = subprocess.run(["grep", "-rlaF", PASSWORD, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode in (0, 1), done.stderr
    return [Path(line) for line in done.stdout.splitlines()]


def test_a_process_of_dasks_own_cluster_inherits_no_password(toy: Toy, study: Callable[[], list[FrozenTrial]]) -> None:
    where, over = set(), threading.Event()
    watching = threading.Thread(target=seen, args=(toy, where, over))
    watching.start()
    driver = toy.start("x=0.1,0.2", "seconds=0.2", "@executor.name=dask", fresh=True)
    _, errors = driver.communicate(timeout=60)
    assert driver.returncode == 0, errors
    over.set()
    watching.join()
    assert {trial.state for trial in study()} == {TrialState.COMPLETE}
    assert where == {"environ of driver"}, "which was given it"


def test_a_server_that_stays_away_ends_with_one_line(postgresql: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(storage, "SECONDS_AWAY", 1)
    store = storage.storage(postgresql.url(PASSWORD))
    postgresql.stop()
    began = time.monotonic()
    with pytest.raises(PipelineError, match="the study's storage: has been away for 1 s .*refused") as ended:
        store.get_all_studies()
    with pytest.raises(PipelineError):  # what is put in order at the end doesn't wait again
        store.get_all_studies()
    assert time.monotonic() - began < 10
    assert "\n" not in str(ended.value)
    postgresql.start()
    assert isinstance(store.get_all_studies(), list)
    store.engine.dispose()


@pytest.mark.parametrize(
    ("password", "line"),
    [
        ("wrong", r"postgresql\+psycopg://postgres:\*\*\*@127.0.0.1:\d+/postgres: .*password authentication failed"),
        (
            "with@in/it",
            r"sweep.storage=postgresql\+psycopg://postgres:\*\*\*@127.0.0.1:\d+/postgres: a password's @ must",
        ),
    ],
)
def test_a_server_that_refuses_is_one_line_without_the_password(
    password: str, line: str, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, password)
    with pytest.raises(PipelineError, match=line) as refused:
        storage.storage(storage.resolved(postgresql.url()))
    assert password not in str(refused.value)


def test_a_pipelines_sweep_keeps_the_password_out_of_everything(
    tmp_path: Path, postgresql: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, PASSWORD)
    words = ("model=knn", "sweep=custom", "model.estimator.n_neighbors=1,3", *TINY[:3], "figures=none")
    place = f"'{postgresql.url()}'"
    done = command(*words, f"sweep.storage={place}", "executor.slots=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "2 complete of 2 trials" in done.stdout
    name = "custom-knn-mnist5k"
    status = command("status", name, "--storage", postgresql.url(), cwd=tmp_path, module="sweeps")
    assert "2 complete of 2 trials" in status.stdout, status.stderr
    report = command("report", name, "--storage", postgresql.url(), cwd=tmp_path, module="sweeps")
    assert "written: " in report.stdout, report.stderr
    assert f"--storage {place}" in done.stdout
    assert PASSWORD not in str((done, status, report))
    assert holding(tmp_path) == []
