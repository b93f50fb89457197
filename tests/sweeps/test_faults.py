"""What a sweep survives: killed workers, killed drivers, signals, a full disk, a store that cannot be written."""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from conftest import Toy
from optuna.trial import TrialState

BROKEN_END = """
from sweeps.slots import LocalExecutor

def shutdown(self, *words, ended=LocalExecutor.shutdown, **more):
    ended(self, *words, **more)
    raise ValueError("the end went wrong")

LocalExecutor.shutdown = shutdown
"""
SWEEP = ("x=range(0,60)", "seconds=0.05", "@executor.slots=2", "@retries=100", "@n_trials=60")


def workers_of(toy: Toy) -> list[int]:
    """Living processes, by what the system says: the one that slots' are forked from, which is the first, and those."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                words = (entry / "cmdline").read_bytes().split(b"\0")
                if b"sweeps.worker" in words and (entry / "cwd").resolve() == toy.folder:
                    found.append(int(entry.name))
            except OSError:
                continue
    return sorted(found)


def test_forty_kills_cost_no_trial_and_double_none(toy: Toy) -> None:
    """SIGKILL to a worker, or what they are forked from, at 20 random moments and to the driver at 20, of 60 trials."""
    chance = random.Random(0)
    kills = ["worker"] * 20 + ["driver"] * 20
    chance.shuffle(kills)
    driver = toy.start(*SWEEP)
    for victim in kills:
        time.sleep(chance.uniform(0.1, 0.6))
        if driver.poll() is not None:
            break
        if victim == "driver":
            time.sleep(1.5)  # let it come as far as to train
            driver.kill()
            driver.communicate()
            driver = toy.start(*SWEEP)
        elif workers := workers_of(toy):
            os.kill(chance.choice(workers), signal.SIGKILL)
    driver.communicate(timeout=120)
    toy.sweep(*SWEEP)

    trials = toy.study().trials
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    again = {trial.user_attrs["retry_of"] for trial in trials if "retry_of" in trial.user_attrs}
    assert sorted(trial.params["x"] for trial in complete) == list(range(60)), "each point has one result"
    assert {trial.number for trial in trials} - again == {trial.number for trial in complete}, "60 are accounted for"
    assert {trial.state for trial in trials} <= {TrialState.COMPLETE, TrialState.FAIL}, "none is left RUNNING"
    assert toy.study().best_params == {"x": 0}
    told = {trial.params["x"]: trial.datetime_complete.timestamp() for trial in complete}
    late = [event for event in toy.events("start") if event["at"] > told[event["x"]] + 0.01]
    assert not late, "nothing is trained again once its result is known"
    time.sleep(1.0)
    assert workers_of(toy) == []


def test_a_point_that_was_put_back_twice_is_not_taken_up_anew(toy: Toy) -> None:
    """Once by a driver's death and then, before the grid has gone on, by its worker's."""
    arguments = ("x=0.1,0.2,0.3", "seconds=0.6", "@executor.slots=1")
    driver = toy.start(*arguments)
    while not toy.events("start"):
        time.sleep(0.02)
    driver.kill()
    driver.communicate()
    driver = toy.start(*arguments)
    while len(toy.events("start")) < 2:
        time.sleep(0.02)
    os.kill(workers_of(toy)[1], signal.SIGKILL)
    driver.communicate(timeout=60)
    complete = [trial.params["x"] for trial in toy.study().trials if trial.state == TrialState.COMPLETE]
    assert sorted(complete) == [0.1, 0.2, 0.3]


def test_workers_end_with_their_driver(toy: Toy) -> None:
    driver = toy.start("x=range(0,9)", "seconds=5")
    while len(toy.events("start")) < 2:
        time.sleep(0.05)
    assert len(workers_of(toy)) == 3
    driver.kill()
    driver.communicate()
    time.sleep(1.0)
    assert workers_of(toy) == []


def test_what_slots_are_forked_from_may_die(toy: Toy) -> None:
    """Those that train go on; the next ones come from a new one."""
    driver = toy.start("x=range(0,4)", "seconds=0.4", "@executor.trials_per_worker=1")
    while len(toy.events("start")) < 2:
        time.sleep(0.02)
    os.kill(workers_of(toy)[0], signal.SIGKILL)
    driver.communicate(timeout=60)
    assert toy.states() == Counter({"COMPLETE": 4})
    assert workers_of(toy) == []


def test_it_may_die_while_it_imports(toy: Toy) -> None:
    """That is no error of the trial's that waits for it."""
    loading = toy.folder / "loading"
    (toy.folder / "slow.py").write_text("import time\nopen('loading', 'w').close()\ntime.sleep(1)")
    driver = toy.start("x=range(0,4)", "@retries=9", "+hydra.sweeper.executor.imports=[slow]")
    for _ in range(3):
        while not loading.exists():
            time.sleep(0.02)
        loading.unlink()
        os.kill(workers_of(toy)[0], signal.SIGKILL)
    driver.communicate(timeout=60)
    assert toy.states()["COMPLETE"] == 4


