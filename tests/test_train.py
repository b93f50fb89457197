"""One run through the command line, and what it leaves behind."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import forked
import mlflow
import pytest
from conftest import TINY, FinishedRun, command, configuration
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.models import Model
from omegaconf import OmegaConf

from pipeline import datasets


def only_run(folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[MlflowClient, Run]:
    """The one run of the store below folder, read from there, as its relative paths ask."""
    monkeypatch.chdir(folder)
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    [run] = [
        run for experiment in client.search_experiments() for run in client.search_runs([experiment.experiment_id])
    ]
    return client, run


def test_the_last_lines_say_how_it_went(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    _, run = only_run(finished_run.folder, monkeypatch)
    lines = finished_run.done.stdout.splitlines()
    assert lines[0] == "cnn_dropout with 260,476 weights on mnist5k: 300 / 100 / 100 images of 28x28x1"
    assert lines[1].startswith("epoch 1/2  accuracy 0.")
    assert lines[2].endswith(" s left")
    assert any("test accuracy" in line and f"{run.data.metrics['test_accuracy']:.4f}" in line for line in lines)
    assert any("260,476" in line for line in lines)
    assert any(line.startswith("most confused: ") for line in lines)
    assert lines[-1].endswith(f"python -m pipeline.ui {run.info.run_id}")
    assert finished_run.done.stderr == ""


def test_the_run_is_in_mlflow_by_the_contract(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = only_run(finished_run.folder, monkeypatch)
    assert run.info.status == "FINISHED"
    assert client.get_experiment(run.info.experiment_id).name == "mnist5k"
    for metric in ("train_loss", "train_accuracy", "val_loss", "val_accuracy"):
        assert [point.step for point in client.get_metric_history(run.info.run_id, metric)] == [1, 2]
    once = {
        "best_val_accuracy",
        "best_epoch",
        "test_accuracy",
        "test_loss",
        "weights",
        "train_seconds",
        "images_per_second",
    }
    assert once <= run.data.metrics.keys()
    assert run.data.metrics["weights"] == 260_476
    expected = {"model": "cnn_dropout", "dataset": "mnist5k", "optimizer": "adam", "lr": "0.001", "batch_size": "64"}
    expected |= {"dropout": "0.5", "regularizer": "none", "epochs": "2", "seed": "0", "optimizer.beta_1": "0.8"}
    assert expected.items() <= run.data.params.items()
    assert (run.data.tags["kind"], run.data.tags["state"]) == ("run", "complete")
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=Path(__file__).parent, capture_output=True, text=True)
    assert run.data.tags.get("git_commit", "") == head.stdout.strip()
    [data] = run.inputs.dataset_inputs
    assert run.data.tags["dataset_sha256"].startswith(data.dataset.digest)
    assert data.dataset.name == "mnist5k"


def test_the_artifacts_are_at_the_root_of_the_run(finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    client, run = only_run(finished_run.folder, monkeypatch)
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    layers = ("conv1", "pool1", "conv2", "pool2")
    assert {
        "curves.png",
        "confusion_matrix.png",
        "classification_report.json",
        "config.yaml",
        "model",
        "images",
    } <= names
    assert {f"kernels_{layer}.png" for layer in ("conv1", "conv2")} <= names
    assert {f"feature_maps_{layer}.png" for layer in layers} <= names
    logged = OmegaConf.load(client.download_artifacts(run.info.run_id, "config.yaml"))
    assert logged.model.layers.dropout1.rate == 0.5
    model = Model.load(client.download_artifacts(run.info.run_id, "model"))
    assert model.signature.inputs.to_dict()[0]["tensor-spec"] == {"dtype": "uint8", "shape": (-1, 28, 28, 1)}
    pinned = Path(client.download_artifacts(run.info.run_id, "model/requirements.txt")).read_text().splitlines()
    assert f"keras=={version('keras')}" in pinned
    assert all("==" in line for line in pinned)
    report = json.loads(Path(client.download_artifacts(run.info.run_id, "classification_report.json")).read_text())
    assert report["accuracy"] == pytest.approx(run.data.metrics["test_accuracy"], abs=1e-6)


def test_kernel_images_begin_before_training_and_are_square(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    from PIL import Image

    client, run = only_run(finished_run.folder, monkeypatch)
    images = [Path(item.path) for item in client.list_artifacts(run.info.run_id, "images") if item.path.endswith("png")]
    for layer in ("conv1", "conv2"):
        steps = sorted(int(image.name.split("+")[2]) for image in images if f"kernels~{layer}+" in image.name)
        assert steps == [0, 1, 2]
    with Image.open(client.download_artifacts(run.info.run_id, str(images[0]))) as image:
        assert image.width == image.height >= 256


def test_a_run_litters_nothing_but_mlruns(finished_run: FinishedRun) -> None:
    assert [path.name for path in finished_run.folder.iterdir()] == ["mlruns"]
    kept = {path.name for path in (finished_run.folder / "mlruns").iterdir()}
    assert kept == {"mlflow.db", "artifacts", "hydra", ".lock"}


@pytest.fixture
def moved_folder(finished_run: FinishedRun, tmp_path: Path) -> Iterator[Path]:
    """The finished run's folder under another name, with nothing left at the old one."""
    moved = finished_run.folder.rename(tmp_path / "moved")
    yield moved
    moved.rename(finished_run.folder)


