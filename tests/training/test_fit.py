"""Keras fit: determinism, schedules, selection, observers."""

import io
from itertools import cycle

import keras
import numpy as np
import pytest
from conftest import CONF, configuration
from omegaconf import DictConfig

from pipeline import datasets, device
from pipeline.contracts import History, Observer
from pipeline.models import network
from pipeline.training import network as training
from pipeline.training import schedules

OPTIMIZERS = sorted({path.stem for path in (CONF / "optimizer").glob("*.yaml")} - {"none"})
SCHEDULES = sorted(path.stem for path in (CONF / "schedule").glob("*.yaml"))
SMALL = ("dataset=digits", "model=mlp", "epochs=4")


def fit(cfg: DictConfig, *observers: Observer) -> tuple[keras.Model, History]:
    device.prepare(cfg.device, cfg.precision, cfg.seed)
    data = datasets.load(cfg.dataset)
    _, prepared = training.prepare(network.build(cfg, data), data, cfg)
    return prepared, training.fit(prepared, data, cfg, observers)


def test_the_same_seed_gives_the_same_numbers_bit_for_bit() -> None:
    overrides = (
        "model=cnn_dropout",
        "dataset.limit=500",
        "dataset.split.val=100",
        "dataset.split.test=100",
        "epochs=2",
    )
    cfg = configuration(*overrides, "augmentation=shift_rotate")
    model, first = fit(cfg)
    weights = model.get_weights()  # a network is kept for the next run
    again, second = fit(cfg)
    assert first.epochs == second.epochs
    for one, other in zip(weights, again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    _, third = fit(configuration(*overrides, "augmentation=shift_rotate", "seed=1"))
    assert third.epochs != first.epochs


@pytest.mark.parametrize(("optimizer", "schedule"), [*zip(OPTIMIZERS, cycle(SCHEDULES))])
def test_every_optimizer_and_schedule_learns_with_every_epoch_counted(optimizer: str, schedule: str) -> None:
    words = (f"optimizer={optimizer}", f"schedule={schedule}", "optimizer.learning_rate=0.01", "epochs=6")
    model, history = fit(configuration(*SMALL, *words))
    losses = [metrics["train_loss"] for metrics in history.epochs]
    assert losses[-1] < losses[0]
    assert len(losses) == 6
    assert int(model.optimizer.iterations) == 6 * 19  # 1,197 images in batches of 64


def test_there_is_an_optimizer_for_each_schedule() -> None:
    assert len(OPTIMIZERS) >= len(SCHEDULES)


def test_the_schedules_end_where_they_say() -> None:
    def at(schedule: keras.optimizers.schedules.LearningRateSchedule, step: int) -> float:
        return float(schedule(step))

    assert schedules.constant(0.1, steps=100) == 0.1
    cosine = schedules.cosine(0.1, steps=100, final_fraction=0.1)
    assert [at(cosine, step) for step in (0, 50, 100)] == pytest.approx([0.1, 0.055, 0.01])
    cycle = schedules.one_cycle(0.1, steps=100, warmup=0.3, initial_fraction=0.04, final_fraction=0.001)
    assert [at(cycle, step) for step in (0, 30, 100)] == pytest.approx([0.004, 0.1, 0.0001], rel=1e-4)
    exponential = schedules.exponential(0.1, steps=100, final_fraction=0.01)
    assert [at(exponential, step) for step in (0, 50, 100)] == pytest.approx([0.1, 0.01, 0.001], rel=1e-4)


@pytest.mark.parametrize("min_delta", [0, 0.2])
def test_early_stopping_and_the_best_weights(min_delta: float) -> None:
    """However coarse the patience counts, the weights that are kept are those of the epoch that is named."""
    stopping = ("early_stopping.patience=3", f"early_stopping.min_delta={min_delta}", "best_weights=true")
    cfg = configuration("dataset=digits", "model=mlp", "optimizer.learning_rate=0.02", *stopping, "epochs=60")
    model, history = fit(cfg)
    assert len(history.epochs) < 60
    data = datasets.load(cfg.dataset)
    accuracy = (network.predict(model, data.val.images).argmax(axis=1) == data.val.labels).mean()
    assert accuracy == pytest.approx(history.best_val_accuracy, abs=1e-6)


def test_on_a_cpu_xla_stays_off() -> None:
    model, _ = fit(configuration(*SMALL))
    assert not model.jit_compile


def test_a_terminal_gets_a_bar_with_accuracy_loss_and_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stdout", terminal)
    fit(configuration(*SMALL))
    shown = terminal.getvalue()
    assert all(word in shown for word in ("epoch", "4/4", "accuracy 0.", "loss ", "val 0.", "left"))


def test_observers_hear_every_epoch_and_one_may_stop_the_run() -> None:
    heard = []

    def stops_at_two(epoch: int, metrics: dict) -> bool:
        return epoch == 2

    def listens(epoch: int, metrics: dict) -> None:
        heard.append((epoch, sorted(metrics)))

    _, history = fit(configuration(*SMALL), stops_at_two, listens)
    names = ["train_accuracy", "train_loss", "val_accuracy", "val_loss"]
    assert heard == [(1, names), (2, names)]
    assert history.stopped_by_observer


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_learns(precision: str) -> None:
    try:
        model, history = fit(configuration("dataset=digits", "model=mlp", "epochs=12", f"precision={precision}"))
    finally:
        keras.config.set_dtype_policy("float32")
    assert model.get_layer("dense1").compute_dtype == precision.removeprefix("mixed_")
    assert history.epochs[-1]["val_accuracy"] > 0.6


def test_an_epoch_may_pass_over_the_images_several_times() -> None:
    model, history = fit(configuration(*SMALL, "repeat=3"))
    assert len(history.epochs) == 4
    assert int(model.optimizer.iterations) == 4 * 57  # 3 * 1,197 images in batches of 64
