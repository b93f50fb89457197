"""A run, trained again from its id: with its own code, in a worktree where that is another, or refused in a line."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import chdir
from pathlib import Path

import interpreter
import numpy as np
import pytest
from conftest import clone, command, configuration
from mlflow import MlflowClient
from mlflow.entities import Run

from pipeline.errors import PipelineError
from pipeline.reproduce import reproduce
from pipeline.run import run
from pipeline.tracking import git

QUICK = ("dataset=digits", "model=sgd_classifier", "figures=none")


def again(word: str, store: str | Path = "mlruns", here: bool = False, **paths: str) -> bool:
    return reproduce(word, {f"dataset.{key}": value for key, value in paths.items()}, here, None, str(store), None)


def table(output: str) -> dict[str, list[str]]:
    """The first word of each line of the table -> the words behind it."""
    rows = [line.replace("│", " ").split() for line in output.splitlines() if line.startswith("│")]
    return {row[0]: row[1:] for row in rows}


def worktrees(repository: Path) -> int:
    listed = subprocess.run(["git", "worktree", "list"], cwd=repository, capture_output=True, text=True, check=True)
    return len(listed.stdout.splitlines())


def runs(store: Path, experiment: str, query: str = "") -> list[Run]:
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    return list(client.search_runs([client.get_experiment_by_name(experiment).experiment_id], query))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a run of a network on digits, `original`, of the code as it is here."""
    folder = tmp_path_factory.mktemp("network")
    with chdir(folder):
        run(configuration("dataset=digits", "model=mlp", "epochs=25", "figures=none", "tracking.run_name=original"))
    return folder / "mlruns"


def test_a_network_comes_out_again_bit_for_bit_as_a_run_of_its_own(store: Path, capfd: pytest.CaptureFixture) -> None:
    [original] = runs(store, "digits", "attributes.run_name = 'original'")
    assert again(original.info.run_id[:8], store)
    [repetition] = runs(store, "digits", f"tags.reproduces = '{original.info.run_id}'")
    assert repetition.info.run_name == "original again"
    output = capfd.readouterr().out
    found = table(output)
    assert {found[cause][0] for cause in ("code", "data", "versions", "machine")} == {"same"}
    assert {" ".join(found[effect][:3]) for effect in ("curves", "validation", "test")} == {"bit for bit"}
    assert output.endswith(f"reproduced bit for bit: {original.info.run_id} by {repetition.info.run_id}\n")
    assert repetition.data.metrics["test_loss"] == original.data.metrics["test_loss"]
    [untouched] = runs(store, "digits", "attributes.run_name = 'original'")
    assert (untouched.data.tags, untouched.info.end_time) == (original.data.tags, original.info.end_time)


def test_a_path_for_data_that_is_no_file_is_refused(store: Path) -> None:
    with pytest.raises(PipelineError, match=r"^dataset\.path=x\.npz: must be left out: .* digits, has no such key$"):
        again("original", store, path="x.npz")


@pytest.fixture(scope="module")
def dirty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clone of the project with a run of changed code, `changed`, whose changes have since been thrown away."""
    folder = clone(tmp_path_factory.mktemp("dirty") / "clone")
    file = folder / "pipeline" / "models" / "estimator.py"
    file.write_text(file.read_text().replace("rows(images))", "rows(images[:, ::-1]))"))
    done = command(*QUICK, "tracking.run_name=changed", cwd=folder, fresh=True)
    assert done.returncode == 0, done.stderr
    subprocess.run(["git", "checkout", "-q", "."], cwd=folder, check=True)
    return folder


def test_a_dirty_trees_run_is_trained_with_its_changes_again(
    dirty: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """It predicts upside down: nothing like what the clean code gives, which --here is for."""
    monkeypatch.chdir(dirty)
    monkeypatch.setattr(git, "ROOT", dirty)
    assert again("changed")
    output = capsys.readouterr().out
    assert "and its uncommitted changes, in a temporary worktree\n" in output
    assert table(output)["code"][0] == "same"
    assert "\nreproduced bit for bit: " in output
    assert not again("changed", here=True)
    output = capsys.readouterr().out
    assert table(output)["code"][0] == table(output)["test"][0] == "differs"
    assert "\nnot reproduced: " in output
    assert worktrees(dirty) == 1
    status = subprocess.run(["git", "status", "--porcelain"], cwd=dirty, capture_output=True, text=True, check=True)
    assert status.stdout == ""


def test_ctrl_c_leaves_a_killed_run_and_neither_worktree_nor_file(dirty: Path, store: Path, tmp_path: Path) -> None:
    (dirty / "conf" / "model" / "new.yaml").write_text("name: new\n")  # so that the original's code isn't here
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    before = len(runs(store, "digits"))
    with subprocess.Popen(
        [sys.executable, "-m", "pipeline.reproduce", "original", "--store", str(store)],
        cwd=dirty,
        env={**os.environ, "TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        while not process.stdout.readline().startswith("epoch 1/"):
            pass
        assert worktrees(dirty) == 2
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert (process.returncode, errors) == (130, "")
    [killed] = runs(store, "digits", "attributes.status = 'KILLED'")
    assert (killed.info.run_name, killed.data.tags["state"]) == ("original again", "killed")
    assert len(runs(store, "digits")) == before + 1
    assert worktrees(dirty) == 1
    assert list(temporary.iterdir()) == []


@pytest.fixture(scope="module")
def own_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with data.npz, other.npz and a run, `own`, that was trained on the first."""
    folder = tmp_path_factory.mktemp("own_data")
    images = np.random.default_rng(0).integers(0, 256, (60, 8, 8), dtype=np.uint8)
    labels = np.arange(60) % 3
    for name, labeled in (("data", labels), ("other", labels[::-1])):
        np.savez(folder / f"{name}.npz", x_train=images, y_train=labeled, x_test=images[:9], y_test=labeled[:9])
    with chdir(folder):
        run(configuration("dataset=npz", "dataset.path=data.npz", *QUICK[1:], "tracking.run_name=own"))
    return folder


