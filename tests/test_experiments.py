"""The systems of the references: exact weights, and each experiment trains for real on a few digits."""

from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import CONF, configuration

from pipeline import datasets
from pipeline.contracts import Dataset, Split
from pipeline.models import network
from pipeline.run import run

EXPERIMENTS = sorted(path.stem for path in (CONF / "experiment").glob("*.yaml"))
WEIGHTS = {
    "barcode_cnn": 18_813,
    "cnn": 108_618,
    "intro_cnn": 54_410,
    "shallow_cnn": 271_670,
    "cnn_dropout": 260_476,
    "softmax_regression": 7_850,
    "hidden48": 38_170,
    "mlp": 109_386,
    "wide_kernel_cnn": 45_834,
    "deep_cnn": 233_034,
    "small_and_strong": 18_136,
    "best_single": 198_826,
}


@pytest.fixture(scope="module")
def few_digits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Real digits in the layout of mnist.npz: 600 and 100."""
    data = datasets.load(configuration("dataset.limit=700", "dataset.split.val=100", "dataset.split.test=100").dataset)
    path = tmp_path_factory.mktemp("digits") / "mnist.npz"
    images, labels = (
        np.concatenate(parts) for parts in zip(*((s.images, s.labels) for s in (data.train, data.val)), strict=True)
    )
    np.savez(path, x_train=images, y_train=labels, x_test=data.test.images, y_test=data.test.labels)
    return path


@pytest.mark.parametrize("experiment", sorted(WEIGHTS))
def test_an_experiment_has_exactly_the_weights_of_its_reference(experiment: str) -> None:
    images, labels = np.zeros((10, 28, 28, 1), np.uint8), np.arange(10)
    split = Split(images, labels)
    data = Dataset("mnist", split, split, split, tuple("0123456789"), 1 / 255, 0.0, sha256="")
    model = network.build(configuration(f"experiment={experiment}"), data)
    assert network.count_weights(model) == WEIGHTS[experiment]
    untrained = sum(layer.count_params() for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    assert untrained == (3 if experiment == "barcode_cnn" else 0)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_trains_one_tiny_epoch(experiment: str, few_digits: Path) -> None:
    tiny = [f"experiment={experiment}", f"dataset.path={few_digits}", "dataset.limit=null", "dataset.split.val=100"]
    tiny += ["dataset.split.test=100"] if configuration(tiny[0]).dataset.name == "mnist_kaggle" else []
    tiny += ["epochs=1"] if experiment in WEIGHTS else []
    outcome = run(configuration(*tiny, "tracking=none"))
    assert outcome.state == "complete"
    assert outcome.totals["weights"] == (WEIGHTS.get(experiment) or outcome.totals["weights"])
    assert outcome.test.confusion.sum() in (100, 140)
