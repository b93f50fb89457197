"""A compiled network serves the next run of its shape, which then trains as in a new process."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from conftest import TINY, command, configuration
from omegaconf import DictConfig

from pipeline import datasets, device
from pipeline.contracts import Dataset, History
from pipeline.models import network
from pipeline.training import kept
from pipeline.training import network as training

SMALL = ("dataset=digits", "model=cnn_dropout", "model.layers.conv2=null", "model.layers.pool2=null", "epochs=2")


def prepare(cfg: DictConfig) -> tuple[keras.Model, keras.Model, Dataset]:
    device.prepare(cfg.device, cfg.precision, cfg.seed)
    data = datasets.load(cfg.dataset)
    return *training.prepare(network.build(cfg, data), data, cfg), data


def fit(cfg: DictConfig) -> tuple[keras.Model, History]:
    model, prepared, data = prepare(cfg)
    return model, training.fit(prepared, data, cfg, [])


@pytest.mark.parametrize(
    "shape",
    [
        ("schedule=constant",),
        ("schedule=one_cycle", "optimizer=nesterov"),
        ("schedule=exponential", "optimizer=adamw", "precision=mixed_float16"),
    ],
)
def test_other_numbers_in_the_same_network_give_what_they_give_in_a_new_one(shape: tuple[str, ...]) -> None:
    numbers = ("seed=3", "dropout.rate=0.3", "regularizer.l2=0.01", "optimizer.learning_rate=0.003", "batch_size=32")
    wanted = configuration(*SMALL, *shape, "regularizer=l2", *numbers)
    kept._kept.clear()
    fresh, expected = fit(wanted)
    weights = fresh.get_weights()

    kept._kept.clear()
    earlier, _ = fit(configuration(*SMALL, *shape, "regularizer=l2", "epochs=3"))
    model, found = fit(wanted)
    assert model is earlier
    assert found.epochs == expected.epochs
    for one, other in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert json.loads(model.to_json()) == json.loads(fresh.to_json())  # what is stored says this run's numbers


def test_what_tensorflow_has_compiled_stays_for_the_next_run() -> None:
    def draw() -> float:  # by a kernel with a state, which begins anew where kernels do
        return float(tf.raw_ops.RandomUniform(shape=[1], dtype=tf.float32, seed=1, seed2=2)[0])

    device.prepare("cpu", "float32", 0)
    first = draw()
    device.prepare("cpu", "float32", 0)
    assert draw() != first
    tf.random.set_seed(0)  # and TensorFlow's own is as it was
    assert draw() == first


def test_another_architecture_or_optimizer_is_another_network() -> None:
    kept._kept.clear()
    others = [
        (),
        ("optimizer=nesterov",),
        ("optimizer.beta_1=0.8",),
        ("model.layers.conv1.filters=8",),
        ("regularizer=l1",),
        ("dropout=none",),
        ("schedule=cosine",),
        ("schedule=one_cycle",),
        ("precision=mixed_bfloat16",),
    ]
    models = [prepare(configuration(*SMALL, *words))[0] for words in others]
    assert len({id(model) for model in models}) == len(others)
    assert len(kept._kept) == kept.AT_MOST


@pytest.mark.parametrize(
    "number",
    [
        "+model.layers.dropout1.noise_shape=[null,1,1,16] model.layers.dropout1.rate",
        "+model.layers.conv1.activity_regularizer",
    ],
)
def test_a_number_that_is_no_variable_makes_another_network(number: str) -> None:
    """Of a dropout and of a penalty that are computed as Keras does, the numbers are part of what is compiled."""
    kept._kept.clear()
    *before, key = number.split()
    values = (
        ("0.2", "0.4")
        if before
        else tuple(f"{{_target_: keras.regularizers.L2, l2: {strength}}}" for strength in (0.1, 0.2))
    )
    first, second = (prepare(configuration(*SMALL, *before, f"{key}={value}"))[0] for value in values)
    assert first is not second


def test_normalized_by_other_images_it_is_another_network(write_npz: Callable[..., Path]) -> None:
    """Keras compiles the mean and the variance of a Normalization layer as constants."""
    small = ("model=barcode_cnn", "model.layers.conv2=null", "model.layers.conv3=null", "epochs=1", "batch_size=32")
    cfg = configuration("dataset=npz", f"dataset.path={write_npz()}", *small)
    kept._kept.clear()
    earlier, _ = fit(cfg)
    assert fit(cfg)[0] is earlier

    bright = np.random.default_rng(1).integers(200, 256, (60, 8, 8), dtype=np.uint8)
    write_npz(x_train=bright)
    model, found = fit(cfg)
    kept._kept.clear()
    fresh, expected = fit(cfg)
    assert found.epochs == expected.epochs
    images = bright[..., np.newaxis]
    np.testing.assert_array_equal(network.predict(model, images), network.predict(fresh, images))


def test_a_trial_in_a_warm_worker_has_the_curve_of_a_new_process(tmp_path) -> None:
    from mlflow import MlflowClient

    common = ("model=cnn_dropout", *TINY, "figures=none", "regularizer=l2")
    executor = ("sampler=grid", "executor=local", "executor.slots=1")
    done = command("-m", *common, "optimizer.learning_rate=0.001,0.004", *executor, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = command(*common, "optimizer.learning_rate=0.004", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    client = MlflowClient(f"sqlite:///{tmp_path / 'mlruns' / 'mlflow.db'}")
    found = client.search_runs([client.get_experiment_by_name("mnist5k").experiment_id], "params.lr = '0.004'")
    alone, trial = ([each.value for each in client.get_metric_history(run.info.run_id, "train_loss")] for run in found)
    assert alone == trial
