"""A real sweep, small: what it leaves in MLflow, and what `python -m sweeps` makes of it."""

import inspect
import re
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import forked
import pytest
from conftest import command
from mlflow import MlflowClient
from omegaconf import OmegaConf
from page import Page, check_self_contained

from pipeline.tracking.store import open_store
from sweeps import publish, report
from sweeps.storage import storage
from sweeps.study import existing
from sweeps.tracking import child_runs

WORDS = ("model=softmax_regression", "dataset=digits", "epochs=2", "figures=[curves]")
LOADING = """
import mlflow
import numpy as np

mlflow.set_tracking_uri("sqlite:///mlruns/mlflow.db")
model = mlflow.keras.load_model("models:/digits@champion")
print(model.predict(np.zeros((1, 8, 8, 1), "uint8"), verbose=0).shape)
"""
SWEEP = (*WORDS, "sweep=batch_size", "batch_size=32,64", "seed=0,1")


@dataclass(frozen=True)
class Finished:
    folder: Path
    done: subprocess.CompletedProcess

    @property
    def client(self) -> MlflowClient:
        return MlflowClient(f"sqlite:///{self.folder / 'mlruns' / 'mlflow.db'}")

    def runs(self, query: str) -> list:
        return self.client.search_runs([each.experiment_id for each in self.client.search_experiments()], query)

    def artifacts(self, run) -> Path:
        return self.folder / run.info.artifact_uri


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("sweep")
    done = forked.run("pipeline.train", *SWEEP, cwd=folder, forks=False)  # slots as a person has them
    assert done.returncode == 0, done.stderr
    return Finished(folder, done)


def test_each_trial_is_a_whole_run_below_its_sweep(finished: Finished) -> None:
    (parent,) = finished.runs("tags.kind = 'sweep'")
    children = finished.runs("tags.kind = 'run'")
    assert {child.data.tags["trial"] for child in children} == set("0123")
    for child in children:
        tags = child.data.tags
        assert tags["mlflow.parentRunId"] == parent.info.run_id
        assert (tags["sweep"], tags["state"]) == ("batch_size-softmax_regression-digits", "complete")
        assert child.info.status == "FINISHED"
        assert {path.name for path in finished.artifacts(child).iterdir()} >= {"curves.png", "config.yaml", "model"}


def test_a_sweep_never_looks_at_the_test_split(finished: Finished) -> None:
    for child in finished.runs("tags.kind = 'run'"):
        assert not [name for name in child.data.metrics if name.startswith("test")]
        config = OmegaConf.load(finished.artifacts(child) / "config.yaml")
        assert config.evaluate == "val"
        assert "observers" not in config
        assert "sweep" not in config


def test_the_parent_has_figures_leaderboard_and_the_best_configuration(finished: Finished) -> None:
    (parent,) = finished.runs("tags.kind = 'sweep'")
    assert (parent.info.status, parent.data.tags["state"]) == ("FINISHED", "complete")
    assert parent.data.metrics["trials_complete"] == 4
    assert parent.data.params["swept/batch_size"] == "32, 64"
    folder = finished.artifacts(parent)
    assert {path.name for path in folder.glob("*.png")} == {"grid_curve.png", "history.png", "all_curves.png"}
    header, *rows = (folder / "leaderboard.csv").read_text().splitlines()
    assert header == "trial,state,best_val_accuracy,epochs,seconds,batch_size,seed,note,run_id"
    values = [float(row.split(",")[2]) for row in rows]
    assert values == sorted(values, reverse=True)
    assert rows[0].rpartition(",")[2] in {run.info.run_id for run in finished.runs("tags.kind = 'run'")}


