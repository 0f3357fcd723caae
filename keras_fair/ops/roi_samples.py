"""Where RoIAlign samples the pyramid: its one exact definition.

Mask R-CNN, section 3, as torchvision and Detectron2 compute it. Per axis, in
cells of the RoI's level: start = first / stride - 0.5, size = (last - first)
/ stride (`aligned=False`: no 0.5, and size is at least 1). Bin p of P takes
G samples at start + p * size / P + (i + 0.5) * size / (P * G). A sample below
-1 or above the length counts as 0; otherwise it is clamped into the map and
interpolated between its two neighbours. A bin is the mean of its samples.

B images, R RoIs, P bins per side, C channels, T cells of the whole pyramid.
"""

from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops


class Axis(NamedTuple):
    """One side of every RoI, in cells of its own level; each [B, R]."""

    start: Any  # float32
    size: Any  # float32; may be zero or negative where `aligned`
    length: Any  # int32, cells of the level
    count: Any  # samples per bin: an int, or int32 [B, R]


class Grid(NamedTuple):
    """All that RoIAlign must know of the RoIs."""

    y: Axis
    x: Axis
    origin: Any  # int32 [B, R]: the row of the image's first cell


def level_numbers(features: dict) -> list[int]:
    """Return the levels of {"P2": ..., "P3": ...}, finest first.

    Raises:
        ValueError: no features, a name without a level, or levels with a gap.
    """
    numbers = [int(name[1:]) if name[1:].isdigit() else -1 for name in features]
    if not numbers or -1 in numbers or np.any(np.diff(numbers) != 1):
        raise ValueError(
            "Expected features by consecutive levels, finest first, such as "
            f"{{'P2': ..., 'P3': ...}}. Received: {list(features)}."
        )
    return numbers


def flatten_pyramid(features: dict):
    """Return every cell as one row, [T, C]: by level, image, y, x."""
    rows = [ops.reshape(f, (-1, f.shape[-1])) for f in features.values()]
    return rows[0] if len(rows) == 1 else ops.concatenate(rows, axis=0)


def locate(
    features: dict, boxes, levels, output_size: int, ratio: int, aligned: bool
) -> Grid:
    """Express boxes in cells of their levels and rows of the flat pyramid.

    Args:
        features: {"P2": [B, H, W, C], ...}, consecutive, finest first.
        boxes: float32 [B, R, 4], xyxy pixels of the network input.
        levels: int32 [B, R], a level of `features` each.
        output_size: P.
        ratio: samples per bin and side; 0 takes one per cell, rounded up.
        aligned: whether a cell's value sits at its centre.
    """
    numbers = level_numbers(features)
    shapes = [ops.shape(feature) for feature in features.values()]
    heights = _vector([shape[1] for shape in shapes])
    widths = _vector([shape[2] for shape in shapes])
    batch = shapes[0][0]
    offsets = batch * (ops.cumsum(heights * widths) - heights * widths)
    index = levels - numbers[0]
    scales = np.array([2.0**-n for n in numbers], "float32")
    scale = ops.take(ops.convert_to_tensor(scales), index, axis=0)
    height = ops.take(heights, index, axis=0)  # [B, R]
    width = ops.take(widths, index, axis=0)
    image = ops.arange(batch, dtype="int32")[:, None]
    origin = ops.take(offsets, index, axis=0) + image * height * width
    scaled = boxes * scale[..., None] - (0.5 if aligned else 0.0)
    x1, y1, x2, y2 = (scaled[..., side] for side in range(4))
    rule = (output_size, ratio, aligned)
    return Grid(
        _axis(y1, y2, height, *rule), _axis(x1, x2, width, *rule), origin
    )


def _vector(sides):
    """Stack ints and scalar tensors into an int32 vector."""
    return ops.stack([ops.cast(side, "int32") for side in sides])


