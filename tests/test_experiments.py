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
    "best_single": 326_826,
    "fast99": 162_394,
}


CLASSICAL = {"linear_svc": 7_850, "sgd_classifier": 7_850, "knn": 0, "random_forest": 0, "svc_rbf": 0}
# dataset, what is trained on, optimizer, learning rate, batch size, epochs
PROTOCOLS = {
    "barcode_cnn": "mnist_kaggle train adam 0.001 256 80",
    "cnn": "mnist train_val adam 0.001 128 10",
    "intro_cnn": "mnist train_val adam 0.001 128 6",
    "shallow_cnn": "mnist train nesterov 0.1 64 10",
    "cnn_dropout": "mnist train nesterov 0.01 64 20",
    "softmax_regression": "mnist_pooled train_val adam 0.001 512 30",
    "hidden48": "mnist_pooled train_val adam 0.001 256 50",
    "mlp": "mnist_pooled train_val adam 0.001 256 42",
    "wide_kernel_cnn": "mnist_pooled train_val adam 0.001 256 20",
    "deep_cnn": "mnist_pooled train_val adam 0.001 256 20",
    **dict.fromkeys(CLASSICAL, "mnist_pooled train_val none None None None"),
}


def protocol(experiment: str) -> str:
    cfg = configuration(f"experiment={experiment}")
    rate = cfg.optimizer.get("learning_rate")
    values = (cfg.dataset.name, cfg.train_on, cfg.optimizer.name, rate, cfg.batch_size, cfg.epochs)
    return " ".join(map(str, values))


@pytest.mark.parametrize("experiment", sorted(PROTOCOLS))
def test_an_experiment_follows_its_references_protocol(experiment: str) -> None:
    assert protocol(experiment) == PROTOCOLS[experiment]


def test_what_only_one_experiment_has() -> None:
    barcode, intro = configuration("experiment=barcode_cnn"), configuration("experiment=intro_cnn")
    assert (barcode.repeat, barcode.optimizer.epsilon, barcode.regularizer.l2) == (3, 1e-4, 1e-4)
    assert (barcode.augmentation.name, barcode.dataset.split.val) == ("shift_rotate", 0.2)
    assert (intro.dataset.limit, intro.dataset.split.seed) == (20_000, None)
    for name in ("shallow_cnn", "cnn_dropout"):
        cfg = configuration(f"experiment={name}")
        assert (cfg.dataset.standardize, cfg.dataset.split.val, cfg.dataset.split.seed) == ("pixel_mean", 6000, None)
    hidden = configuration("experiment=hidden48")
    assert (hidden.regularizer.l1, hidden.model.output.kernel_regularizer.l1) == (1e-5, 1e-4)
    softmax = configuration("experiment=softmax_regression")
    assert (softmax.regularizer.l1, softmax.model.output.kernel_initializer) == (1e-6, "zeros")
    knn = configuration("experiment=knn").model.estimator
    assert (knn.n_neighbors, knn.metric) == (10, "manhattan")
    assert configuration("experiment=sgd_classifier").model.estimator.alpha == 1e-4
    assert configuration("experiment=linear_svc").model.estimator.estimator.C == 1


def test_a_group_of_an_experiment_can_be_chosen_anew() -> None:
    plain = configuration("experiment=best_single", "augmentation=none", "dropout=none")
    assert (plain.augmentation.layers, plain.dropout.rate) == ({}, 0)
    for name in ("barcode_cnn", "hidden48", "softmax_regression"):
        assert dict(configuration(f"experiment={name}", "regularizer=none").regularizer) == {"l1": 0, "l2": 0}


def test_the_pooled_cut_is_the_one_of_reference_004(few_digits: Path) -> None:
    from sklearn.model_selection import train_test_split

    with np.load(few_digits) as arrays:
        labels = np.concatenate([arrays["y_train"], arrays["y_test"]])
    _, expected = train_test_split(labels, test_size=0.2, stratify=labels, random_state=42)
    data = datasets.load(configuration("dataset=mnist_pooled", f"dataset.path={few_digits}").dataset)
    assert data.test.labels.tolist() == expected.tolist()


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
    assert outcome.totals["weights"] == (WEIGHTS | CLASSICAL)[experiment]
    assert outcome.test.confusion.sum() == (140 if "mnist_pooled" in protocol(experiment) else 100)