def test_the_sweeps_page_begins_with_the_answer(finished: Finished) -> None:
    (parent,) = finished.runs("tags.kind = 'sweep'")
    folder = finished.artifacts(parent)
    page = Page(folder / "report.html")
    check_self_contained(page)
    means = {
        size: fmean(run.data.metrics["best_val_accuracy"] for run in finished.runs(f"params.batch_size = '{size}'"))
        for size in (32, 64)
    }
    best, other = sorted(means, key=means.get, reverse=True)
    assert re.search(rf"The best is batch_size={best}: best_val_accuracy {means[best]:.4f} ± 0\.\d+, ", page.text)
    assert f"{means[best] - means[other]:.4f} ahead of the next, batch_size={other}" in page.text
    assert "No trial looks at the test images" in page.text
    assert (folder / "best_command.txt").read_text().strip() in page.text
    assert set(page.captions) == {path.stem for path in folder.glob("*.png")}
    for run in finished.runs("tags.kind = 'run'"):
        assert run.info.run_id[:8] in page.text


def test_every_figure_of_a_study_has_a_sentence() -> None:
    captions = {name for section in OmegaConf.load(publish.CAPTIONS).values() for name in section}
    assert captions == set(re.findall(r'yield "(\w+)"', inspect.getsource(publish.drawn)))


def test_the_command_trains_exactly_the_best_configuration(finished: Finished) -> None:
    (parent,) = finished.runs("tags.kind = 'sweep'")
    folder = finished.artifacts(parent)
    words = shlex.split((folder / "best_command.txt").read_text())
    assert words[:3] == ["python", "-m", "pipeline.train"]
    assert f"train it again:  {shlex.join(words)}" in finished.done.stdout
    composed = OmegaConf.create(command(*words[3:], "--cfg", "job", "--resolve", cwd=finished.folder).stdout)
    best = OmegaConf.load(folder / "best_config.yaml")
    assert {key: composed[key] for key in best} == best
    assert set(composed) - set(best) == {"tracking", "observers", "figures"}


def test_a_trial_in_a_warm_worker_is_the_run_that_its_command_makes(finished: Finished) -> None:
    """The last trial of the sweep: its worker had trained another one before."""
    (trial,) = finished.runs("tags.trial = '3'")
    single = command(*WORDS, "batch_size=64", "seed=1", "tracking=none", cwd=finished.folder)
    assert f"best {trial.data.metrics['best_val_accuracy']:.4f} at epoch" in single.stdout
    assert f"val_loss {trial.data.metrics['val_loss']:.4f}" in single.stdout


def test_the_same_command_again_trains_nothing(finished: Finished) -> None:
    before = len(finished.runs(""))
    done = command(*SWEEP, cwd=finished.folder)
    assert done.returncode == 0, done.stderr
    assert "4 trials are done; going on" in done.stdout
    assert len(finished.runs("")) == before


def test_status_report_and_plan(finished: Finished) -> None:
    name = "batch_size-softmax_regression-digits"
    line = command("status", cwd=finished.folder, module="sweeps").stdout
    assert name in line
    assert "4/4" in line
    assert "4 complete of 4 trials" in command("status", name, cwd=finished.folder, module="sweeps").stdout
    assert "written: mlruns/sweeps/" in command("report", name, cwd=finished.folder, module="sweeps").stdout
    written = {path.name for path in (finished.folder / "mlruns" / "sweeps" / name / "report").iterdir()}
    assert {"grid_curve.png", "report.html"} <= written
    plan = command("plan", *SWEEP[:-1], "seed=0,1,2", "sweep.name=bigger", cwd=finished.folder, module="sweeps").stdout
    assert "bigger: 6 trials, grid; 0 done, 6 to go" in plan
    assert "the median of 4 earlier runs" in plan
    again = command("plan", *SWEEP, cwd=finished.folder, module="sweeps").stdout
    assert "4 done, 0 to go" in again


