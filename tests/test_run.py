"""The story of a run, in process: pruning through the configuration's own seam."""

from pathlib import Path

import mlflow.sklearn
import pytest
from conftest import configuration
from mlflow import MlflowClient

from pipeline.errors import PipelineError
from pipeline.run import run
from pipeline.tracking import git


def stop_after_two(epoch: int, metrics: dict) -> bool:
    return epoch == 2


def test_an_observer_of_the_configuration_prunes_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    observer = "observers=[{_target_: hydra.utils.get_method, path: test_run.stop_after_two}]"
    outcome = run(configuration("dataset=digits", "model=softmax_regression", "epochs=9", observer))
    assert (outcome.state, outcome.test, len(outcome.history.epochs)) == ("pruned", None, 2)
    logged = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").get_run(outcome.run_id)
    assert (logged.info.status, logged.data.tags["state"]) == ("FINISHED", "pruned")
    assert "test_accuracy" not in logged.data.metrics, "the test split stays untouched"
    assert not list(tmp_path.glob("mlruns/**/report.html")), "a pruned run has no results to tell of"
    assert logged.data.metrics["best_val_accuracy"] == outcome.objective("best_val_accuracy")


def test_a_small_color_dataset_of_two_classes_goes_all_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import numpy as np

    monkeypatch.chdir(tmp_path)
    labels = np.arange(80) % 2
    images = np.random.default_rng(0).integers(0, 128, (80, 20, 24, 3), dtype=np.uint8)
    images[labels == 1, :, :, 0] += 100
    np.savez("colors.npz", x_train=images, y_train=labels, x_test=images[:20], y_test=labels[:20])
    own = ("dataset=npz", "dataset.path=colors.npz", "dataset.name=colors", "dataset.class_names=[dim, reddish]")
    outcome = run(configuration(*own, "model=cnn", "epochs=2", "batch_size=16", "dataset.split.val=0.25"))
    assert outcome.test.confusion.sum() == 20
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    names = {item.path for item in client.list_artifacts(outcome.run_id)}
    assert {"kernels_conv1.png", "feature_maps_pool2.png", "confusion_matrix.png"} <= names
    assert client.get_experiment(client.get_run(outcome.run_id).info.experiment_id).name == "colors"


