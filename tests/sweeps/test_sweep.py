"""A sweep from first to last: budget, resuming, equal trials, failures, ends. Real processes, toy trainings."""

import json
import re
import signal
import sqlite3
import time
from itertools import pairwise
from pathlib import Path

import optuna
import pytest
from conftest import Toy, command
from omegaconf import OmegaConf

GRID = "x=0.1,0.2,0.3,0.4"
SERIAL = "@executor=null"


def test_a_grid_runs_every_point_once_and_says_what_is_best(toy: Toy) -> None:
    done = toy.sweep(GRID)
    study = toy.study()
    assert [trial.params["x"] for trial in study.trials] == [0.1, 0.2, 0.3, 0.4], "in the order given"
    assert toy.states() == {"COMPLETE": 4}
    assert study.best_params == {"x": 0.3}
    assert "toy: 4 complete of 4 trials" in done.stdout
    assert re.search(r"best: objective 0\.99\d\d  x=0\.3", done.stdout)
    results = OmegaConf.load(toy.folder / "out" / "optimization_results.yaml")
    assert (results.name, results.best_params.x, results.best_value) == ("optuna", 0.3, study.best_value)
    assert [len(trial.intermediate_values) for trial in study.trials] == [3] * 4


def test_the_same_command_again_does_what_is_left_of_a_total_budget(toy: Toy) -> None:
    swept = "x=interval(0,1)"
    toy.sweep(swept, "@n_trials=4", "@sampler.seed=1")
    toy.sweep(swept, "@n_trials=4", "@sampler.seed=1")
    assert len(toy.study().trials) == 4, "nothing was left"
    done = toy.sweep(swept, "@n_trials=9", "@sampler.seed=1")
    assert "toy: 4 trials are done; going on" in done.stdout
    trials = toy.study().trials
    assert len(trials) == 9
    assert len({trial.params["x"] for trial in trials}) == 9, "the same seed does not repeat its points"
    assert sorted(path.name for path in (toy.folder / "out").iterdir() if path.name.isdigit()) == list("012345678")


@pytest.mark.parametrize("executor", [SERIAL, "@executor.slots=2"])
def test_an_equal_configuration_is_trained_once(toy: Toy, executor: str) -> None:
    toy.sweep("x=choice(0.5,0.1)", "hydra/sweeper/sampler=random", "@n_trials=12", executor)
    study = toy.study()
    assert len(toy.events("end")) == len({trial.user_attrs["configuration"] for trial in study.trials}) <= 2
    reused = [trial for trial in study.trials if "reuses" in trial.user_attrs]
    assert len(reused) == 12 - len(toy.events("end"))
    for trial in reused:
        twin = study.trials[trial.user_attrs["reuses"]]
        assert (trial.value, trial.intermediate_values) == (twin.value, twin.intermediate_values)


def test_status_says_how_many_trials_it_does_not_show(toy: Toy) -> None:
    toy.sweep("x=range(0,17)", "@n_trials=17", "seconds=0", SERIAL)
    done = command("status", "toy", "--storage", "sqlite:///studies.db", cwd=toy.folder, module="sweeps")
    numbers = re.findall(r"^ (\d+) +complete ", done.stdout, re.MULTILINE)
    assert [int(number) for number in numbers] == list(range(15)), "the best first"
    assert "and 2 more, all of them in the leaderboard of `python -m sweeps report`" in done.stdout


def test_seeds_are_replicates_not_equals(toy: Toy) -> None:
    done = toy.sweep("x=0.2,0.3", "seed=range(0,3)")
    assert len(toy.events("end")) == 6
    assert re.search(r"best: objective 0\.999\d ± 0\.000\d \(3 seeds\)  x=0\.3", done.stdout)