def test_data_elsewhere_is_found_and_other_data_is_refused(
    own_data: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(own_data)
    monkeypatch.setattr(sys, "executable", interpreter.own())
    Path("data.npz").rename("moved.npz")
    with pytest.raises(
        PipelineError, match=r"^dataset\.path=data\.npz: no such file or folder now; give dataset\.path"
    ):
        again("own")
    assert again("own", path="moved.npz")
    capfd.readouterr()
    with pytest.raises(SystemExit, match="1"):
        again("own", path="other.npz")
    [original] = runs(own_data / "mlruns", "npz", "attributes.run_name = 'own'")
    assert capfd.readouterr().err == (
        f"error: npz: the data is not what run {original.info.run_id} was trained on; its hash differs\n"
    )
    assert len(runs(own_data / "mlruns", "npz")) == 2


def test_what_cannot_be_repeated_is_one_line_and_no_run(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(own_data / "mlruns", tmp_path / "mlruns")
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    [original] = runs(tmp_path / "mlruns", "npz", "attributes.run_name = 'own'")
    run_id, experiment = original.info.run_id, original.info.experiment_id
    before = len(runs(tmp_path / "mlruns", "npz"))

    def refused(word: str) -> str:
        with pytest.raises(PipelineError) as refusal:
            again(word, path=str(own_data / "other.npz"))
        assert "\n" not in str(refusal.value)
        return str(refusal.value)

    assert refused("0123abcd") == "0123abcd: no such run in mlruns"
    sweep = client.create_run(experiment, run_name="many", tags={"kind": "sweep", "sweep": "many"}).info.run_id
    assert refused("many").startswith("many: is a sweep, not a run")
    client.delete_run(sweep)
    assert refused(sweep).startswith(f"{sweep}: was deleted")
    client.set_tag(run_id, "state", "pruned")
    assert refused(run_id).startswith(f"{run_id}: did not train to its end (pruned)")
    client.set_tag(run_id, "state", "complete")
    client.set_tag(run_id, "git_commit", "0" * 40)
    assert refused(run_id).startswith(f"commit {'0' * 40}: is not in ")
    client.delete_tag(run_id, "git_commit")
    assert refused(run_id).startswith(f"{run_id}: does not say which commit it was; --here")
    client.set_tag(run_id, "git_commit", git.commit())
    nonsense = "diff --git a/pipeline/none.py b/pipeline/none.py\n--- a/pipeline/none.py\n+++ b/pipeline/none.py\n"
    client.log_text(run_id, f"{nonsense}@@ -1 +1 @@\n-a\n+b\n", git.UNCOMMITTED)
    assert refused(run_id).startswith("uncommitted.diff: does not apply to commit ")
    [predictions] = tmp_path.glob(f"mlruns/artifacts/*/{run_id}/artifacts/predictions_val.npz")
    predictions.unlink()
    assert refused(run_id).startswith(f"{run_id}: has no stored predictions")
    assert len(runs(tmp_path / "mlruns", "npz")) == before
    assert list((tmp_path / "tmp").iterdir()) == []


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (
            ("--here", "epochs=3"),
            "error: epochs=3: the run is what it is; what can be given is device=..., dataset.path=..., "
            "dataset.test_path=...\n",
        ),
        (("--tolerance", "1.5"), "error: --tolerance 1.5: must be at least 0 and below 1\n"),
    ],
)
def test_what_cannot_be_asked_for_is_one_line(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = command("0123abcd", *words, cwd=tmp_path, module="pipeline.reproduce")
    assert (done.returncode, done.stderr) == (1, line)
