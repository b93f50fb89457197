"""Datasets that their libraries download once and keep: Keras's in ~/.keras, scikit-learn's in ~/scikit_learn_data."""

import math
import warnings
from collections.abc import Callable

import numpy as np

from pipeline.contracts import Split
from pipeline.datasets.files import npz, whole
from pipeline.datasets.source import Source
from pipeline.device import quiet_start
from pipeline.errors import PipelineError, first_line


def mnist(path: str | None) -> Source:
    """The whole MNIST (LeCun, Cortes & Burges): 60,000 and 10,000 images of 28x28."""
    if path is not None:
        return npz(path)
    with quiet_start():
        from keras.datasets import mnist

    return _download("mnist", mnist.load_data)


def fashion_mnist(path: str | None) -> Source:
    """Fashion-MNIST (Xiao, Rasul & Vollgraf 2017): 60,000 and 10,000 images of 28x28."""
    if path is not None:
        return npz(path)
    with quiet_start():
        from keras.datasets import fashion_mnist

    return _download("fashion_mnist", fashion_mnist.load_data)


def openml(data_id: int) -> Source:
    """A dataset of OpenML whose rows are square grey images, such as mnist_784 (554)."""
    from sklearn.datasets import fetch_openml

    # scikit-learn makes categories of the labels, and fails where pandas 3 makes those numbers
    plain = {"dtype": None, "quotechar": "'"}

    def load() -> tuple[np.ndarray, np.ndarray]:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "A network error occurred")  # each time that it tries again
            return fetch_openml(
                data_id=data_id, return_X_y=True, as_frame=False, parser="auto", n_retries=1, read_csv_kwargs=plain
            )

    rows, labels = _downloaded(f"openml {data_id}", load)
    side = math.isqrt(rows.shape[1])
    try:
        images = whole(np.asarray(rows, np.float32)).reshape(len(rows), side, side)
        return Source(f"openml {data_id}", images, np.asarray(labels, np.float64))
    except (TypeError, ValueError) as error:
        raise PipelineError(
            f"openml {data_id}: must hold square grey images with the labels 0, 1, 2, ... ({first_line(error)})"
        ) from error


def _download(name: str, load_data: Callable) -> Source:
    (images, labels), (test_images, test_labels) = _downloaded(name, load_data)
    return Source(name, images, labels, Split(test_images, test_labels))


def _downloaded(name: str, load: Callable) -> tuple:
    try:
        return load()
    except Exception as error:  # the libraries raise their own, from HTTPError to a bare Exception
        hint = "; a local file does too: dataset.path=..." if "openml" not in name else ""
        raise PipelineError(f"{name}: the download failed ({first_line(error)}){hint}") from error
