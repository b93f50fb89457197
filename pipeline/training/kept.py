"""Compiled networks, kept for the next run of this process whose network differs in numbers alone.

To build the operations of a training step takes as long as several short epochs. So learning rates, dropout rates and
penalties are variables of it. A run of the same shape has its own assigned, with its first weights, its seeds and an
empty optimizer, and trains as it would in a new process, bit for bit.
"""

import json
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.optimizers.schedules import LearningRateSchedule

from pipeline import device
from pipeline.training.lean import ByteDropout, dropped_of_256, drops_by_bytes, lean

AT_MOST = 4  # networks; the one that was used longest ago goes first
STEPS_AT_ONCE = 20  # of training, between two looks at the loss: each look waits for the step before it


@dataclass(frozen=True)
class Kept:
    """numbers: all that a run brings along; slots: of its optimizer, with the values that they begin with."""

    model: keras.Model
    prepared: keras.Model
    numbers: list[keras.Variable]
    slots: list[keras.Variable]
    empty: list[np.ndarray]


_kept: dict[str, Kept] = {}


def prepared(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, learning_rate: float | LearningRateSchedule
) -> tuple[keras.Model, keras.Model]:
    """(the network that will be trained, what trains it): of an earlier run where there is one of the same shape.

    The first is shown and stored, the second has its variables and is compiled. learning_rate: the optimizer's.
    """
    shape = _shape(model, optimizer)
    if found := _kept.pop(shape, None):
        dropped = [dropped_of_256(layer) for layer in model.layers if drops_by_bytes(layer)]
        _take_over(found, model, [*model.variables, *dropped, *_numbers(model, optimizer, learning_rate)])
    else:
        found = _compiled(model, optimizer, learning_rate)
    if keras.backend.backend() == "tensorflow":  # elsewhere what is no variable of the model is compiled as a constant
        _kept[shape] = found
        while len(_kept) > AT_MOST:
            del _kept[next(iter(_kept))]
    return found.model, found.prepared


def _compiled(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, learning_rate: float | LearningRateSchedule
) -> Kept:
    short = lean(model)
    _make_variables(model, learning_rate)
    short.compile(
        optimizer=optimizer,
        loss=keras.losses.SparseCategoricalCrossentropy(),
        metrics=["accuracy"],
        steps_per_execution=STEPS_AT_ONCE,
        jit_compile=device.jit_compile(),
    )
    short.optimizer.build(short.trainable_variables)
    dropped = [layer.dropped for layer in short.layers if isinstance(layer, ByteDropout)]
    numbers = [*model.variables, *dropped, *_numbers(model, optimizer, learning_rate)]
    assigned = {id(variable) for variable in numbers}
    slots = [variable for variable in short.optimizer.variables if id(variable) not in assigned]
    return Kept(model, short, numbers, slots, [slot.numpy() for slot in slots])


def _take_over(found: Kept, model: keras.Model, numbers: list[keras.Variable | float]) -> None:
    for variable, value in zip([*found.numbers, *found.slots], [*numbers, *found.empty], strict=True):
        variable.assign(value)
    for layer, new in zip(found.model.layers, model.layers, strict=True):
        for name, value in vars(new).items():
            if name == "rate" or name.endswith("_regularizer"):
                setattr(layer, name, value)  # nothing is computed from it any more, but it is shown and stored


class _Penalty:
    """keras.regularizers.L1L2 with strengths that can be assigned."""

    def __init__(self, of: keras.regularizers.Regularizer) -> None:
        self.l1, self.l2 = (_number(getattr(of, name, 0.0)) for name in ("l1", "l2"))

    def __call__(self, weights: Any) -> Any:
        return self.l1 * ops.sum(ops.abs(weights)) + self.l2 * ops.sum(ops.square(weights))


def _make_variables(model: keras.Model, schedule: float | LearningRateSchedule) -> None:
    """Of penalties' strengths and a schedule's numbers. What the layers say of themselves, what is stored, stays."""
    for weights in model.trainable_variables:
        if type(weights.regularizer).__name__ in STRENGTHS:
            weights.regularizer = _Penalty(weights.regularizer)
    if isinstance(schedule, LearningRateSchedule):
        for name, value in list(vars(schedule).items()):
            if type(value) in (int, float):
                setattr(schedule, name, _number(value))


def _numbers(
    model: keras.Model, optimizer: keras.optimizers.Optimizer, schedule: float | LearningRateSchedule
) -> list[keras.Variable | float]:
    """Penalties' strengths, and the learning rate or its schedule's numbers: variables where they were made so."""
    kinds = (*STRENGTHS, _Penalty.__name__)
    penalties = [weights.regularizer for weights in model.trainable_variables]
    penalties = [penalty for penalty in penalties if type(penalty).__name__ in kinds]
    strengths = [getattr(penalty, name, 0.0) for penalty in penalties for name in ("l1", "l2")]
    if not isinstance(schedule, LearningRateSchedule):
        return [*strengths, optimizer.learning_rate]
    return [*strengths, *(value for value in vars(schedule).values() if type(value) in (int, float, keras.Variable))]


def _number(value: float) -> keras.Variable:
    return keras.Variable(float(value), dtype="float32", trainable=False)


STRENGTHS = {"L1": ("l1",), "L2": ("l2",), "L1L2": ("l1", "l2")}  # of Keras's penalties on weights


def _shape(model: keras.Model, optimizer: keras.optimizers.Optimizer) -> str:
    """What must be equal for the same operations: all but the numbers, of which it matters whether they are zero."""
    of_optimizer = optimizer.get_config()
    schedule = of_optimizer.pop("learning_rate")
    if isinstance(schedule, dict):
        settings = {key: type(value) in (int, float) or value for key, value in schedule["config"].items()}
        schedule = [schedule["class_name"], settings]
    else:
        schedule = "constant"
    layers = [[type(layer).__qualname__, _without_numbers(layer)] for layer in model.layers]
    return json.dumps([model.name, layers, type(optimizer).__name__, of_optimizer, schedule], default=str)


def _without_numbers(layer: keras.Layer) -> dict[str, Any]:
    """What is compiled of a layer: its settings but for those that are variables."""
    settings = layer.get_config()
    if drops_by_bytes(layer):
        settings.pop("rate")
    for name, node in settings.items():
        is_of_weights = name.endswith("_regularizer") and name != "activity_regularizer"
        if is_of_weights and node and node["class_name"] in STRENGTHS:
            used = {key: bool(value) for key, value in node["config"].items()}
            settings[name] = [node["class_name"], used]
    if hasattr(layer, "finalize_state"):  # which makes constants of what the layer has learned from the images
        settings["learned"] = [variable.numpy().tolist() for variable in layer.variables]
    return settings
