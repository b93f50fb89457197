"""Figures by name, while a run trains and later from what it stored."""

from pathlib import Path

import numpy as np
import pytest
from conftest import CONF, FinishedRun, command, configuration
from mlflow import MlflowClient
from omegaconf import OmegaConf

from pipeline.run import run

FIGURES = sorted(
    path.stem for path in (CONF / "figures").glob("*.yaml") if path.stem not in ("none", "standard", "all")
)
SMALL = ("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100")
EVERY_FAMILY = {
    *("samples", "class_counts", "pixel_matrix", "random_kernels", "curves"),
    *("confusion_matrix", "class_report", "mistakes", "sample_probabilities", "confidence", "reliability"),
}
OWN = {
    "barcode_cnn": {
        *("stopping", "barcodes"),
        *(f"{kind}_conv{n}" for kind in ("kernels", "kernels_before_after", "feature_maps") for n in (1, 2, 3)),
        "feature_maps_pool1",
    },
    "mlp": {"stopping", "weight_maps_dense1", "weight_matrix_dense2", "weight_matrix_output"},
    "sgd_classifier": {"weight_maps_coefficients"},
}
LACKING = {
    "barcode_cnn": ["weight_maps: not drawn, no layer of barcode_cnn weighs the pixels themselves"],
    "mlp": [
        "kernels: not drawn, mlp has no convolution",
        "kernels_before_after: not drawn, mlp has no convolution",
        "feature_maps: not drawn, mlp has no convolution or pooling",
        "barcodes: not drawn, mlp has no global average pooling",
    ],
    "sgd_classifier": [
        "stopping: not drawn, sgd_classifier was trained in one go",
        "kernels: not drawn, sgd_classifier has no convolution",
        "kernels_before_after: not drawn, sgd_classifier has no convolution",
        "feature_maps: not drawn, sgd_classifier has no convolution or pooling",
        "barcodes: not drawn, sgd_classifier has no global average pooling",
    ],
}


def pictures(folder: Path, run_id: str) -> set[str]:
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    return {item.path.removesuffix(".png") for item in client.list_artifacts(run_id) if item.path.endswith(".png")}


def test_all_names_every_figure_there_is_and_a_list_names_some() -> None:
    assert sorted(configuration("figures=all").figures) == FIGURES
    assert set(configuration("figures=[barcodes,mistakes]").figures) == {"barcodes", "mistakes"}
    assert configuration("figures=none").figures == {}
    assert set(configuration().figures) < set(FIGURES)


@pytest.mark.parametrize("model", list(OWN))
def test_each_family_draws_what_it_has_and_says_in_a_line_what_it_lacks(
    model: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    epochs = () if model == "sgd_classifier" else ("epochs=2",)
    outcome = run(configuration(f"model={model}", *SMALL, *epochs, "figures=all"))
    assert pictures(tmp_path, outcome.run_id) == EVERY_FAMILY | OWN[model]
    lines = [line for line in capsys.readouterr().out.splitlines() if "not drawn" in line]
    assert lines == LACKING[model]


def test_explain_adds_what_a_run_lacks_and_leaves_what_it_has(
    finished_run: FinishedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = MlflowClient(f"sqlite:///{finished_run.folder}/mlruns/mlflow.db")
    [stored] = client.search_runs([client.get_experiment_by_name("mnist5k").experiment_id])
    monkeypatch.chdir(finished_run.folder)
    curves = Path(stored.info.artifact_uri) / "curves.png"
    before, stamp = curves.read_bytes(), curves.stat().st_mtime_ns
    words = ("figures=[curves,kernels_before_after,barcodes]", "figures.kernels_before_after.layers=[conv2]")
    done = command(stored.info.run_id, *words, cwd=finished_run.folder, module="pipeline.explain")
    assert (done.returncode, done.stderr) == (0, "")
    assert "kernels_before_after_conv2.png\n" in done.stdout
    assert "curves.png: is there already and stays" in done.stdout
    assert "barcodes: not drawn, cnn_dropout has no global average pooling\n" in done.stdout
    assert (curves.read_bytes(), curves.stat().st_mtime_ns) == (before, stamp)
    found = pictures(finished_run.folder, stored.info.run_id)
    assert "kernels_before_after_conv2" in found
    assert "kernels_before_after_conv1" not in found


def test_explain_draws_into_a_folder_the_digits_and_layers_that_are_asked_for(
    finished_run: FinishedRun, tmp_path: Path
) -> None:
    [run_id] = [path.parent.name for path in finished_run.folder.glob("mlruns/artifacts/*/*/artifacts")]
    words = ("figures=feature_maps", "figures.feature_maps.layers=[pool2]", "figures.feature_maps.classes=[3,8]")
    there = (f"--store={finished_run.folder}/mlruns", "--output=pictures")
    done = command(run_id, *words, *there, cwd=tmp_path, module="pipeline.explain")
    assert done.returncode == 0, done.stderr
    assert [path.name for path in (tmp_path / "pictures").iterdir()] == ["feature_maps_pool2.png"]
    assert done.stdout == "pictures/feature_maps_pool2.png\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("figures=curvs",), "error: figures=curvs: no such option; did you mean curves?"),
        (("epochs=3",), "error: epochs=3: the run is what it is; figures=... and dataset.path=... can be chosen"),
        (("figures.curves.color=red",), "error: figures.curves.color: no such key"),
        ((), "error: 0123abcd: no such run in "),
    ],
)
def test_what_explain_cannot_do_is_one_line(words: tuple[str, ...], line: str, finished_run: FinishedRun) -> None:
    done = command("0123abcd", *words, cwd=finished_run.folder, module="pipeline.explain")
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_data_that_has_changed_since_is_not_taken_for_the_runs_own(
    write_npz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_npz()
    own = ("dataset=npz", "dataset.path=data.npz", "model=softmax_regression", "batch_size=8", "figures=none")
    outcome = run(configuration(*own, "epochs=1"))
    assert pictures(tmp_path, outcome.run_id) == set()
    (tmp_path / "data.npz").rename(tmp_path / "moved.npz")
    words = (outcome.run_id, "figures=samples")
    gone = command(*words, cwd=tmp_path, module="pipeline.explain")
    assert gone.stderr == "error: dataset.path=data.npz: no such file or folder now; give dataset.path=...\n"
    moved = command(*words, "dataset.path=moved.npz", cwd=tmp_path, module="pipeline.explain")
    assert moved.returncode == 0, moved.stderr
    write_npz(y_train=np.arange(60)[::-1] % 3)
    changed = command(*words, cwd=tmp_path, module="pipeline.explain")
    assert changed.stderr == (
        f"error: npz: the data is not what run {outcome.run_id} was trained on; its hash differs\n"
    )


def test_the_logged_configuration_names_the_figures(finished_run: FinishedRun) -> None:
    [config] = finished_run.folder.glob("mlruns/artifacts/*/*/artifacts/config.yaml")
    assert set(OmegaConf.load(config).figures) == set(configuration().figures)