def test_a_slow_trial_does_not_hold_back_the_other_slot(toy: Toy) -> None:
    """No barrier: while one slot trains the slow one, the other trains all the rest."""
    toy.sweep("seconds=0.8,0.01,0.02,0.03,0.04,0.05", "@executor.slots=2")
    ends = toy.events("end")
    (slow,) = [event for event in ends if event["seconds"] == 0.8]
    others = [event for event in ends if event["process"] != slow["process"]]
    assert len(others) >= 4
    assert all(event["at"] < slow["at"] for event in others)


def test_a_worker_stays_for_as_many_trials_as_it_is_told_and_results_are_the_same(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2,0.3,0.4", "@study_name=warm", "@executor.slots=1", "@executor.trials_per_worker=3")
    warm = toy.events("start")
    assert [[event["process"] for event in warm].count(pid) for pid in dict.fromkeys(e["process"] for e in warm)] == [
        3,
        1,
    ]
    toy.sweep("x=0.1,0.2,0.3,0.4", "@study_name=cold", "@executor.slots=1", "@executor.trials_per_worker=1")
    assert len({event["process"] for event in toy.events("start")[4:]}) == 4
    assert [t.value for t in toy.study("warm").trials] == [t.value for t in toy.study("cold").trials]


@pytest.mark.parametrize(
    ("how", "cause", "attempts"),
    [
        ("error", "error", 1),
        ("diverged", "diverged", 1),
        ("not_a_number", "diverged", 1),
        ("kill", "killed", 3),
        ("memory", "out of memory", 2),
    ],
)
def test_a_failure_has_a_cause_and_only_what_may_be_chance_is_tried_again(
    toy: Toy, how: str, cause: str, attempts: int
) -> None:
    done = toy.sweep("x=0.1", f"goes_wrong=null,{how}", "@executor.slots=2")
    study = toy.study()
    failed = [trial for trial in study.trials if "cause" in trial.user_attrs]
    assert [trial.user_attrs["cause"] for trial in failed] == [cause]
    assert len(toy.events("start")) == 1 + attempts
    assert toy.states()["COMPLETE"] == 1, "one trial's failure touches no other"
    assert f"failed, {cause}" in done.stdout
    if how == "error":
        assert "RuntimeError: it went wrong" in done.stdout
        assert "several lines" not in done.stdout
        assert "in several lines" in (toy.folder / "out" / str(failed[0].number) / "log.txt").read_text()


def test_out_of_memory_halves_the_slots(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2,0.3,0.4,0.5,0.6", "goes_wrong=memory", "@executor.slots=2", "seconds=0.05")
    later = [t for t in toy.study().trials if t.number >= 2]
    assert len(later) == 6
    pairs = pairwise(later)
    assert all(second.datetime_start >= first.datetime_complete for first, second in pairs), (
        "one at a time from then on"
    )


def test_a_diverged_trial_may_count_as_the_worst_so_far(toy: Toy) -> None:
    done = toy.sweep("x=0.1,0.9", "goes_wrong=null,diverged", "@diverged=worst", "@executor.slots=1")
    assert "2 complete, 2 failed of 4 trials" in done.stdout, "the worst is what the sampler is told"
    first, diverged, *_ = toy.study().trials
    assert (diverged.state.name, diverged.value) == ("COMPLETE", first.value)
    assert diverged.user_attrs["cause"] == "diverged"


def test_too_many_failures_end_a_sweep(toy: Toy) -> None:
    done = toy.run("x=range(0,30)", "goes_wrong=error", "@max_failure_rate=0.5")
    assert done.returncode != 0
    assert "ended, 5 of 5 trials failed (max_failure_rate=0.5)" in done.stderr
    assert "RuntimeError: it went wrong" in done.stderr
    assert len(toy.events("start")) <= 7
    assert toy.states()["RUNNING"] == 0


def test_a_target_ends_a_sweep_early(toy: Toy) -> None:
    arguments = ("x=0.9,0.3,0.8,0.7,0.6,0.5", "@target=0.99", "@executor.slots=1")
    toy.sweep(*arguments)
    done = toy.sweep(*arguments)
    assert len(toy.events("start")) == 2
    assert "ended: trial 1 reached the target of 0.99" in done.stdout


def test_hours_end_a_sweep_early(toy: Toy) -> None:
    done = toy.sweep("x=range(0,50)", "seconds=0.3", "@max_hours=0.0005", "@executor.slots=1")
    assert "max_hours=0.0005 are over" in done.stdout
    assert 1 <= len(toy.events("end")) < 10


def test_known_points_come_first_and_only_once(toy: Toy) -> None:
    arguments = ("x=interval(0,1)", "@n_trials=3", "@enqueue=[{x:0.3},{x:0.25}]", "@executor.slots=1")
    toy.sweep(*arguments)
    toy.sweep(*arguments)
    assert [trial.params["x"] for trial in toy.study().trials][:2] == [0.3, 0.25]
    assert len(toy.study().trials) == 3


def test_a_whole_number_among_fractions_is_the_same_point(toy: Toy) -> None:
    toy.sweep("x=range(0.5,2.5,0.5)", "@enqueue=[{x:1}]", "@executor.slots=1")
    assert [trial.params["x"] for trial in toy.study().trials] == [1, 0.5, 1.5, 2]
    assert len(toy.events("start")) == 4


def test_a_warm_start_from_nowhere_or_itself_leaves_no_study(toy: Toy) -> None:
    assert "old: no such sweep" in toy.run("x=0.1,0.2", "@warm_start=old").stderr
    assert "warm_start=toy: must be another sweep" in toy.run("x=0.1,0.2", "@warm_start=toy").stderr
    toy.sweep("x=0.3,0.4")
    assert toy.states() == {"COMPLETE": 2}


def test_trials_of_an_older_study_do_not_hide_failures(toy: Toy) -> None:
    toy.sweep("x=range(0,12)", "@study_name=old")
    words = ("x=interval(0,50)", "goes_wrong=error", "@n_trials=20", "@max_failure_rate=0.5")
    done = toy.run(*words, "@executor.slots=1", "@study_name=new", "@warm_start=old")
    assert "ended, 5 of 5 trials failed" in done.stderr


def test_a_study_can_start_from_an_older_one(toy: Toy) -> None:
    toy.sweep("x=interval(0,0.5)", "@study_name=old", "@n_trials=5")
    done = toy.sweep("x=interval(0,1)", "@study_name=new", "@warm_start=old", "@n_trials=3")
    assert "3 complete of 3 trials" in done.stdout
    assert "best: objective" in done.stdout
    new = toy.study("new").trials
    assert [("from" in trial.user_attrs) for trial in new] == [True] * 5 + [False] * 3
    assert [t.value for t in new[:5]] == [t.value for t in toy.study("old").trials]


def test_a_changed_space_or_base_is_refused_with_the_difference(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2")
    for arguments, difference in (
        (("x=0.1,0.2,0.9",), "swept x was 0.1, 0.2, is 0.1, 0.2, 0.9"),
        (("x=0.1,0.2", "epochs=4"), "epochs was 3, is 4"),
        (("x=0.1,0.2", "@direction=minimize"), "direction was maximize, is minimize"),
    ):
        done = toy.run(*arguments)
        assert done.returncode != 0
        assert f"sweep toy: has changed since it began: {difference}" in done.stderr
    assert toy.states() == {"COMPLETE": 2}


def test_a_second_driver_is_refused_with_the_name_of_the_first(toy: Toy) -> None:
    first = toy.start("x=range(0,20)", "seconds=0.2", "@executor.slots=1")
    while not toy.events("start"):
        time.sleep(0.05)
    second = toy.run("x=range(0,20)", "seconds=0.2", "@executor.slots=1")
    assert second.returncode != 0
    assert f"is being driven by process {first.pid} on " in second.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)
    assert toy.states()["RUNNING"] == 0


def test_the_first_ctrl_c_lets_running_trials_finish_and_the_second_stops_now(toy: Toy) -> None:
    arguments = ("x=range(0,6)", "seconds=0.4", "@executor.slots=2")
    process = toy.start(*arguments)
    while len(toy.events("start")) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 130
    assert "2 complete of 6 trials; ended: Ctrl-C" in out
    assert "\ngo on with it:   the same command\n" in out
    assert out.count("finishing the running trials; Ctrl-C again stops now") == 1
    process = toy.start(*arguments)
    while len(toy.events("start")) < 4:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    time.sleep(0.2)
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 130
    assert toy.states() == {"COMPLETE": 2, "FAIL": 2, "WAITING": 2}, "those that were cut off are put back"
    toy.sweep(*arguments)
    assert toy.states() == {"COMPLETE": 6, "FAIL": 2}
    assert sorted(t.params["x"] for t in toy.study().trials if t.state.name == "COMPLETE") == list(range(6))


def test_ctrl_c_while_the_last_trial_runs_leaves_nothing_undone(toy: Toy) -> None:
    process = toy.start("x=0.1,0.2", "seconds=0.4", "@executor.slots=2")
    while len(toy.events("start")) < 2:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, "go on with it" in out) == (0, False)
    assert toy.states() == {"COMPLETE": 2}


def test_a_pruner_stops_what_is_worse(toy: Toy) -> None:
    toy.sweep(
        "x=0.3,0.31,0.32,0.33,5.0,6.0",
        "epochs=8",
        "@executor.slots=1",
        "+hydra.sweeper.pruner={_target_:optuna.pruners.MedianPruner,n_startup_trials:3}",
    )
    assert [trial.state.name for trial in toy.study().trials][-2:] == ["PRUNED"] * 2
    assert all(len(trial.intermediate_values) == 1 for trial in toy.study().trials[-2:])
    assert len(toy.events("end")) == 6


def test_a_broken_study_file_is_said_and_left_as_it_is(toy: Toy) -> None:
    file = toy.folder / "studies.db"
    file.write_bytes(b"this is no database, and somebody may still want it" * 100)
    before = file.read_bytes()
    done = toy.run(GRID)
    assert done.returncode != 0
    assert "file is not a database" in done.stderr
    assert file.read_bytes() == before


def test_a_locked_study_file_is_said(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2")
    with sqlite3.connect(toy.folder / "studies.db") as holder:
        holder.execute("BEGIN EXCLUSIVE")
        done = toy.run("x=0.1,0.2", "@n_trials=2", "+hydra.job.env_set.X=1")
    assert done.returncode != 0
    assert "database is locked" in done.stderr


def test_another_programs_study_is_left_alone(toy: Toy) -> None:
    other = optuna.create_study(
        study_name="toy", storage=f"sqlite:///{toy.folder / 'studies.db'}", direction="maximize"
    )
    other.add_trial(optuna.create_trial(value=1.0))
    done = toy.run(GRID)
    assert "study toy: was made by another program" in done.stderr
    assert len(toy.study().trials) == 1


def test_a_trials_folder_has_what_hydra_leaves_and_its_log(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2")
    for number in ("0", "1"):
        folder = toy.folder / "out" / number
        assert {path.name for path in folder.iterdir()} == {".hydra", "log.txt", "result.json"}
        assert json.loads((folder / "result.json").read_text())["state"] == "complete"
    assert OmegaConf.load(toy.folder / "out" / "1" / ".hydra" / "overrides.yaml") == ["x=0.2"]


def test_a_result_that_nobody_heard_of_is_not_trained_again(toy: Toy) -> None:
    """A driver that dies between a trial's end and the study: the trial's folder has the result."""
    toy.sweep("x=0.1,0.2")
    with sqlite3.connect(toy.folder / "studies.db") as database:
        database.execute("UPDATE trials SET state = 'RUNNING', datetime_complete = NULL WHERE number = 1")
        database.execute("DELETE FROM trial_values WHERE trial_id = 2")
    value = json.loads((toy.folder / "out" / "1" / "result.json").read_text())["values"][0]
    toy.sweep("x=0.1,0.2")
    assert toy.study().trials[1].value == value
    assert len(toy.events("start")) == 2


def test_without_a_storage_a_sweep_runs_in_memory(toy: Toy) -> None:
    done = toy.sweep(GRID, "@storage=null")
    assert "4 complete of 4 trials" in done.stdout
    assert not (toy.folder / "studies.db").exists()


def test_what_a_function_returns_must_be_a_number(toy: Toy) -> None:
    done = toy.sweep("x=interval(0,1)", "goes_wrong=nothing", "@n_trials=2")
    assert "invalid value: returned None; must be a number" in done.stdout


def test_the_folder_for_studies_is_made(toy: Toy) -> None:
    toy.sweep("x=0.1,0.2", "@storage=sqlite:///new/folder/studies.db")
    assert (Path(toy.folder) / "new" / "folder" / "studies.db").exists()


def test_an_equal_configuration_that_failed_is_not_tried_again(toy: Toy) -> None:
    toy.sweep(
        "x=choice(0.5,0.1)", "goes_wrong=error", "hydra/sweeper/sampler=random", "@n_trials=8", "@executor.slots=1"
    )
    assert len(toy.events("start")) <= 2
    assert toy.states() == {"FAIL": 8}


def test_two_drivers_on_one_study_are_refused_wherever_their_folders_are(toy: Toy) -> None:
    first = toy.start("x=range(0,9)", "seconds=0.3", "@executor.slots=1")
    while not toy.events("start"):
        time.sleep(0.05)
    second = toy.run("x=range(0,9)", "seconds=0.3", "hydra.sweep.dir=elsewhere")
    assert f"is being driven by process {first.pid} on " in second.stderr
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=30)


def test_serial_trials_stop_at_a_signal(toy: Toy) -> None:
    driver = toy.start("x=0.1,0.2", "epochs=2000", "seconds=0.01", SERIAL)
    while not toy.events("start"):
        time.sleep(0.05)
    time.sleep(0.5)
    driver.send_signal(signal.SIGTERM)
    began = time.monotonic()
    driver.communicate(timeout=30)
    assert time.monotonic() - began < 5
    assert driver.returncode == 143
    assert toy.states() == {"FAIL": 1, "WAITING": 1}


def test_a_worker_that_dies_while_it_starts_is_started_again(toy: Toy) -> None:
    source = (toy.folder / "app.py").read_text()
    die_once = (
        "import os, signal\nfrom pathlib import Path\n"
        "if __name__ != '__main__' and not Path('died').exists():\n"
        "    Path('died').touch()\n    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    (toy.folder / "app.py").write_text(die_once + source)
    toy.sweep("x=0.1,0.2", "@executor.slots=1")
    assert (toy.folder / "died").exists()
    assert toy.states() == {"COMPLETE": 2}  # before there was a trial


def test_a_worker_that_cannot_start_says_why(toy: Toy) -> None:
    source = (toy.folder / "app.py").read_text()
    (toy.folder / "app.py").write_text("if __name__ != '__main__':\n    raise ValueError('no such luck')\n" + source)
    done = toy.sweep("x=0.1,0.2")
    assert "failed, error: the worker could not start: ValueError: no such luck" in done.stdout


def test_every_trial_has_its_line_the_last_one_too(toy: Toy) -> None:
    done = toy.sweep("x=0.1,0.2,0.3", "@executor.slots=1")
    assert [line[:7] for line in done.stdout.splitlines() if line.startswith("trial")] == [
        "trial 0",
        "trial 1",
        "trial 2",
    ]
