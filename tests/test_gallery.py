"""Figures by name, while a run trains and later from what it stored."""

import shutil
from contextlib import chdir
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from conftest import CONF, command, configuration
from mlflow import MlflowClient
from omegaconf import OmegaConf

from pipeline import gallery
from pipeline.errors import PipelineError
from pipeline.explain import explain
from pipeline.run import run
from pipeline.tracking.stored import open_run

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
        "stopping: not drawn, there is one epoch",
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


@dataclass(frozen=True)
class Kept:
    """A finished run and the folder that its store is in."""

    folder: Path
    run_id: str


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """cnn on 300 digits for an epoch, with the standard figures."""
    folder = tmp_path_factory.mktemp("kept")
    with chdir(folder):
        return Kept(folder, run(configuration("model=cnn", *SMALL, "epochs=1")).run_id)


def test_explain_adds_what_a_run_lacks_and_leaves_what_it_has(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(kept.folder)
    [curves] = kept.folder.glob("mlruns/artifacts/*/*/artifacts/curves.png")
    before = curves.read_bytes(), curves.stat().st_mtime_ns
    words = ["figures=[curves,kernels_before_after,barcodes]", "figures.kernels_before_after.layers=[conv2]"]
    explain(kept.run_id, words, "mlruns", None, None)
    said = capsys.readouterr().out
    assert "kernels_before_after_conv2.png\n" in said
    assert "curves.png: is there already and stays" in said
    assert "barcodes: not drawn, cnn has no global average pooling\n" in said
    assert (curves.read_bytes(), curves.stat().st_mtime_ns) == before
    found = pictures(kept.folder, kept.run_id)
    assert "kernels_before_after_conv2" in found
    assert "kernels_before_after_conv1" not in found


def test_explain_draws_into_a_folder_the_digits_and_layers_that_are_asked_for(
    kept: Kept, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["figures=feature_maps", "figures.feature_maps.layers=[pool2]", "figures.feature_maps.classes=[3,8]"]
    explain(kept.run_id, words, f"{kept.folder}/mlruns", None, "looked/at")
    assert {path.name for path in (tmp_path / "looked" / "at").iterdir()} == {"feature_maps_pool2.png", "report.html"}
    assert capsys.readouterr().out == "looked/at/feature_maps_pool2.png\nlooked/at/report.html\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("figures=curvs",), "error: figures=curvs: no such option; did you mean curves?"),
        (("figures.samples.per_class=0",), "error: figures.samples.per_class=0: must be a whole number of at least 1"),
        (("figures.kernels.layers=conv1",), "error: figures.kernels.layers=conv1: must be null or a list: [a,b]"),
        (("figures.mistakes=20",), "error: figures.mistakes=20: must be a mapping; values go to the keys in it: "),
        (("figuresx=1",), "error: figuresx=1: the run is what it is"),
        (("epochs=3",), "error: epochs=3: the run is what it is; what can be given is figures=..., dataset.path=..."),
        (("figures.curves.color=red",), "error: figures.curves.color: no such key"),
        ((), "error: 0123abcd: no such run in "),
    ],
)
def test_what_explain_cannot_do_is_one_line(words: tuple[str, ...], line: str, kept: Kept) -> None:
    done = command("0123abcd", *words, cwd=kept.folder, module="pipeline.explain")
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1


def test_a_path_for_data_that_is_no_file_is_one_line(kept: Kept) -> None:
    done = command(kept.run_id, "dataset.path=x.npz", cwd=kept.folder, module="pipeline.explain")
    line = "error: dataset.path=x.npz: must be left out: the run's dataset, mnist5k, has no such key\n"
    assert (done.returncode, done.stderr) == (1, line)


def test_data_that_has_changed_since_is_not_taken_for_the_runs_own(
    write_npz, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_npz()
    own = ("dataset=npz", "dataset.path=data.npz", "model=sgd_classifier", "figures=none")
    outcome = run(configuration(*own))
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


def test_a_figure_that_breaks_costs_a_line_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(gallery.curve_figures, "learning_curves", lambda *_: 1 / 0)
    outcome = run(configuration("dataset=digits", "model=softmax_regression", "epochs=1", "figures=[curves,samples]"))
    assert outcome.state == "complete"
    assert pictures(tmp_path, outcome.run_id) == {"samples"}
    assert "curves: could not be drawn, ZeroDivisionError: division by zero\n" in capsys.readouterr().out


def test_a_run_that_cannot_be_looked_at_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    quick = ("dataset=digits", "model=softmax_regression", "epochs=1", "figures=none", "tracking.store=deep/er/mlruns")
    run_id = run(configuration(*quick)).run_id
    store = Path("deep/er/mlruns")
    assert [path.name for path in tmp_path.iterdir()] == ["deep"]
    assert (store / "mlflow.db").exists(), "a store lies where its path says"
    with open_run(run_id, str(store)) as stored:
        assert stored.history().epochs
    client = MlflowClient(f"sqlite:///{store}/mlflow.db")
    client.set_tag(run_id, "state", "pruned")
    with (
        pytest.raises(PipelineError, match=rf"^{run_id}: did not train to its end \(pruned\)"),
        open_run(run_id, store),
    ):
        pass
    client.set_tag(run_id, "state", "complete")
    client.delete_run(run_id)
    with pytest.raises(PipelineError, match=f"^{run_id}: was deleted"), open_run(run_id, store):
        pass
    client.restore_run(run_id)
    shutil.rmtree(next(store.glob(f"artifacts/*/{run_id}/artifacts/model")))
    with pytest.raises(PipelineError, match=f"^{run_id}: has no model$"), open_run(run_id, "deep/er/mlruns") as stored:
        stored.model()
    (store / "mlflow.db").write_text("notes, not a database" * 100)
    broken = pytest.raises(PipelineError, match="deep/er/mlruns/mlflow.db: file is not a database$")
    with broken, open_run(run_id, "deep/er/mlruns"):
        pass


def test_the_logged_configuration_names_the_figures(kept: Kept) -> None:
    [config] = kept.folder.glob("mlruns/artifacts/*/*/artifacts/config.yaml")
    assert set(OmegaConf.load(config).figures) == set(configuration().figures)
