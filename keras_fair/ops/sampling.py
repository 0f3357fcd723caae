"""Draw a fixed number of anchors or RoIs to learn from. Fast R-CNN, 2.3."""

import keras
from keras import ops

from keras_fair.ops import matching


def subsample(label, num_samples: int, positive_fraction: float, seed):
    """Keep a random subset of labels; the others become IGNORE.

    At most int(num_samples * positive_fraction) positives are kept, and
    negatives fill the rest, as far as there are any.

    Args:
        label: int32 [B, N] of POSITIVE, NEGATIVE and IGNORE.
        num_samples: labels to keep in each image.
        positive_fraction: largest part that is POSITIVE.
        seed: int, or a `keras.random.SeedGenerator` that moves on.

    Returns:
        int32 [B, N].
    """
    label = ops.cast(label, "int32")
    key = keras.random.uniform(ops.shape(label), seed=seed)
    max_positives = int(num_samples * positive_fraction)
    positive = label == matching.POSITIVE
    positive = _draw(positive, key, max_positives, max_positives)
    num_positives = ops.sum(ops.cast(positive, "int32"), 1, keepdims=True)
    negative = label == matching.NEGATIVE
    negative = _draw(negative, key, num_samples, num_samples - num_positives)
    return ops.where(ops.logical_or(positive, negative), label, matching.IGNORE)


def _draw(mask, key, most, count):
    """Keep the `count` (int [B, 1] or number) True entries of largest key."""
    key = ops.where(mask, key, -1.0)
    # Padding lets top_k ask for more than there are.
    key = ops.pad(key, ((0, 0), (0, most)), constant_values=-1.0)
    largest, place = ops.top_k(key, most)  # [B, most]
    wanted = ops.logical_and(largest >= 0.0, ops.arange(most) < count)
    image = ops.zeros_like(place) + ops.expand_dims(
        ops.arange(ops.shape(place)[0], dtype=place.dtype), 1
    )
    drawn = ops.scatter_update(
        ops.zeros_like(key, dtype="int32"),
        ops.reshape(ops.stack([image, place], -1), (-1, 2)),
        ops.reshape(ops.cast(wanted, "int32"), (-1,)),
    )
    return drawn[:, : ops.shape(mask)[1]] > 0
