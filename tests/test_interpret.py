"""Trained models -> arrays."""

import keras
import numpy as np
import pytest
from conftest import configuration

from pipeline import datasets, interpret
from pipeline.models import estimator, network


def test_kernels_and_feature_maps_of_a_network() -> None:
    cfg = configuration("model=cnn")
    data = datasets.load(cfg.dataset)
    model = network.build(cfg, data)
    assert {name: array.shape for name, array in interpret.kernels(model).items()} == {
        "conv1": (3, 3, 1, 16),
        "conv2": (3, 3, 16, 32),
    }
    images = data.test.images[:4]
    maps = interpret.feature_maps(model, images)
    assert {name: array.shape for name, array in maps.items()} == {
        "conv1": (4, 26, 26, 16),
        "pool1": (4, 13, 13, 16),
        "conv2": (4, 11, 11, 32),
        "pool2": (4, 5, 5, 32),
    }
    by_hand = keras.ops.conv(images / np.float32(255), model.get_layer("conv1").kernel) + model.get_layer("conv1").bias
    np.testing.assert_allclose(maps["conv1"], np.maximum(by_hand, 0), atol=1e-5)
    assert interpret.weight_maps(model, data.image_shape) == {}


def test_weight_maps_of_dense_and_linear_models() -> None:
    cfg = configuration("dataset=digits", "model=mlp")
    data = datasets.load(cfg.dataset)
    model = network.build(cfg, data)
    [(name, maps)] = interpret.weight_maps(model, data.image_shape).items()
    assert (name, maps.shape) == ("dense1", (128, 8, 8, 1))
    np.testing.assert_array_equal(maps[5].ravel(), np.asarray(model.get_layer("dense1").kernel)[:, 5])
    assert interpret.kernels(model) == {}
    assert interpret.feature_maps(model, data.test.images[:2]) == {}

    linear = estimator.build(configuration("dataset=digits", "model=sgd_classifier"), data)
    linear.fit(estimator.rows(data.train.images), data.train.labels)
    assert interpret.weight_maps(linear, data.image_shape)["coefficients"].shape == (10, 8, 8, 1)
    assert interpret.kernels(linear) == {}
    assert interpret.feature_maps(linear, data.test.images[:2]) == {}


def test_every_kind_of_convolution_shows_its_kernels() -> None:
    pixels = keras.Input((12, 12, 3))
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2, name="depthwise")(pixels)
    x = keras.layers.SeparableConv2D(5, 3, name="separable")(x)
    x = keras.layers.Conv2DTranspose(4, 3, name="transpose")(x)
    model = keras.Model(pixels, x)
    assert {name: array.shape for name, array in interpret.kernels(model).items()} == {
        "depthwise": (3, 3, 1, 6),
        "separable": (3, 3, 1, 6),
        "transpose": (3, 3, 5, 4),
    }
    maps = interpret.feature_maps(model, np.zeros((2, 12, 12, 3), np.float32))
    assert list(maps) == ["depthwise", "separable", "transpose"]


def test_a_barcode_is_each_maps_average() -> None:
    cfg = configuration("model=barcode_cnn")
    data = datasets.load(cfg.dataset)
    model = network.build(cfg, data)
    images = data.test.images[:3]
    codes = interpret.barcodes(model, images)
    np.testing.assert_allclose(codes, interpret.feature_maps(model, images)["conv3"].mean(axis=(1, 2)), atol=1e-5)
    assert interpret.barcodes(network.build(configuration("model=cnn"), data), images) is None


def test_distances_within_a_class_and_between_classes() -> None:
    codes = np.array([[0.0, 0], [0, 2], [10, 0], [10, 2]])
    within, between = interpret.distances(codes, np.array([0, 0, 1, 1]))
    assert within == pytest.approx(2)
    assert between == pytest.approx((10 + 10 + 2 * np.hypot(10, 2)) / 4)
    assert np.isnan(interpret.distances(codes[:2], np.array([0, 1]))[0]), "no two images of one class"


def test_edge_detection_is_blind_to_flat_areas() -> None:
    image = np.zeros((8, 8))
    image[:, 4:] = 5
    kernels = interpret.random_kernels(count=2, seed=0)
    assert kernels.shape == (3, 3, 3)
    edges = interpret.convolve(image, kernels)[-1]
    assert set(np.flatnonzero(edges.any(axis=0))) == {3, 4}
