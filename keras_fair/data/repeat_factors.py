"""How often an image trains in an epoch, so that rare classes are seen.

Gupta, Dollár, Girshick: LVIS, CVPR 2019, appendix B: repeat factor sampling.
Needs no TensorFlow.
"""

from collections.abc import Sequence

import numpy as np


def image_factors(labels: Sequence, threshold: float):
    """Return how often each image is due in an epoch, on average.

    A class in the share f of the images has the factor
    max(1, sqrt(threshold / f)), and an image the largest of its classes'.

    Example: with a threshold of 0.01, a class in one of 400 images has the
    factor 2, and so has every image that shows it.

    Args:
        labels: of each image, int [its objects]; 0 objects have factor 1.
        threshold: share of the images, 0 to 1; more frequent classes have
            factor 1. LVIS takes 0.001; at 0 all images have 1.

    Returns:
        float64 [n], 1 or more.

    Raises:
        ValueError: another threshold.
    """
    if not 0 <= threshold <= 1:
        raise ValueError(
            "Expected a repeat_threshold from 0 (off) to 1, the share of "
            "images below which a class is rare (LVIS: 0.001). Received: "
            f"{threshold}."
        )
    factors = np.ones(len(labels))
    if not threshold or not any(map(len, labels)):
        return factors
    present = [np.unique(each) for each in labels]
    share = np.bincount(np.concatenate(present)) / len(present)
    of_class = np.sqrt(threshold / np.maximum(share, 1 / len(present)))
    for index, classes in enumerate(present):
        factors[index] = of_class[classes].max(initial=1.0)
    return factors


def draw(factors, rng: np.random.Generator):
    """Return which images an epoch has: int64 [m], ascending, m >= n.

    An image of factor 2.3 is there twice, and a third time in three epochs
    of ten.

    Args:
        factors: float [n], 1 or more.
        rng: decides the fractions.
    """
    whole = np.floor(factors).astype(np.int64)
    more = rng.random(len(whole)) < factors - whole
    return np.repeat(np.arange(len(whole)), whole + more)
