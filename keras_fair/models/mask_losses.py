"""What the masks' losses of all models share: who counts."""

from keras import ops


def mean_of_masks(loss, counts, gt_index, y):
    """Average over pixels, and over what counts and has a mask.

    Args:
        loss: float32 [B, N, S, S], of each pixel.
        counts: bool [B, N].
        gt_index: int32 [B, N], the object of each.
        y: ground truth, see contract.py. Objects without a mask
            (`has_mask`) do not count.

    Returns:
        float32, scalar; 0 where nothing counts.
    """
    if "has_mask" in y:
        has_mask = ops.take_along_axis(y["has_mask"], gt_index, axis=1)
        counts = ops.logical_and(counts, has_mask)
    loss = ops.where(counts, ops.mean(loss, axis=(2, 3)), 0.0)
    total = ops.sum(ops.cast(counts, "float32"))
    return ops.sum(loss) / ops.maximum(total, 1.0)
