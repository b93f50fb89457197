"""Where the numbers are computed: device, memory, precision, seeds. The one module that imports TensorFlow or JAX."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING, Any

from pipeline.errors import PipelineError

if TYPE_CHECKING:
    import keras


def prepare(device: str, precision: str, seed: int) -> None:
    """Import Keras, place it on `device` (auto, cpu, gpu:N), set the precision policy and every seed.

    A GPU's memory is taken as it is needed. Raises PipelineError where there is no such GPU, or Keras's backend is not
    installed.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # JAX's way to take memory as it is needed
    with quiet_start():
        try:
            import keras
        except ModuleNotFoundError as error:
            asked = os.environ.get("KERAS_BACKEND", "tensorflow")
            raise PipelineError(
                f"KERAS_BACKEND={asked}: {error}; pip install {asked}, or take tensorflow, jax"
            ) from error
        place = {"tensorflow": _place_tensorflow, "jax": _place_jax}.get(keras.backend.backend())
        if place is not None:
            place(device)
        elif device != "auto":
            raise PipelineError(f"device={device}: must be auto with KERAS_BACKEND={keras.backend.backend()}")
    _set_imports_aside()
    with _compiled_functions_stay():
        # names of an earlier run in this process; its memory comes back when Python next looks for garbage
        keras.backend.clear_session(free_memory=False)
        keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy(precision)


@cache
def _set_imports_aside() -> None:
    """What is imported stays: Python's garbage collector looks at 600,000 objects less."""
    gc.freeze()


@contextmanager
def _compiled_functions_stay() -> Iterator[None]:
    """TensorFlow would drop them, so that random operations with a state begin anew; those of Keras have none.

    A run whose network is kept would have the operations of the one before it optimized all over again.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        yield
        return
    from tensorflow.python import pywrap_tfe

    name = "TFE_ContextClearCaches"  # there is no public switch; where it has another name one day, they are dropped
    drop = getattr(pywrap_tfe, name, None)
    setattr(pywrap_tfe, name, lambda context: None)
    try:
        yield
    finally:
        setattr(pywrap_tfe, name, drop)


def jit_compile() -> str | bool:
    """What to compile models with: on a CPU, XLA makes TensorFlow's convolutions ten times slower.

    Keras's own "auto" asks which devices the machine has, not which of them were chosen.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.get_visible_devices("GPU") else False


def has_fused_batch_normalization(layer: "keras.layers.BatchNormalization") -> bool:
    """Whether TensorFlow computes what this layer asks for as one operation."""
    import keras

    is_usual = layer.center and layer.scale and layer.trainable and not layer.renorm and not layer.synchronized
    is_by_channel = len(layer.input.shape) == 4 and layer.axis in (-1, 3)
    return keras.backend.backend() == "tensorflow" and is_usual and is_by_channel


def fused_batch_normalization(images: Any, gamma: Any, beta: Any, epsilon: float) -> tuple[Any, Any, Any]:
    """Of one batch (n, height, width, channels): (normalized, mean, variance by channel)."""
    import tensorflow as tf

    normalized, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images, scale=gamma, offset=beta, mean=[], variance=[], epsilon=epsilon, is_training=True
    )
    count = tf.cast(tf.size(images) // tf.size(mean), variance.dtype)
    return normalized, mean, variance * (count - 1) / count  # it gives the unbiased estimate


def gpus_in_use() -> list[str]:
    """The names of the GPUs that this process computes on; none where it has not imported Keras."""
    if "keras" not in sys.modules:
        return []
    import keras

    names = {"tensorflow": _tensorflows_gpus, "jax": _jaxs_gpu}.get(keras.backend.backend())
    return names() if names is not None else []


def _place_tensorflow(device: str) -> None:
    import tensorflow as tf

    gpus = _chosen(device, tf.config.list_physical_devices("GPU"), "TensorFlow")
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # TensorFlow is in use already: an earlier run of this process has chosen
        if tf.config.get_visible_devices("GPU") != gpus:
            raise PipelineError(f"device={device}: this process already computes elsewhere; start a new one") from None


def _tensorflows_gpus() -> list[str]:
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _place_jax(device: str) -> None:
    """JAX computes on one device, the first of the fastest kind unless it is told otherwise."""
    import jax

    gpus = _chosen(device, [each for each in jax.devices() if each.platform == "gpu"], "JAX")
    jax.config.update("jax_default_device", gpus[0] if gpus else jax.devices("cpu")[0] if device == "cpu" else None)


def _jaxs_gpu() -> list[str]:
    import jax

    used = jax.config.jax_default_device or jax.devices()[0]
    return [used.device_kind] if used.platform == "gpu" else []


def _chosen(device: str, gpus: list, backend: str) -> list:
    """Of the GPUs that a backend sees, those that `device` names."""
    if device.startswith("gpu"):
        number = int(device.removeprefix("gpu:"))
        if number >= len(gpus):
            raise PipelineError(f"device={device}: {backend} sees {len(gpus)} GPUs here; take device=auto or cpu")
        return gpus[number : number + 1]
    return [] if device == "cpu" else gpus


@contextmanager
def quiet_start() -> Iterator[None]:
    """Hides what TensorFlow's C++ start-up writes to stderr whatever the log level. Python's exceptions still pass."""
    # 3: as an error it also reports what it merely leaves unoptimized; what goes wrong is raised
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    with open(os.devnull, "wb") as devnull:  # noqa: PTH123
        os.dup2(devnull.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
