"""Is one configuration better than another? Their runs' right answers compared image by image: a paired test."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import bdtr, stdtr, stdtrit  # scipy.stats takes a second to import

LEVEL = 0.05  # a difference is shown where p is below it; intervals have the rest, 95 %


@dataclass(frozen=True)
class Difference:
    """In accuracy, from a reference to another configuration, over the same images."""

    value: float
    low: float  # of the 95 % interval
    high: float
    p: float
    gained: int  # images that the other gets right more often than the reference
    lost: int


def difference(reference: np.ndarray, other: np.ndarray) -> Difference:
    """Both (runs, images), true where a run is right; the runs of each differ in their seed alone.

    One run each: McNemar's exact test (Psychometrika 12, 1947), which is binomial on the images that only one of the
    two gets right, and the interval of Agresti and Min (Statistics in Medicine 24, 2005). It speaks of these models.

    With replicates it speaks of the configurations: an image counts by the share of runs that get it right, as in
    McNemar's test for clustered pairs (Durkalski et al., Statistics in Medicine 22, 2003), and what seeds differ by
    beyond that is added to the variance, so that t has Satterthwaite's degrees of freedom. Where one side has a single
    run, its seed is taken to be worth as much as the other's.
    """
    images = reference.shape[1]
    each = other.mean(axis=0) - reference.mean(axis=0)
    # half an image more in each of the four cells of the table: sound where few images differ, or none
    center = each.sum() / (images + 2)
    of_images = (np.square(each).sum() + 1 - each.sum() * center) / (images + 2) ** 2
    of_seeds, freedom = _between_seeds(reference, other)
    variance = of_images + of_seeds
    effective = variance**2 / (of_images**2 / (images + 1) + (of_seeds**2 / freedom if freedom else 0))
    reach = stdtrit(effective, 1 - LEVEL / 2) * variance**0.5
    gained, lost = int((each > 0).sum()), int((each < 0).sum())
    if freedom:
        p = 2 * stdtr(effective, -abs(center) / variance**0.5)
    else:
        p = min(1.0, 2 * bdtr(min(gained, lost), gained + lost, 0.5))
    return Difference(float(each.mean()), float(center - reach), float(center + reach), float(p), gained, lost)


def _between_seeds(*sides: np.ndarray) -> tuple[float, int]:
    """The variance that seeds add to the difference of two means, and its degrees of freedom; 0 without replicates.

    The component of seeds in an analysis of variance by seeds and images: that single images come out differently from
    seed to seed is in the variance over images already.
    """
    freedom = sum(len(side) - 1 for side in sides)
    if not freedom:
        return 0.0, 0
    accuracies = [side.mean(axis=1, keepdims=True) for side in sides]
    spread = sum(np.square(means - means.mean()).sum() for means in accuracies) / freedom
    rest = sum(
        np.square(side - side.mean(axis=0) - means + means.mean()).sum()
        for side, means in zip(sides, accuracies, strict=True)
    )
    images = sides[0].shape[1]
    by_chance = rest / (freedom * (images - 1)) / images
    return max(0.0, float(spread - by_chance)) * sum(1 / len(side) for side in sides), freedom


def holm(values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979), in the same order."""
    order = np.argsort(values, kind="stable")
    corrected = np.maximum.accumulate([values[place] * (len(values) - rank) for rank, place in enumerate(order)])
    found = np.empty(len(values))
    found[order] = np.minimum(corrected, 1.0)
    return found.tolist()
