"""The DVC pipeline, in a fresh clone; and its small commands alone."""

import csv
import json
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from conftest import clone, command, configuration

from pipeline.evaluate import write
from pipeline.fetch import fetch
from pipeline.run import run
from pipeline.tracking.stored import open_run

TINY = """
dataset: digits
seed: 0
store: mlruns
overrides: figures=[confusion_matrix]
runs:
  lines: model=sgd_classifier
  neighbors: model=knn
"""


@pytest.mark.skipif(find_spec("dvc") is None, reason="pip install -e '.[dvc]'")
def test_repro_runs_each_stage_once_and_after_an_edit_what_that_touches(tmp_path: Path) -> None:
    folder = clone(tmp_path / "clone")
    (folder / "params.yaml").write_text(TINY)
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}

    def dvc(*words: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=folder, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def ran(*words: str) -> list[str]:
        return re.findall(r"^Running stage '(.*)':$", dvc("repro", *words), re.MULTILINE)

    stages = [
        f"{stage}@{run}" for stage in ("compose", "train", "evaluate", "report") for run in ("lines", "neighbors")
    ]
    assert sorted(ran()) == sorted(["data", *stages])
    assert ran() == []
    for words in (("add", "-A"), ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-qm", "trained")):
        subprocess.run(["git", *words], cwd=folder, check=True)

    file = folder / "conf" / "model" / "knn.yaml"
    file.write_text(file.read_text().replace("n_neighbors: 3", "n_neighbors: 9"))
    assert sorted(ran("evaluate@lines", "evaluate@neighbors", "report@neighbors")) == sorted(
        ["compose@lines", "compose@neighbors", "train@neighbors", "evaluate@neighbors", "report@neighbors"]
    )
    changed = json.loads(dvc("metrics", "diff", "--json"))
    assert list(changed) == ["results/neighbors/metrics.json"]
    assert changed["results/neighbors/metrics.json"]["test_loss"]["diff"] != 0
    [params] = json.loads(dvc("params", "diff", "--json")).values()
    assert params == {"model.estimator.n_neighbors": {"old": 3, "new": 9, "diff": 6}}
    dvc("plots", "diff")
    page = (folder / "dvc_plots" / "index.html").read_text()
    images = re.findall(r'<img src="(.*?)">', page)
    assert len(images) == 4  # of both runs, before and after
    assert all((folder / "dvc_plots" / image).read_bytes().startswith(b"\x89PNG") for image in images)
    assert "http" not in page, "works offline"


def test_a_runs_numbers_and_figures_as_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    words = (
        "dataset=digits",
        "model=sgd_classifier",
        "figures=[curves,confusion_matrix]",
        "tracking.id_file=my/run_id",
    )
    outcome = run(configuration(*words))
    run_id, folder = Path("my/run_id").read_text().strip(), tmp_path / "results"
    assert run_id == outcome.run_id
    with open_run(run_id) as stored:
        write(stored, folder)
    fetch(run_id, folder, "mlruns", None)
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["test_accuracy"] == outcome.test.accuracy
    assert metrics["weights"] == 650
    predictions = list(csv.DictReader((folder / "predictions.csv").open()))
    assert [int(line["actual"]) for line in predictions] == outcome.test.labels.tolist()
    assert [int(line["predicted"]) for line in predictions] == outcome.test.probabilities.argmax(axis=1).tolist()
    [epoch] = csv.DictReader((folder / "curves.csv").open())
    assert float(epoch["val_accuracy"]) == metrics["val_accuracy"]
    assert {file.name for file in (folder / "figures").iterdir()} == {"curves.png", "confusion_matrix.png"}
    assert (folder / "report.html").read_text().startswith("<!doctype html>")


def test_data_is_described_without_training(tmp_path: Path) -> None:
    words = ("dataset=digits", "--output", "out/data.json", "dataset.split.val=100")
    done = command(*words, cwd=tmp_path, module="pipeline.data")
    assert (done.returncode, done.stdout, done.stderr) == (0, "out/data.json\n", "")
    found = json.loads((tmp_path / "out" / "data.json").read_text())
    assert found["images"]["val"] == sum(each["val"] for each in found["images_of_class"].values()) == 100
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
