"""The network that is trained computes what the configured one says, with the same variables."""

import keras
import numpy as np
import pytest
from conftest import configuration

from pipeline import datasets, device
from pipeline.contracts import Dataset
from pipeline.models import network
from pipeline.training.lean import lean


def built(*overrides: str) -> tuple[keras.Model, Dataset]:
    cfg = configuration("dataset=digits", "regularizer=l2", *overrides)
    device.prepare("cpu", "float32", 0)
    dataset = datasets.load(cfg.dataset)
    return network.build(cfg, dataset), dataset


@pytest.mark.parametrize("name", ["cnn", "cnn_dropout", "barcode_cnn", "small_and_strong", "deep_cnn"])
def test_the_same_outputs_penalties_and_variables(name: str) -> None:
    model, dataset = built("dataset=mnist5k", f"model={name}", "dropout=none")
    images = dataset.train.images[:64]
    before = [variable.numpy() for variable in model.non_trainable_variables]
    expected = np.asarray(model(images, training=True))
    moved = [variable.numpy() for variable in model.non_trainable_variables]
    for variable, value in zip(model.non_trainable_variables, before, strict=True):
        variable.assign(value)

    short = lean(model)
    np.testing.assert_allclose(short(images, training=True), expected, atol=1e-5)
    for variable, value in zip(short.non_trainable_variables, moved, strict=True):
        np.testing.assert_allclose(variable, value, atol=1e-5)  # moving averages
    np.testing.assert_array_equal(short(images), model(images))
    assert [id(variable) for variable in short.variables] == [id(variable) for variable in model.variables]
    assert float(sum(short.losses)) == float(sum(model.losses)) > 0


@pytest.mark.parametrize("rate", [0.25, 0.4, 0.5])
def test_dropout_drops_its_share_and_keeps_the_mean(rate: float) -> None:
    device.prepare("cpu", "float32", 0)
    inputs = keras.Input((7, 9, 3))  # 189 numbers: not a multiple of the four that share a random word
    dropout = lean(keras.Model(inputs, keras.layers.Dropout(rate)(inputs)))
    first, second = (np.asarray(dropout(np.ones((2000, 7, 9, 3)), training=True)) for _ in range(2))
    assert (first == 0).mean() == pytest.approx(rate, abs=0.004)
    assert first.mean() == pytest.approx(1, abs=0.01)
    assert np.ptp((first == 0).mean(axis=0)) < 0.1  # wherever it stands
    assert (first == second).mean() < 0.7  # each batch anew
    np.testing.assert_array_equal(dropout(np.ones((1, 7, 9, 3))), 1)


def test_what_has_no_shorter_way_is_taken_over() -> None:
    device.prepare("cpu", "float32", 0)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(4, 3, activation="softplus", activity_regularizer="l2")(inputs)
    x = keras.layers.MaxPooling2D(2)(x)
    x = keras.layers.SpatialDropout2D(0.5)(x)
    x = keras.layers.BatchNormalization(axis=1)(x)
    model = keras.Model(inputs, x)
    assert all(one is other for one, other in zip(lean(model).layers[1:], model.layers[1:], strict=True))


def test_dropping_nearly_all_stays_finite() -> None:
    device.prepare("cpu", "float32", 0)
    inputs = keras.Input((50,))
    dropout = lean(keras.Model(inputs, keras.layers.Dropout(0.999)(inputs)))
    assert np.isfinite(dropout(np.ones((100, 50)), training=True)).all()