def test_the_folder_can_be_moved_and_the_model_still_loads_and_predicts(
    moved_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stored model, given raw images, has the test accuracy that was logged, from another folder."""
    client, run = only_run(moved_folder, monkeypatch)
    assert Path(client.download_artifacts(run.info.run_id, "curves.png")).read_bytes().startswith(b"\x89PNG")
    model = mlflow.pyfunc.load_model(f"{run.info.artifact_uri}/model")
    test = datasets.load(configuration(*TINY).dataset).test
    accuracy = (model.predict(test.images).argmax(axis=1) == test.labels).mean()
    assert accuracy == pytest.approx(run.data.metrics["test_accuracy"], abs=1e-6)


@pytest.mark.parametrize(
    ("signum", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)],
    ids=["Ctrl-C", "SIGTERM", "closed terminal"],
)
def test_a_signal_ends_the_run_as_killed_and_keeps_what_was_logged(
    signum: int, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if signal.getsignal(signum) is signal.SIG_IGN:
        pytest.skip("is ignored here, as by nohup")
    process = forked.Process("pipeline.train", "model=softmax_regression", *TINY[:3], "epochs=100000", cwd=tmp_path)
    while not process.stdout.readline().startswith("epoch 2/"):  # an epoch is shown when it is logged
        pass
    process.send_signal(signum)
    time.sleep(0.05)
    process.send_signal(signum)  # an impatient person's second one
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in errors
    client, run = only_run(tmp_path, monkeypatch)
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "killed")
    assert len(client.get_metric_history(run.info.run_id, "val_accuracy")) >= 2


def test_what_does_not_fit_is_one_line_and_no_run(tmp_path: Path) -> None:
    done = command(*TINY, "model.layers.conv2.kernel_size=20", cwd=tmp_path)
    assert done.returncode == 1
    layer = "model.layers.conv2: Conv2D(filters=64, kernel_size=20, activation=relu)"
    assert done.stderr.startswith(f"error: {layer} does not fit on 13x13x32")
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "mlruns" / "mlflow.db").exists()


def test_tracking_none_trains_without_mlflow(tmp_path: Path) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-X",
            "importtime",
            "-m",
            "pipeline.train",
            "tracking=none",
            "model=softmax_regression",
            *TINY,
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0
    assert "test accuracy" in done.stdout
    assert "pipeline.ui" not in done.stdout
    assert not any(line.endswith((" mlflow", " mlflow.client")) for line in done.stderr.splitlines())
    assert [path.name for path in (tmp_path / "mlruns").iterdir()] == ["hydra"]


def test_the_other_family_goes_through_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scikit-learn estimator, without Keras being imported, leaves the same names behind."""
    overrides = ("model=sgd_classifier", *TINY[:3])
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-m", "pipeline.train", *overrides],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert not any(line.endswith((" keras", " tensorflow")) for line in done.stderr.splitlines())
    client, run = only_run(tmp_path, monkeypatch)
    assert {"best_val_accuracy", "test_accuracy", "test_loss", "train_loss", "weights"} <= run.data.metrics.keys()
    assert run.data.metrics["weights"] == 7_850
    names = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"curves.png", "confusion_matrix.png", "weight_maps_coefficients.png", "model", "config.yaml"} <= names
    assert "epochs" not in run.data.params


def test_multirun_without_a_sweep_file_is_a_grid_in_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = command("-m", "model=softmax_regression,mlp", *TINY, "figures=none", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("mnist5k").experiment_id], "tags.kind = 'run'")
    assert {run.data.params["model"] for run in runs} == {"softmax_regression", "mlp"}
    assert {run.info.status for run in runs} == {"FINISHED"}
