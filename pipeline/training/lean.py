"""A network as it is trained: the layers and weights of the configured one, computed in fewer operations.

The configured network stays as it is: it is what is shown, evaluated and stored. Both have the same variables.
"""

from itertools import pairwise
from typing import Any

import keras
from keras import ops

from pipeline import device


def lean(model: keras.Model) -> keras.Model:
    """A network of the same function as model, which is a chain of layers. What has no shorter way is taken over.

    - Dropout draws a byte for each activation, not 32 bits: its rate becomes a multiple of 1/256.
    - An activation that keeps the order of its inputs comes after the max-pooling, on a quarter of them.
    - Batch normalization is one operation of TensorFlow's where that is the backend, not a dozen.
    """
    x, waiting = model.input, None
    for layer, following in pairwise([*model.layers[1:], None]):
        if _may_wait(layer) and _is_max_pooling(following):
            x, waiting = _WithoutActivation(layer)(x), layer.activation
        else:
            x = _shorter(layer)(x)
            if waiting is not None:
                x, waiting = keras.layers.Activation(waiting, dtype=layer.dtype_policy)(x), None
    return keras.Model(model.input, x, name=model.name)


INCREASING = {keras.activations.relu, keras.activations.sigmoid, keras.activations.tanh, keras.layers.LeakyReLU}


def _may_wait(layer: keras.Layer) -> bool:
    """Whether the maximum of its outputs is the output of the maximum."""
    if type(layer) is not keras.layers.Conv2D or layer.data_format != "channels_last":
        return False
    return layer.activity_regularizer is None and not INCREASING.isdisjoint((layer.activation, type(layer.activation)))


def _is_max_pooling(layer: keras.Layer | None) -> bool:
    return type(layer) is keras.layers.MaxPooling2D


def drops_by_bytes(layer: keras.Layer) -> bool:
    """Whether its rate is a variable of the network that is trained."""
    return type(layer) is keras.layers.Dropout and layer.noise_shape is None and layer.rate > 0


def dropped_of_256(layer: keras.layers.Dropout) -> int:
    """What is kept is divided by the others."""
    return min(round(256 * layer.rate), 255)


def _shorter(layer: keras.Layer) -> keras.Layer:
    if drops_by_bytes(layer):
        return ByteDropout(layer)
    if type(layer) is keras.layers.BatchNormalization and device.has_fused_batch_normalization(layer):
        return _FusedBatchNormalization(layer)
    return layer


class _Shorter(keras.layers.Wrapper):
    """Computes what `layer` would, with its variables."""

    def __init__(self, layer: keras.Layer) -> None:
        super().__init__(layer, name=layer.name, dtype=layer.dtype_policy)


class _WithoutActivation(_Shorter):
    def call(self, inputs: Any) -> Any:
        outputs = self.layer.convolution_op(inputs, self.layer.kernel)
        if self.layer.use_bias:
            outputs = ops.add(outputs, ops.reshape(self.layer.bias, (1, 1, 1, -1)))
        return outputs


class ByteDropout(_Shorter):
    """Four activations share one random word."""

    def __init__(self, layer: keras.layers.Dropout) -> None:
        super().__init__(layer)
        self.dropped = keras.Variable(dropped_of_256(layer), dtype="float32", trainable=False)

    def call(self, inputs: Any, training: bool = False) -> Any:
        if not training:
            return inputs
        count = 1
        for size in inputs.shape[1:]:
            count *= size
        words = keras.random.randint(
            (ops.shape(inputs)[0], -(-count // 4)), -(2**31), 2**31 - 1, "int32", self.layer.seed_generator
        )
        chances = ops.reshape(ops.view(words, "uint8")[:, :count], ops.shape(inputs))
        dropped = ops.cast(self.dropped.value, "float32")
        kept = ops.cast(chances >= ops.cast(dropped, "uint8"), inputs.dtype)
        return inputs * (kept * ops.cast(256 / (256 - dropped), inputs.dtype))


class _FusedBatchNormalization(_Shorter):
    """With the moving averages of keras.layers.BatchNormalization."""

    def call(self, inputs: Any, training: bool = False) -> Any:
        layer = self.layer
        if not training:
            return layer(inputs, training=False)
        outputs, mean, variance = device.fused_batch_normalization(inputs, layer.gamma, layer.beta, layer.epsilon)
        for moving, found in ((layer.moving_mean, mean), (layer.moving_variance, variance)):
            moving.assign(moving * layer.momentum + found * (1 - layer.momentum))
        return outputs
