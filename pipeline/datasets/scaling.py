"""How raw pixels become a model's input: `pixels * scale + offset`, computed by the model itself."""

import numpy as np

AT_ONCE = 100  # images, so that they stay in the processor's cache


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
        mean, spread = _mean_and_spread(train)
        spread = np.where(spread > 0, spread, 1.0)
        return (1 / spread).astype(np.float32), (-mean / spread).astype(np.float32)
    return 1 / divisor, 0.0


def _mean_and_spread(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of each channel. What np.std does, but a few images at a time: in float64 all are eight times as large."""
    by_channel = tuple(range(images.ndim - 1))
    mean = images.mean(axis=by_channel, dtype=np.float64)
    parts = np.array_split(images, -(-len(images) // AT_ONCE))
    squares = sum(np.square(part - mean).sum(axis=by_channel) for part in parts)
    return mean, np.sqrt(squares * images.shape[-1] / images.size)
