"""`python -m pipeline.compare`."""

import re
import shutil
from pathlib import Path

import pytest
from conftest import TINY, FinishedRun, command
from mlflow import MlflowClient

from pipeline.compare import show
from pipeline.errors import PipelineError


@pytest.fixture(scope="module")
def store(finished_run: FinishedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The finished run, another seed of it, one with less dropout, and one on other data."""
    folder = tmp_path_factory.mktemp("compare")
    shutil.copytree(finished_run.folder, folder, dirs_exist_ok=True)
    again = ("model=cnn_dropout", *TINY, "optimizer.beta_1=0.8", "figures=none")
    for words in (
        (*again, "seed=1"),
        (*again, "dropout=light", "tracking.run_name=light"),
        ("model=sgd_classifier", "dataset=digits", "figures=none", "tracking.run_name=other"),
    ):
        done = command(*words, cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


def test_a_table_and_a_page_of_what_differs(store: Path) -> None:
    name = "attributes.run_name LIKE 'cnn_dropout%'"
    done = command(name, "light", "other", "--output", "pages/three.html", cwd=store, module="pipeline.compare")
    assert done.returncode == 0, done.stderr
    rows = {line.split("  ")[1].strip(): line.split() for line in done.stdout.splitlines() if line.startswith("  ")}
    assert rows["dropout.rate"][1:] == ["0.5", "0.25", "0"]
    assert "early_stopping.patience" not in done.stdout
    assert re.search(r"B is (not shown to differ from|better than|worse than) A: [+-]\d+\.\d\d \(", done.stdout)
    assert "other data than A, so without a difference from it: C" in " ".join(done.stdout.split())
    assert done.stdout.endswith("pages/three.html\n")

    page = (store / "pages" / "three.html").read_text()
    assert not re.search(r"""(src|href)=["'](?!data:)""", page)  # nothing is loaded from anywhere
    assert page.count('alt="Confusion matrix"') == 2  # the reference's, and how B differs
    assert page.count('alt="Kernels of conv1, ') == 3  # two seeds and B; the classifier has none
    assert len(page) < 1_000_000


def test_runs_that_cannot_be_compared_are_refused(store: Path, tmp_path: Path) -> None:
    client = MlflowClient(f"sqlite:///{store}/mlruns/mlflow.db")
    experiment = client.get_experiment_by_name("digits").experiment_id
    deleted, foreign = (client.create_run(experiment, run_name=name).info.run_id for name in ("gone", "foreign"))
    client.delete_run(deleted)
    page = tmp_path / "page.html"
    for words, reason in (
        (["light"], "light: is one run; a comparison takes two or more"),
        (["light", "nothing"], "nothing: no such run in "),
        (["light", deleted], f"{deleted}: was deleted"),
        (["light", foreign], f"light {foreign}: 2 runs, of which 1 have a config.yaml"),
        (["params.model="], "params.model=: no run has this name, and as a filter: "),
    ):
        with pytest.raises(PipelineError, match=re.escape(reason)):
            show(words, f"{store}/mlruns", uri=None, split=None, page=page)
    assert not page.exists()