def test_trials_that_outlive_it_can_be_stopped(toy: Toy) -> None:
    driver = toy.start("x=range(0,4)", "seconds=20", "epochs=1")
    while len(toy.events("start")) < 2:
        time.sleep(0.02)
    os.kill(workers_of(toy)[0], signal.SIGKILL)
    time.sleep(0.2)
    driver.send_signal(signal.SIGTERM)
    driver.communicate(timeout=15)
    assert toy.states()["RUNNING"] == 0
    assert workers_of(toy) == []


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_and_the_same_command_goes_on(toy: Toy, signum: signal.Signals) -> None:
    if signal.getsignal(signum) is signal.SIG_IGN:
        pytest.skip(f"{signum.name} is ignored here, as by nohup")
    arguments = ("x=range(0,5)", "seconds=0.2")
    driver = toy.start(*arguments)
    while len(toy.events("end")) < 2:
        time.sleep(0.05)
    driver.send_signal(signum)
    driver.communicate(timeout=30)
    assert driver.returncode == 128 + signum
    assert workers_of(toy) == []
    assert toy.states()["RUNNING"] == 0
    toy.sweep(*arguments)
    complete = [trial.params["x"] for trial in toy.study().trials if trial.state == TrialState.COMPLETE]
    assert sorted(complete) == list(range(5))


def test_what_is_in_training_is_put_back_whatever_the_executors_end_comes_to(toy: Toy) -> None:
    source = (toy.folder / "app.py").read_text()
    (toy.folder / "app.py").write_text(BROKEN_END + source)
    driver = toy.start("x=range(0,4)", "seconds=20", "epochs=1")
    while len(toy.events("start")) < 2:
        time.sleep(0.05)
    driver.send_signal(signal.SIGTERM)
    _, errors = driver.communicate(timeout=30)
    assert "the end went wrong" in errors
    assert toy.states() == Counter({"FAIL": 2, "WAITING": 2})


def test_a_silent_worker_is_killed_whole(toy: Toy) -> None:
    done = toy.sweep("seconds=0.01,60", "+hydra.sweeper.executor.timeout=4")
    assert "failed, timeout: silent for longer than executor.timeout=4 s" in done.stdout
    assert workers_of(toy) == []
    assert toy.states() == Counter({"COMPLETE": 1, "FAIL": 1})


needs_mounts = pytest.mark.skipif(
    subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode != 0,
    reason="needs unshare, to mount a file system of its own",
)


def in_a_mount(toy: Toy, mount: str, *arguments: str) -> subprocess.CompletedProcess:
    """The toy with `mount` done first, in a namespace of its own."""
    script = f"{mount} && exec {' '.join(map(repr, toy.command(*arguments)))}"
    return subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], cwd=toy.folder, capture_output=True, text=True, timeout=120, check=False
    )


@needs_mounts
def test_a_full_disk_ends_with_a_line_and_is_resumable(toy: Toy) -> None:
    store, disk = toy.folder / "store", toy.folder / "disk"
    store.mkdir()
    disk.mkdir()
    arguments = ("x=range(0,200)", "@n_trials=200", "@storage=sqlite:///store/studies.db")
    keep = f"trap 'cp -r {store}/. {disk}' EXIT; "
    script = (
        f"mount -t tmpfs -o size=600k tmpfs {store} && cd {toy.folder} && "
        f"({keep} {' '.join(map(repr, toy.command(*arguments)))})"
    )
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode != 0
    assert "database or disk is full" in done.stderr
    before = sum(1 for _ in toy.events("end"))
    assert before > 0
    # with room again
    for file in disk.iterdir():
        if not file.name.startswith("."):
            file.rename(store / file.name)
    toy.sweep(*arguments, "@max_hours=0.0003")
    import optuna

    study = optuna.load_study(study_name="toy", storage=f"sqlite:///{store}/studies.db")
    assert sum(trial.state == TrialState.COMPLETE for trial in study.trials) >= before - 2
    assert not [trial for trial in study.trials if trial.state == TrialState.RUNNING]


@needs_mounts
def test_a_read_only_store_is_said(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2", "@storage=sqlite:///store/studies.db")
    done = in_a_mount(
        toy,
        f"mount --bind {toy.folder}/store {toy.folder}/store && mount -o remount,bind,ro {toy.folder}/store",
        "x=0.1,0.2",
        "@storage=sqlite:///store/studies.db",
    )
    assert done.returncode != 0
    assert "Read-only file system" in done.stderr or "readonly database" in done.stderr
    toy.sweep("x=0.1,0.2", "@storage=sqlite:///store/studies.db")
