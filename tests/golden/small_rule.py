"""The weights of the small golden model, from their names and shapes alone.

Every filter sums to zero, so that the positive mean which ReLU leaves does
not make all places look alike, and keeps the variance of what it sees.
"""

import zlib

import numpy as np

ZERO_SUM_GAIN = 2 / (1 - 1 / np.pi)  # of the variance, through a ReLU
GAINS = {
    "cls_logits": 0.1,
    "head.bbox_pred": 0.02,
    "box_predictor.bbox_pred": 0.1,
    "cls_score": 0.3,
    "mask_fcn_logits": 0.3,
}


def weight(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Return float32, as the variable of a torchvision model of that name."""
    random = np.random.default_rng(zlib.crc32(name.encode()))
    if name.endswith("running_var"):
        return random.uniform(0.5, 1.5, shape).astype("float32")
    if len(shape) == 1 and name.endswith("weight"):  # of a normalisation
        return random.uniform(0.5, 1.0, shape).astype("float32")
    values = random.standard_normal(shape)
    if len(shape) == 1:
        return (0.1 * values).astype("float32")
    inputs = (0,) if "conv5_mask" in name else tuple(range(1, len(shape)))
    values -= values.mean(inputs, keepdims=True)
    gain = next((g for n, g in GAINS.items() if n in name), ZERO_SUM_GAIN)
    fan_in = np.prod([shape[axis] for axis in inputs])
    return (values * np.sqrt(gain / fan_in)).astype("float32")