def test_plan_probes_where_nothing_was_measured_and_leaves_nothing(tmp_path: Path) -> None:
    done = command("plan", *SWEEP, cwd=tmp_path, module="sweeps")
    assert done.returncode == 0, done.stderr
    assert "from a probe of 2 s" in done.stdout
    assert not list(tmp_path.rglob("*.db"))
    assert not list(tmp_path.rglob("log.txt"))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("status", "nope"), "nope: no such sweep; there are batch_size-softmax_regression-digits"),
        (("report", "nope"), "nope: no such sweep"),
        (("promote", "nope"), "nope: no such sweep"),
        (("promote", "x", "--seeds", "0"), "--seeds 0: must be at least 1"),
        (("status", "--store", "elsewhere"), "elsewhere: has no sweeps"),
        (("status", "--storage", "sqlite:///nowhere/typo.db"), "nowhere/typo.db: no such file"),
    ],
)
def test_what_is_not_there_is_said(finished: Finished, words: tuple[str, ...], line: str) -> None:
    done = command(*words, cwd=finished.folder, module="sweeps")
    assert done.returncode == 1
    assert line in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_space_that_has_changed_is_said(finished: Finished) -> None:
    name = "batch_size-softmax_regression-digits"
    study = existing(storage(f"sqlite:///{finished.folder}/mlruns/studies.db"), name)
    then = study.user_attrs["space"]
    study.set_user_attr("space", then | {"dropout.rate": "0.1, 0.2"})
    for words in (("report", name), ("promote", name), ("plan", *SWEEP)):
        done = command(*words, cwd=finished.folder, module="sweeps")
        assert (done.returncode, done.stderr.count("\n")) == (1, 1)
        assert "has changed since it began: swept dropout.rate was 0.1, 0.2, is (nothing)" in done.stderr
    study.set_user_attr("space", then)


def test_promote_looks_at_the_test_split_once_and_crowns_a_champion(finished: Finished) -> None:
    name = "batch_size-softmax_regression-digits"
    done = command("promote", name, "--train-val", cwd=finished.folder, module="sweeps")
    assert done.returncode == 0, done.stderr
    (run,) = finished.runs("tags.promotes != ''")
    assert 0.5 < run.data.metrics["test_accuracy"] <= 1
    assert "mlflow.parentRunId" not in run.data.tags
    config = OmegaConf.load(finished.artifacts(run) / "config.yaml")
    assert (config.train_on, config.evaluate) == ("train_val", "test")
    champion = finished.client.get_model_version_by_alias("digits", "champion")
    assert champion.run_id == run.info.run_id
    (finished.folder / "load.py").write_text(LOADING)
    loaded = forked.run("load.py", cwd=finished.folder)
    assert "(1, 10)" in loaded.stdout, loaded.stderr
    second = command("promote", name, cwd=finished.folder, module="sweeps")
    assert second.returncode == 1
    assert f"was promoted before, by run {run.info.run_id} with test_accuracy" in second.stderr

    finished.client.delete_registered_model("digits")  # as where it was interrupted after the first of two
    resumed = command("promote", name, "--train-val", "--seeds", "2", cwd=finished.folder, module="sweeps")
    assert resumed.returncode == 0, resumed.stderr
    assert resumed.stdout.count("python -m pipeline.train") == 1
    assert "(2 seeds)" in resumed.stdout
    assert finished.client.get_model_version_by_alias("digits", "champion").run_id == run.info.run_id


def test_promote_from_another_folder_looks_at_the_test_split_all_the_same(tmp_path: Path) -> None:
    """By a name with a comma, of a sweep that was told to leave the test split alone, in a store of its own."""
    for name in ("here", "elsewhere"):
        (tmp_path / name).mkdir()
    words = ("model=sgd_classifier", "dataset=digits", "figures=none", "executor=serial", "evaluate=val")
    swept = ("sweep=custom", "sweep.name='a, b'", "model.estimator.alpha=1e-4,1e-3", "tracking.store=my runs")
    done = command(*words, *swept, cwd=tmp_path / "here")
    assert done.returncode == 0, done.stderr
    done = command("promote", "a, b", "--store", "../here/my runs", cwd=tmp_path / "elsewhere", module="sweeps")
    assert done.returncode == 0, done.stderr
    assert "test accuracy: 0." in done.stdout
    assert not list((tmp_path / "elsewhere").glob("*/mlflow.db"))