def _axis(first, last, length, output_size: int, ratio: int, aligned: bool):
    size = last - first
    if not aligned:
        size = ops.maximum(size, 1.0)
    return Axis(first, size, length, ratio or _cells_per_bin(size, output_size))


def _cells_per_bin(size, output_size: int):
    """Return ceil(size / output_size), int32, at least 0."""
    count = ops.ceil(size / output_size)
    # Graph optimisers divide by multiplying with the reciprocal, which puts
    # 105 / 7 just above 15. Whole multiples are exact, so they decide.
    count = ops.where((count - 1.0) * output_size >= size, count - 1.0, count)
    return ops.cast(ops.maximum(count, 0.0), "int32")


def neighbours(position, length):
    """Return the two cells around each position, and their weights.

    Args:
        position: float32 [...], cells.
        length: int32, broadcastable to it.

    Returns:
        ((low, weight), (high, weight)): int32 and float32 [...]. The weights
        add up to 1, or are both 0 where the sample is too far outside.
    """
    last = ops.cast(length, "float32")
    inside = ops.cast((position >= -1.0) & (position <= last), "float32")
    position = ops.clip(position, 0.0, last - 1.0)
    low = ops.floor(position)
    high = ops.minimum(low + 1.0, last - 1.0)
    share = (position - low) * inside
    return (
        (ops.cast(low, "int32"), inside - share),
        (ops.cast(high, "int32"), share),
    )


def sample_position(start, size, index, bins, output_size: int, count):
    """Return where sample `index` of `count` of each bin lies, in cells."""
    bin_size = size / output_size
    fraction = ops.cast(index, "float32") + 0.5
    count = ops.maximum(ops.cast(count, "float32"), 1.0)
    return start + bins * bin_size + fraction * bin_size / count


def taps(grid: Grid, output_size: int, row_index, column_index) -> list:
    """Return the four cells that one sample of every bin is made of.

    Args:
        grid: of `locate`.
        output_size: P.
        row_index: which sample of the bin: int, or int32 [B, R].
        column_index: likewise along x.

    Returns:
        Four pairs: int32 [B, R, P, P], a row of `flatten_pyramid`, and
        float32 [B, R, P, P], its weight in the bin's mean.
    """
    rows = _axis_taps(grid.y, output_size, row_index)
    columns = _axis_taps(grid.x, output_size, column_index)
    origin = grid.origin[..., None]
    width = grid.x.length[..., None]
    return [
        (
            (origin + row * width)[..., :, None] + column[..., None, :],
            row_weight[..., :, None] * column_weight[..., None, :],
        )
        for row, row_weight in rows
        for column, column_weight in columns
    ]


def _axis_taps(axis: Axis, output_size: int, index):
    """Return two pairs (cell, weight / count), each [B, R, P]."""
    bins = np.arange(output_size, dtype="float32")
    if not isinstance(index, int):
        index = index[..., None]
    count = axis.count if isinstance(axis.count, int) else axis.count[..., None]
    position = sample_position(
        axis.start[..., None],
        axis.size[..., None],
        index,
        bins,
        output_size,
        count,
    )
    share = 1.0 / ops.maximum(ops.cast(count, "float32"), 1.0)
    pairs = neighbours(position, axis.length[..., None])
    return [(cell, weight * share) for cell, weight in pairs]


def sample_pairs(grid: Grid):
    """Return [B, R] how many (row, column) samples each bin has; adaptive."""
    return grid.y.count * grid.x.count


def gather_rows(rows, index):
    """Return rows [T, C] at index [...], which must be within 0..T-1."""
    if keras.backend.backend() == "jax":
        # ops.take would check every index and fill with NaN.
        return rows.at[index].get(mode="promise_in_bounds")
    return ops.take(rows, index, axis=0)


def add_rows(rows, index, updates):
    """Return rows [T, C] with updates [N, C] added at index [N]."""
    if keras.backend.backend() == "jax":
        return rows.at[index].add(updates, mode="promise_in_bounds")
    return ops.scatter_update(rows, index[:, None], updates, reduction="add")
