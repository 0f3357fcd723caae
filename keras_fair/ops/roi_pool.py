"""RoIPool and RoIWarp, which RoIAlign is compared with.

Mask R-CNN, section 3 and table 2c. Both round the RoI to whole cells of its
level, ends included. For the ablation, not for speed.

B images, R RoIs, P output side, C channels, T cells of the whole pyramid.
"""

import numpy as np
from keras import ops

from keras_fair.ops import roi_align, roi_samples


def roi_pool(features: dict, boxes, output_size: int):
    """Pool the maximum of each bin of whole cells. Fast R-CNN, section 2.1.

    Args:
        features: {"P2": float [B, H, W, C], ...}, as for `roi_align`.
        boxes: float32 [B, R, 4], xyxy pixels; they get no gradient.
        output_size: P.

    Returns:
        [B, R, P, P, C] in the dtype of the features; 0 in a bin without
        cells. The gradient goes to the first cell that has the maximum.
    """
    levels = _levels(features, boxes)
    boxes = _quantise(boxes, levels)
    grid = roi_samples.locate(features, boxes, levels, output_size, 1, False)
    rows = roi_samples.flatten_pyramid(features)
    y = _bins(grid.y, output_size)
    x = _bins(grid.x, output_size)
    return _pool_maximum(rows, grid, y, x)


def roi_warp(features: dict, boxes, output_size: int, sampling_ratio: int = 2):
    """Resample the rounded RoI bilinearly, as the cited RoIWarp does.

    Args:
        features, boxes, output_size: as for `roi_pool`.
        sampling_ratio: as for `roi_align`.

    Returns:
        [B, R, P, P, C] in the dtype of the features.
    """
    levels = _levels(features, boxes)
    return roi_align.align_at_levels(
        features,
        _quantise(boxes, levels),
        levels,
        output_size,
        sampling_ratio,
        aligned=True,
        implementation="auto",
    )


def _levels(features: dict, boxes):
    numbers = roi_samples.level_numbers(features)
    return roi_align.assign_levels(boxes, numbers[0], numbers[-1])


def _quantise(boxes, levels):
    """Return boxes of whole cells in pixels, at least one cell each way."""
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    # Exact: powers of two.
    stride = ops.cast(ops.left_shift(1, levels), "float32")[..., None]
    cells = boxes / stride
    # Halves away from zero, as C rounds.
    cells = ops.sign(cells) * ops.floor(ops.abs(cells) + 0.5)
    first = cells[..., :2]
    last = ops.maximum(cells[..., 2:], first) + 1.0  # that cell included
    return ops.concatenate([first, last], axis=-1) * stride


def _bins(axis, output_size: int):
    """Return first cell and number of cells of each bin, int32 [B, R, P]."""
    # In integers: size / P * P must not end above size, as floats may.
    size = ops.cast(axis.size, "int32")[..., None]
    start = ops.cast(axis.start, "int32")[..., None]
    length = axis.length[..., None]
    bins = np.arange(output_size, dtype="int32")
    end = (bins + 1) * size + (output_size - 1)  # rounds the division up
    first = ops.clip(start + bins * size // output_size, 0, length)
    stop = ops.clip(start + end // output_size, 0, length)
    return first, stop - first


def _pool_maximum(rows, grid, y: tuple, x: tuple):
    """Return the largest row of each bin, [B, R, P, P, C]."""
    num_rows, num_columns = y[1][..., :, None], x[1][..., None, :]
    cells = num_rows * num_columns  # [B, R, P, P]
    steps = ops.max(cells) if 0 not in cells.shape else 0
    shape = (*ops.shape(cells), rows.shape[-1])

    def candidate(k):
        """Return the index of each bin's k-th cell, row by row."""
        width = ops.maximum(num_columns, 1)
        row = y[0][..., :, None] + k // width
        column = x[0][..., None, :] + k % width
        origin = grid.origin[..., None, None]
        index = origin + row * grid.x.length[..., None, None] + column
        return ops.where(k < cells, index, 0)

    def compare(rows, k, best):
        maximum, winner = best
        index = candidate(k)
        values = ops.cast(roi_samples.gather_rows(rows, index), "float32")
        better = (values > maximum) & (k < cells)[..., None]
        return (
            ops.where(better, values, maximum),
            ops.where(better, index[..., None], winner),
        )

    @ops.custom_gradient
    def pool(rows):
        start = ops.full(shape, -np.inf), ops.full(shape, -1, dtype="int32")
        maximum, winner = ops.fori_loop(
            0, steps, lambda k, best: compare(rows, k, best), start
        )

        def gradient(*upstreams, upstream=None):
            upstream = upstreams[0] if upstream is None else upstream
            return _scatter_winners(rows, winner, upstream)

        pooled = ops.where(winner >= 0, maximum, 0.0)
        return ops.cast(pooled, rows.dtype), gradient

    return pool(rows)


def _scatter_winners(rows, winner, upstream):
    """Add each channel's upstream to the cell that it came from, [T, C]."""
    channels = rows.shape[-1]
    won = winner >= 0
    channel = ops.arange(channels, dtype="int32")
    place = ops.where(won, winner, 0) * channels + channel
    updates = ops.where(won, ops.cast(upstream, "float32"), 0.0)
    total = ops.zeros((ops.shape(rows)[0] * channels, 1), "float32")
    total = roi_samples.add_rows(
        total, ops.reshape(place, (-1,)), ops.reshape(updates, (-1, 1))
    )
    return ops.cast(ops.reshape(total, (-1, channels)), rows.dtype)
