"""The page with our numbers beside the references'."""

from pathlib import Path

import numpy as np
import pytest
from conftest import CONF, command, configuration

from pipeline import datasets
from pipeline.results import Measured, Row, read_rows
from pipeline.results_page import spread


@pytest.fixture
def few_digits(tmp_path: Path) -> Path:
    """A folder with mnist.npz: 300 real digits and 100."""
    data = datasets.load(configuration("dataset.limit=500", "dataset.split.val=100", "dataset.split.test=100").dataset)
    (x_train, y_train), (x_test, y_test) = ((part.images, part.labels) for part in (data.train, data.test))
    np.savez(tmp_path / "mnist.npz", x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test)
    return tmp_path


def test_every_experiment_has_a_row() -> None:
    assert {row.experiment for row in read_rows()} == {path.stem for path in (CONF / "experiment").glob("*.yaml")}


def test_it_runs_what_is_missing_and_reads_the_rest(few_digits: Path) -> None:
    words = ("linear_svc", "dataset.path=mnist.npz", "--store", "my/runs", "--output", "page/RESULTS.md")
    first = command(*words, cwd=few_digits, module="pipeline.results")
    assert first.returncode == 0, first.stderr
    assert "run 1 of 1: python -m pipeline.train experiment=linear_svc seed=0 dataset.path=" in first.stdout
    page = (few_digits / "page" / "RESULTS.md").read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| [`linear_svc`]")]
    assert "| 7,850 |" in row
    assert "`python -m pipeline.train experiment=linear_svc seed=0`" in row
    assert "mnist.npz" not in row
    [shown] = [line for line in page.splitlines() if line.startswith("![linear_svc")]
    assert (few_digits / "page" / shown.partition("(")[2].rstrip(")")).read_bytes().startswith(b"\x89PNG")
    accuracy = float(row.split("**")[1].split()[0])
    assert f"Test accuracy by seed: {accuracy:.4f}." in page
    assert "Not run yet: barcode_cnn, cnn, " in page

    again = command(*words, cwd=few_digits, module="pipeline.results")
    assert again.stdout == "page/RESULTS.md: 1 of 18 rows\n"
    assert (few_digits / "page" / "RESULTS.md").read_text() == page

    images = np.load(few_digits / "mnist.npz")
    np.savez(few_digits / "other.npz", **{**images, "y_train": images["y_train"][::-1]})
    other = command("--read", "dataset.path=other.npz", *words[2:], cwd=few_digits, module="pipeline.results")
    assert other.stderr.startswith("error: my/runs: has no run of any row on this data; page/RESULTS.md stays as it is")
    assert (few_digits / "page" / "RESULTS.md").read_text() == page


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("cnnn",), "error: cnnn: has no row; there are barcode_cnn, cnn, "),
        (("cnn", "epochs=1"), "error: epochs=1: a row has its own protocol; what can be given is dataset.path, "),
        (("cnn", "dataset.path=nowhere.npz"), "error: dataset.path="),
        (("cnn", "--read", "dataset.path=nowhere.npz"), "error: dataset.path="),
    ],
)
def test_what_cannot_be_is_one_line(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    done = command(*words, cwd=tmp_path, module="pipeline.results")
    assert done.returncode == 1
    assert done.stderr.startswith(line)
    assert done.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_mean_and_spread_name_their_count() -> None:
    assert spread([0.99, 0.992, 0.994], wanted=3) == "0.9920 ± 0.0020 (3 runs)"
    assert spread([0.99, 0.992], wanted=3) == "0.9910 ± 0.0014 (2 of 3 runs)"
    assert spread([0.99], wanted=1) == "0.9900 (1 run)"


def test_the_difference_is_of_the_mean_on_the_references_split() -> None:
    def run(value: float) -> object:
        data = type("Data", (), {"metrics": {"val_accuracy": value, "test_accuracy": 0.5}})
        return type("Stored", (), {"run": type("Run", (), {"data": data})})

    row = Row("barcode_cnn", "000", 2, (), split="val", figure=0.9889)
    assert Measured(row, (run(0.988), run(0.990))).difference == pytest.approx(0.0001)
    assert Measured(Row("cnn", "001", 2, ()), (run(0.9),)).difference is None
