"""Where the numbers are computed: device, memory, precision, seeds. The one module that imports TensorFlow."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from pipeline.errors import PipelineError


def prepare(device: str, precision: str, seed: int) -> None:
    """Import Keras, place it on `device` (auto, cpu, gpu:N), set the precision policy and every seed.

    A GPU's memory is taken as it is needed. Raises PipelineError where there is no such GPU.
    """
    with quiet_start():
        import keras

        if keras.backend.backend() == "tensorflow":
            _place_tensorflow(device)
        elif device != "auto":
            raise PipelineError(f"device={device}: must be auto with KERAS_BACKEND={keras.backend.backend()}")
    _set_imports_aside()
    keras.backend.clear_session()  # layer names, memory and precision of an earlier run in this process
    keras.config.set_dtype_policy(precision)
    keras.utils.set_random_seed(seed)


@cache
def _set_imports_aside() -> None:
    """What is imported stays: the garbage collector, which clear_session runs, looks at 600,000 objects less."""
    gc.freeze()


def jit_compile() -> str | bool:
    """What to compile models with: on a CPU, XLA makes TensorFlow's convolutions ten times slower.

    Keras's own "auto" asks which devices the machine has, not which of them were chosen.
    """
    import keras

    if keras.backend.backend() != "tensorflow":
        return "auto"
    import tensorflow as tf

    return "auto" if tf.config.get_visible_devices("GPU") else False


def gpus_in_use() -> list[str]:
    """The names of the GPUs that this process computes on; none where it has not imported TensorFlow."""
    if "tensorflow" not in sys.modules:
        return []
    import tensorflow as tf

    gpus = tf.config.get_visible_devices("GPU")
    return [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]


def _place_tensorflow(device: str) -> None:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device.startswith("gpu"):
        number = int(device.removeprefix("gpu:"))
        if number >= len(gpus):
            raise PipelineError(f"device={device}: TensorFlow sees {len(gpus)} GPUs here; take device=auto or cpu")
        gpus = gpus[number : number + 1]
    elif device == "cpu":
        gpus = []
    try:
        tf.config.set_visible_devices(gpus, "GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:  # TensorFlow is in use already: an earlier run of this process has chosen
        if tf.config.get_visible_devices("GPU") != gpus:
            raise PipelineError(f"device={device}: this process already computes elsewhere; start a new one") from None


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