@pytest.mark.parametrize(("batch_size", "split"), [(64, "training"), (1197, "validation")])
def test_a_loss_that_is_lost_fails_the_run_with_the_epoch_and_a_way_out(
    batch_size: int, split: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one step an epoch, the loss of that step is still finite and the weights are lost after it."""
    monkeypatch.chdir(tmp_path)
    wild = ("dataset=digits", "model=softmax_regression", "dataset.scaling=none", "optimizer=sgd")
    with pytest.raises(PipelineError, match=rf"the {split} loss became \w+ in epoch 1 with .*=1e\+37; try a tenth"):
        run(configuration(*wild, "optimizer.learning_rate=1e37", "epochs=2", f"batch_size={batch_size}"))
    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    [logged] = client.search_runs([client.get_experiment_by_name("digits").experiment_id])
    assert (logged.info.status, logged.data.tags["state"]) == ("FAILED", "failed")


def test_an_infinite_loss_is_lost_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError, match="the training loss became inf in epoch 1"):
        one_step = ("dataset=digits", "model=mlp", "batch_size=1197")  # the next would make it nan
        run(configuration(*one_step, "regularizer=l2", "regularizer.l2=1e39", "tracking=none"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("batch_size=1198",), "batch_size=1198: the training split has 1197 images"),
        (("model.layers.dense1.activation=rellu",), "model.layers.dense1: Dense("),
        (("model.layers.flatten=null",), "model.output: has the shape (8, 8, 10) an image; must be (10,)"),
        (("+model.output.units=15",), "model.output: has the shape (15,) an image; must be (10,)"),
        (("dataset.limit=6000",), "dataset.limit=6000: digits has 1797 images"),
        (("device=gpu:7",), "device=gpu:7: TensorFlow sees"),
        (("optimizer=adamw", "+optimizer.use_ema=true", "+optimizer.ema_momentum=7"), "optimizer=adamw: "),
        (("tracking.uri=http://127.0.0.1:9",), "tracking.uri=http://127.0.0.1:9: no MLflow server answers"),
    ],
)
def test_what_does_not_go_together_is_refused_before_a_run_begins(
    overrides: tuple[str, ...], line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(PipelineError) as refusal:
        run(configuration("dataset=digits", "model=mlp", *overrides))
    assert str(refusal.value).startswith(line)
    assert "\n" not in str(refusal.value)
    assert not (tmp_path / "mlruns").exists()


def test_a_store_that_is_no_database_is_named_and_left_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlruns").mkdir()
    (tmp_path / "mlruns" / "mlflow.db").write_text("notes, not a database" * 100)
    with pytest.raises(PipelineError, match="mlruns/mlflow.db: file is not a database$"):
        run(configuration("dataset=digits", "model=softmax_regression", "epochs=1"))
    assert (tmp_path / "mlruns" / "mlflow.db").read_text().startswith("notes")


def test_a_store_elsewhere_holds_everything_and_says_how_to_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """Two folders that work on one store: artifacts lie in the store, whoever began it."""
    quick = ("dataset=digits", "model=softmax_regression", "epochs=1", "batch_size=512", "figures=[curves]")
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    run(configuration(*quick))
    monkeypatch.chdir(tmp_path / "two")
    outcome = run(configuration(*quick, "tracking.store=../one/mlruns"))
    assert [path.name for path in (tmp_path / "two").iterdir()] == []
    found = list((tmp_path / "one" / "mlruns" / "artifacts").glob(f"*/{outcome.run_id}/artifacts/curves.png"))
    assert len(found) == 1
    assert f"python -m pipeline.ui {outcome.run_id} --store ../one/mlruns\n" in capsys.readouterr().out


def test_a_tracking_uri_takes_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    uri = f"sqlite:///{tmp_path}/own.db"
    outcome = run(configuration("dataset=digits", "model=mlp", "epochs=1", "figures=none", f"tracking.uri={uri}"))
    assert MlflowClient(uri).get_run(outcome.run_id).info.status == "FINISHED"
    assert capsys.readouterr().out.endswith(f"mlflow ui --backend-store-uri {uri}\n")


@pytest.mark.parametrize("target", ["ensemble.RandomForestClassifier", "neighbors.KNeighborsClassifier"])
def test_any_scikit_learn_classifier_is_trained_and_stored(
    target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    cfg = configuration("dataset=digits", "model=sgd_classifier", "model.name=other", "figures=none")
    cfg.model.estimator = {"_target_": f"sklearn.{target}"}
    outcome = run(cfg)
    assert (outcome.state, outcome.totals["weights"]) == ("complete", 0)
    assert outcome.test.accuracy > 0.9
    artifacts = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db").get_run(outcome.run_id).info.artifact_uri
    again = mlflow.sklearn.load_model(f"{artifacts}/model")
    assert again[-1].__class__.__name__ == target.rpartition(".")[2]


def test_names_and_changed_code_survive_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Class names that rich and matplotlib would take for markup; a working tree with changes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.tracking.mlflow._code", lambda: (git.commit(), b"diff --git a/x b/x\n"))  # asked once
    names = [r"[/x]", "[red]", r"$a\\b$", "naïve", *"456789"]
    cfg = configuration("dataset=digits", "model=mlp", "epochs=1")
    cfg.dataset.class_names = names
    outcome = run(cfg)
    [logged] = (tmp_path / "mlruns" / "artifacts").glob(f"*/{outcome.run_id}/artifacts/uncommitted.diff")
    assert logged.read_bytes() == b"diff --git a/x b/x\n"
    assert "</code> with changes" in logged.with_name("report.html").read_text()
    assert set(names) <= outcome.test.report.keys()
