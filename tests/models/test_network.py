"""The one builder: exact weights, any shape, regularizers, precision."""

import keras
import numpy as np
import pytest
from conftest import CONF, configuration

from pipeline.contracts import Dataset, Split
from pipeline.errors import PipelineError
from pipeline.models import network


def dataset(height: int = 28, width: int = 28, channels: int = 1, classes: int = 10, **changes: object) -> Dataset:
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (20, height, width, channels), dtype=np.uint8)
    split = Split(images, np.arange(20) % classes)
    names = tuple(str(label) for label in range(classes))
    fields = {"scale": 1 / 255, "offset": 0.0} | changes
    return Dataset("random", split, split, split, names, sha256="", **fields)


NETWORKS = [path.stem for path in sorted((CONF / "model").glob("*.yaml")) if "family: network" in path.read_text()]


def test_a_normalization_layer_knows_the_training_images_as_they_reach_it() -> None:
    images = dataset().train.images / 255
    layer = network.build(configuration("model=barcode_cnn"), dataset()).get_layer("normalization")
    assert float(layer.mean[0, 0, 0, 0]) == pytest.approx(images.mean(), abs=1e-4)
    assert float(layer.variance[0, 0, 0, 0]) == pytest.approx(images.var(), abs=1e-4)
    given = ("+model.layers.normalization.mean=0.1", "+model.layers.normalization.variance=4")
    own = network.build(configuration("model=barcode_cnn", *given), dataset()).get_layer("normalization")
    assert float(np.ravel(own.mean)[0]) == pytest.approx(0.1), "a mean of its own stays"


SMALLEST = {"best_single": 26}  # images, where a network's header names a size


@pytest.mark.parametrize("model", NETWORKS)
@pytest.mark.parametrize(("height", "width", "channels", "classes"), [(28, 28, 1, 10), (20, 33, 3, 2), (64, 48, 1, 37)])
def test_shape_and_classes_come_from_the_data(model: str, height: int, width: int, channels: int, classes: int) -> None:
    data = dataset(max(height, SMALLEST.get(model, 0)), width, channels, classes)
    probabilities = network.predict(network.build(configuration(f"model={model}"), data), data.test.images)
    assert probabilities.shape == (20, classes)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("model", SMALLEST)
def test_smaller_images_than_a_network_takes_are_refused(model: str) -> None:
    network.build(configuration(f"model={model}"), dataset(SMALLEST[model], SMALLEST[model]))
    smaller = SMALLEST[model] - 2
    with pytest.raises(PipelineError, match=r"conv7: .* does not fit on"):
        network.build(configuration(f"model={model}"), dataset(smaller, smaller))


def test_a_layer_can_be_changed_added_and_left_out_from_the_command_line() -> None:
    cfg = configuration(
        "model=cnn",
        "model.layers.conv1.filters=8",
        "model.layers.conv2=null",
        "+model.layers.extra={_target_: keras.layers.Dense, units: 7}",
    )
    built = network.build(cfg, dataset())
    assert built.get_layer("conv1").filters == 8
    assert "conv2" not in [layer.name for layer in built.layers]
    assert built.get_layer("output").input.shape == (None, 7)


def test_the_regularizer_reaches_every_kernel_but_a_layers_own_choice_wins() -> None:
    cfg = configuration(
        "model=cnn", "regularizer=l1_l2", "regularizer.l2=0.5", "+model.layers.conv2.kernel_regularizer=null"
    )
    built = network.build(cfg, dataset())
    for name in ("conv1", "dense1", "output"):
        assert float(built.get_layer(name).kernel_regularizer.l2) == 0.5
        assert float(built.get_layer(name).kernel_regularizer.l1) == pytest.approx(1e-5)
    assert built.get_layer("conv2").kernel_regularizer is None
    plain = network.build(configuration("model=cnn"), dataset())
    assert plain.get_layer("conv1").kernel_regularizer is None


def test_augmentation_works_in_training_alone() -> None:
    data = dataset()
    built = network.build(configuration("model=softmax_regression", "augmentation=shift_rotate"), data)
    head = keras.Model(built.inputs, built.get_layer("scaling").output)
    still, moved = head(data.test.images, training=False), head(data.test.images, training=True)
    np.testing.assert_allclose(still, data.test.images / np.float32(255), atol=1e-6)
    assert np.abs(np.asarray(still) - np.asarray(moved)).max() > 0.1


def test_the_scaling_is_part_of_the_model_and_survives_saving(tmp_path) -> None:
    mean = -np.random.default_rng(1).random((28, 28, 1)).astype(np.float32)
    built = network.build(configuration("model=cnn"), dataset(offset=mean))
    assert network.count_weights(built) == 108_618
    built.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    images = dataset().test.images
    np.testing.assert_array_equal(network.predict(again, images), network.predict(built, images))


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml")))
def test_a_model_with_any_augmentation_can_be_read_back(name: str, tmp_path) -> None:
    """Keras 3.15 cannot read back its own RandomShear, for one."""
    network.build(configuration("model=mlp", f"augmentation={name}"), dataset()).save(tmp_path / "model.keras")
    assert keras.saving.load_model(tmp_path / "model.keras", safe_mode=True).get_layer("dense2")


def test_a_layers_lists_are_lists(tmp_path) -> None:
    zoom = ("augmentation=handwriting", "augmentation.layers.zoom.height_factor=[-0.1,0.2]")
    built = network.build(configuration("model=cnn", "model.layers.conv1.kernel_size=[3,5]", *zoom), dataset())
    assert built.get_layer("conv1").kernel.shape == (3, 5, 1, 16)
    built.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", safe_mode=True)
    assert list(again.get_layer("zoom").height_factor) == [-0.1, 0.2]


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_the_softmax_stays_in_float32(precision: str) -> None:
    keras.config.set_dtype_policy(precision)
    try:
        built = network.build(configuration("model=cnn"), dataset())
    finally:
        keras.config.set_dtype_policy("float32")
    assert built.get_layer("conv1").compute_dtype == precision.removeprefix("mixed_")
    assert built.get_layer("output").compute_dtype == "float32"


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (
            ("model.layers.conv2.kernel_size=14",),
            r"model.layers.conv2: Conv2D\(.*kernel_size=14.*does not fit on 13x13x16",
        ),
        (("model.layers.conv1.kernel_size=0",), r"model.layers.conv1: Conv2D"),
        (("model.layers.conv1._target_=keras.layers.Conv9D",), r"model.layers.conv1: Conv9D"),
        (("+model.layers.conv1.colour=3",), r"model.layers.conv1: Conv2D\(.*colour=3.*"),
        (("model.output.activation=softmaxx",), r"model.output: Dense\(activation=softmaxx\)"),
    ],
)
def test_a_layer_that_cannot_be_is_refused_by_name(overrides: tuple[str, ...], line: str) -> None:
    with pytest.raises(PipelineError, match=line) as refusal:
        network.build(configuration("model=cnn", *overrides), dataset())
    assert not set("\n\x1b") & set(str(refusal.value))
