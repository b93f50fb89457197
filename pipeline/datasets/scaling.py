"""How raw pixels become a model's input: `pixels * scale + offset`, computed by the model itself."""

import numpy as np


def scale_and_offset(
    train: np.ndarray, scaling: str | float, standardize: str
) -> tuple[float | np.ndarray, float | np.ndarray]:
    """(scale, offset) for training images (n, height, width, channels).

    Numbers, or arrays that broadcast over an image: a channel's mean and spread for `global`, the mean image for
    `pixel_mean`.
    """
    if scaling == "auto":
        as_it_is = np.issubdtype(train.dtype, np.floating) or train.max() <= 1  # 0 and 1: drawn in black and white
        divisor = 1.0 if as_it_is else float(np.iinfo(train.dtype).max)
    else:
        divisor = 1.0 if scaling == "none" else float(scaling)
    if standardize == "pixel_mean":
        return 1 / divisor, (-train.mean(axis=0, dtype=np.float64) / divisor).astype(np.float32)
    if standardize == "global":
        mean, spread = (f(train, axis=(0, 1, 2), dtype=np.float64) for f in (np.mean, np.std))
        spread = np.where(spread > 0, spread, 1.0)
        return (1 / spread).astype(np.float32), (-mean / spread).astype(np.float32)
    return 1 / divisor, 0.0
