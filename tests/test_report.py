"""The page of a run: what it says, and that it needs nothing beside itself."""

from pathlib import Path

import pytest
from conftest import CONF, FinishedRun, configuration
from mlflow import MlflowClient
from mlflow.entities import Run
from omegaconf import OmegaConf
from page import Page, check_self_contained

from pipeline import pages, report
from pipeline.explain import explain
from pipeline.run import run

QUICK = ("dataset=digits", "model=softmax_regression", "epochs=1", "batch_size=256")


def only_run(folder: Path) -> tuple[Run, Path]:
    """The run, and the folder of its artifacts."""
    client = MlflowClient(f"sqlite:///{folder}/mlruns/mlflow.db")
    [found] = client.search_runs([each.experiment_id for each in client.search_experiments()])
    return found, folder / found.info.artifact_uri


def test_a_run_tells_its_story_on_one_page(finished_run: FinishedRun) -> None:
    logged, folder = only_run(finished_run.folder)
    page = Page(folder / report.NAME)
    check_self_contained(page)
    assert (folder / report.NAME).stat().st_size < 3e6
    metrics, text = logged.data.metrics, page.text
    right = round(100 * metrics["test_accuracy"])
    assert f"{right} of 100 test images were recognized." in text
    assert f"{metrics['test_accuracy']:.4f} test accuracy" in text
    assert (
        f"{metrics['best_val_accuracy']:.4f} best validation accuracy, epoch {metrics['best_epoch']:.0f} of 2" in text
    )
    assert f"{metrics['test_calibration_error']:.4f} expected calibration error, test" in text
    assert "300 training, 100 validation and 100 test images of 28×28×1 pixels in 10 classes" in text
    assert logged.data.tags["dataset_sha256"] in text
    assert "conv1 26×26×32 320 Conv2D filters 32, kernel_size 3, activation relu" in text
    assert "all 260,476" in text
    for what in ("reproduce", "explain", "predict", "ui"):
        assert f"python -m pipeline.{what} {logged.info.run_id}" in text
    assert "beta_1: 0.8" in text


def test_every_logged_figure_is_on_the_page_with_a_sentence(finished_run: FinishedRun) -> None:
    _, folder = only_run(finished_run.folder)
    page = Page(folder / report.NAME)
    assert set(page.captions) == {path.stem for path in folder.glob("*.png")}
    assert all(caption.endswith(".") for caption in page.captions.values())
    assert page.captions["kernels_conv1"] == page.captions["kernels_conv2"] != page.captions["feature_maps_conv1"]


def test_every_figure_that_can_be_chosen_has_a_sentence() -> None:
    captions = {name for section in OmegaConf.load(report.CAPTIONS).values() for name in section}
    named = {path.stem for path in (CONF / "figures").glob("*.yaml")} - {"none", "standard", "all"}
    assert captions == named | {"weight_matrix"}, "weight_matrix_<layer> comes with weight_maps"


def test_an_estimator_has_a_page_without_figures_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["<b>", r"$a\\b$", "naïve", *"3456789"]
    cfg = configuration("dataset=digits", "model=sgd_classifier", "figures=none", "evaluate=val", "tracking.store=s")
    cfg.dataset.class_names = names
    outcome = run(cfg)
    [file] = tmp_path.glob(f"s/artifacts/*/{outcome.run_id}/artifacts/report.html")
    page = Page(file)
    check_self_contained(page)
    assert f"{outcome.validation.accuracy:.4f} validation accuracy" in page.text
    assert "The test images were not looked at." in page.text
    assert "estimator 10 650 SGDClassifier loss hinge, alpha 0.0001" in page.text
    assert all(name in page.texts for name in names), "names are text, whatever is in them"
    assert f"python -m pipeline.predict {outcome.run_id} three.jpg --store s" in page.text
    assert page.captions == {}


def test_explain_adds_the_page_where_a_run_has_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = run(configuration(*QUICK, "figures=[curves]"))
    _, folder = only_run(tmp_path)
    (folder / report.NAME).unlink()
    explain(outcome.run_id, ["figures=confidence"], "mlruns", None, None)
    assert "\nconfidence.png\nreport.html\n" in capsys.readouterr().out
    assert list(Page(folder / report.NAME).captions) == ["curves", "confidence"], "what the run had, and what is new"
    before = (folder / report.NAME).read_bytes()
    explain(outcome.run_id, ["figures=samples"], "mlruns", None, None)
    assert "report.html: is there already and stays; --output folder draws it anew" in capsys.readouterr().out
    assert (folder / report.NAME).read_bytes() == before


def test_a_page_that_breaks_costs_a_line_and_not_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(pages, "data_uri", lambda _: 1 / 0)
    assert run(configuration(*QUICK, "figures=[curves]")).state == "complete"
    _, folder = only_run(tmp_path)
    assert (folder / "curves.png").exists()
    assert not (folder / report.NAME).exists()
    assert "report.html: could not be written, ZeroDivisionError: division by zero\n" in capsys.readouterr().out
