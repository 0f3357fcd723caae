"""Which places of a pyramid propose which object. FPN, appendix A.

A place is a cell of one level as one head sees it. Its mask covers a region:
a square around the middle of the cell, a quarter larger than the objects that
it is for. The head's window is smaller than that: 5 cells, where the region
spans 10 and the object 8. So masks are cut by the region, never the window.

B images, M ground-truth slots, A places of one head and level, N places of
all, S the side of a mask.
"""

import itertools
import math

from keras import ops

from keras_fair.ops import boxes as box_ops
from keras_fair.ops import matching


def size_ranges(sizes: list[float]) -> list[tuple[float, float]]:
    """Return the object sizes that each canonical size stands for.

    An object belongs to the canonical size that is nearest in log space, the
    smallest ones to the smallest and the largest to the largest.

    Example:
        >>> size_ranges([32.0, 128.0])
        [(0.0, 64.0), (64.0, inf)]

    Args:
        sizes: pixels, all different, in any order.

    Returns:
        (from, below) of each, pixels.
    """
    ordered = sorted(sizes)
    # The geometric mean is halfway in log space.
    means = [math.sqrt(a * b) for a, b in itertools.pairwise(ordered)]
    bounds = itertools.pairwise([0.0, *means, math.inf])
    ranges = dict(zip(ordered, bounds, strict=True))
    return [ranges[size] for size in sizes]


def label_places(
    centers, boxes, valid, *, size_range: tuple[float, float], reach: float
):
    """Return the object that each place of one head and level predicts.

    A place is positive where the centre of an object of that size is within
    reach, across and down. Where there are several, the nearest is taken; of
    equally near ones the first.

    Example: the box (10, 10, 40, 30) is of size 30 with its centre at
    (25, 20). At P2 (reach 4) it is predicted by the places around (22, 18),
    (26, 18), (22, 22) and (26, 22).

    Args:
        centers: float32 [A, 2], x and y of the places, pixels.
        boxes: float32 [B, M, 4], xyxy pixels, tight around the masks. An
            object's size is the longer side.
        valid: bool [B, M], False for padding.
        size_range: from and below, pixels.
        reach: pixels; 2^k at level k.

    Returns:
        gt_index: int32 [B, A], 0 where there is none.
        label: int32 [B, A], POSITIVE or NEGATIVE of matching.
    """
    x1, y1, x2, y2 = box_ops.corners(boxes)  # [B, M]
    size = ops.maximum(x2 - x1, y2 - y1)
    low, high = size_range
    fits = ops.logical_and(size >= low, size < high)
    fits = ops.logical_and(fits, valid)
    across = ops.abs(centers[:, :1] - 0.5 * (x1 + x2)[:, None])  # [B, A, M]
    down = ops.abs(centers[:, 1:] - 0.5 * (y1 + y2)[:, None])
    reached = ops.logical_and(across <= reach, down <= reach)
    reached = ops.logical_and(reached, fits[:, None])
    distance = ops.where(reached, across * across + down * down, math.inf)
    gt_index = ops.cast(ops.argmin(distance, axis=-1), "int32")
    label = ops.where(
        ops.any(reached, axis=-1), matching.POSITIVE, matching.NEGATIVE
    )
    return gt_index, ops.cast(label, "int32")


def mask_boxes(masks, regions, threshold: float = 0.5):
    """Return the box around the pixels of each mask, to parts of a cell.

    Between the centres of cells a mask is linear, and 0 outside its region
    (see ops.masks). The box ends where a row or column first crosses the
    threshold.

    Args:
        masks: float [B, N, S, S], 0..1, in the frames of `regions`.
        regions: float32 [B, N, 4], xyxy pixels.
        threshold: of what belongs to the object.

    Returns:
        float32 [B, N, 4], xyxy pixels; no area where no pixel belongs to it.
    """
    masks = ops.cast(masks, "float32")
    size = masks.shape[-1]
    turned = ops.swapaxes(masks, -1, -2)
    top, bottom, left, right = (
        _start(values, threshold)
        for values in (masks, masks[..., ::-1, :], turned, turned[..., ::-1, :])
    )
    cells = ops.stack([left, top, size - right, size - bottom], axis=-1)
    x1, y1, x2, y2 = box_ops.corners(regions)
    corner = ops.stack([x1, y1, x1, y1], axis=-1)
    sides = ops.stack([x2 - x1, y2 - y1] * 2, axis=-1)
    return corner + cells * (sides / size)


def _start(masks, threshold: float):
    """Return where each mask begins from above, in cells; S for nowhere."""
    size = masks.shape[-1]
    above = ops.pad(masks, [[0, 0], [0, 0], [1, 0], [0, 0]])[..., :-1, :]
    enters = ops.logical_and(masks >= threshold, above < threshold)
    rise = ops.where(enters, masks - above, 1.0)
    centers = ops.arange(size, dtype="float32")[:, None] + 0.5
    start = centers - (masks - threshold) / rise
    return ops.min(ops.where(enters, start, float(size)), axis=(-2, -1))