def test_a_pruned_trial_is_finished_and_says_so(tmp_path: Path) -> None:
    done = command(
        *(*WORDS[:2], "epochs=4", "sweep=custom", "optimizer.learning_rate=0.01,1e-6", "executor=serial"),
        *("pruner=median", "hydra.sweeper.pruner.n_startup_trials=1", "hydra.sweeper.pruner.n_warmup_steps=0"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    (run,) = Finished(tmp_path, done).runs("tags.state = 'pruned'")
    assert run.info.status == "FINISHED"
    assert "1 complete, 1 pruned of 2 trials" in done.stdout
    (parent,) = Finished(tmp_path, done).runs("tags.kind = 'sweep'")
    assert (tmp_path / parent.info.artifact_uri / "rungs.png").exists()
    planned = command("plan", *WORDS[:2], "epochs=4", "sweep=seeds", cwd=tmp_path, module="sweeps")
    assert "(as an earlier run of this model on these data)" in planned.stdout, "a pruned one is no measure"


def test_runs_that_a_dead_driver_left_are_closed_and_the_sweep_goes_on(tmp_path: Path) -> None:
    words = ("model=softmax_regression", "dataset=digits", "epochs=150", "sweep=seeds", "seed=0,1", "batch_size=8")
    driver = forked.Process("pipeline.train", *words, cwd=tmp_path)
    store = Finished(tmp_path, None)
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        time.sleep(0.3)
        if list(tmp_path.glob("mlruns/sweeps/*/1/log.txt")) and "epoch 2/" in "".join(
            path.read_text() for path in tmp_path.glob("mlruns/sweeps/*/?/log.txt")
        ):
            break
    driver.kill()
    driver.wait()
    assert store.runs("attributes.status = 'RUNNING'")
    study = existing(storage(f"sqlite:///{tmp_path}/mlruns/studies.db"), "seeds-softmax_regression-digits")
    assert {record.state for record in report.summarize(study).trials} == {"running"}
    stopped = forked.Process("pipeline.train", *words, cwd=tmp_path)
    while time.monotonic() < deadline and not list(tmp_path.glob("mlruns/sweeps/*/2/log.txt")):
        time.sleep(0.3)
    stopped.send_signal(signal.SIGTERM)
    _, stderr = stopped.communicate(timeout=60)
    assert stopped.returncode == 143, stderr
    assert not store.runs("attributes.status = 'RUNNING'")
    (parent,) = store.runs("tags.kind = 'sweep'")
    assert (parent.info.status, parent.data.tags["state"]) == ("KILLED", "killed")
    assert {record.state for record in report.summarize(study).trials} == {"waiting"}


def test_a_trial_has_the_latest_run_of_its_number(tmp_path: Path) -> None:
    """Where the studies were deleted and the runs were not."""
    client, experiment = open_store(str(tmp_path), None, "x")
    tags = {"kind": "run", "sweep": "again", "trial": "0"}
    older, newer = (client.create_run(experiment, start, tags).info.run_id for start in (1_000, 2_000))
    other = client.create_run(experiment, 3_000, tags | {"sweep": "another"}).info.run_id
    assert child_runs(client, "again") == {0: newer}
    assert {older, newer, other} == {run.info.run_id for run in client.search_runs([experiment])}


def test_a_sweep_that_ctrl_c_ended_is_killed_and_its_trials_are_whole(tmp_path: Path) -> None:
    words = ("model=softmax_regression", "dataset=digits", "epochs=60", "figures=none", "executor=serial")
    words += ("sweep=custom", "optimizer.learning_rate=0.01,0.02,0.03")
    driver = forked.Process("pipeline.train", *words, cwd=tmp_path)
    for line in driver.stdout:
        if line.startswith("epoch 1/"):
            break
    driver.send_signal(signal.SIGINT)
    out, errors = driver.communicate(timeout=60)
    assert (driver.returncode, errors) == (130, "")
    assert "1 complete of 3 trials; ended: Ctrl-C" in out
    store = Finished(tmp_path, None)
    (parent,) = store.runs("tags.kind = 'sweep'")
    assert (parent.info.status, parent.data.tags["state"]) == ("KILLED", "killed")
    (child,) = store.runs("tags.kind = 'run'")
    assert (child.info.status, child.data.tags["state"]) == ("FINISHED", "complete")
