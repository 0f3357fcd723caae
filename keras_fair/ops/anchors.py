"""Anchors of a feature pyramid. FPN, section 4.1; RetinaNet, section 4."""

import numpy as np
from keras import ops


def cell_anchors(sizes, aspect_ratios):
    """Return the anchors of one cell, centred on the origin.

    Args:
        sizes: square roots of the anchors' areas, pixels.
        aspect_ratios: height / width.

    Returns:
        NumPy float32 [sizes * aspect_ratios, 4], xyxy pixels; all ratios of
        the first size come first.
    """
    size = np.asarray(sizes, "float64")[:, None]
    root = np.sqrt(np.asarray(aspect_ratios, "float64"))[None, :]
    half = 0.5 * np.stack([size / root, size * root], axis=-1).reshape(-1, 2)
    return np.concatenate([-half, half], axis=-1).astype("float32")


def rounded_cell_anchors(sizes, aspect_ratios):
    """Return torchvision's cell: whole pixels, all sizes of a ratio first.

    Its published weights need it; sizes are then whole pixels as well.
    """
    count = (len(sizes), len(aspect_ratios), 4)
    cell = cell_anchors(sizes, aspect_ratios).reshape(count)
    return np.round(cell.transpose(1, 0, 2).reshape(-1, 4))


def quantized_cell_anchors(sizes, aspect_ratios, *, stride: int):
    """Return Detectron's cell: its shapes are whole pixels at one stride.

    A square of the stride's side takes each ratio, rounded, and is enlarged.
    Its boxes end with their last pixel; here they are continuous, so that
    `offset` has to be 0.5.

    Example: at stride 16, a ratio of 0.5 gives 23 x 12 pixels, and a size of
    128 eight times that.
    """
    ratios = np.asarray(aspect_ratios, "float64")
    width = np.round(np.sqrt(stride**2 / ratios))
    shape = np.stack([width, np.round(width * ratios)], axis=-1)
    scale = np.asarray(sizes, "float64")[:, None, None] / stride
    half = 0.5 * (scale * shape).reshape(-1, 2)
    return np.concatenate([-half, half], axis=-1).astype("float32")


def pyramid_anchors(
    feature_shapes,
    strides,
    sizes,
    aspect_ratios,
    offset: float = 0.0,
    cell=cell_anchors,
):
    """Tile each level's cell over its feature map.

    Args:
        feature_shapes: one (height, width) per level: integers, or integer
            scalars that are known only when the graph runs.
        strides: one per level, pixels, or a pair (vertical, horizontal).
        sizes: one tuple of sizes per level, see `cell_anchors`.
        aspect_ratios: height / width, the same at all levels.
        offset: of an anchor's centre in its grid cell, in strides. 0 is
            Detectron2's and torchvision's, 0.5 Detectron's.
        cell: a function of sizes and ratios, such as `cell_anchors`.

    Returns:
        float32 [A, 4], xyxy pixels, ordered by level, y, x, anchor. A NumPy
        constant where all shapes are integers, otherwise a tensor.

    Raises:
        ValueError: not the same number of levels everywhere.
    """
    if not len(feature_shapes) == len(strides) == len(sizes):
        raise ValueError(
            "Expected one feature shape, one stride and one tuple of sizes "
            f"per level. Received: {len(feature_shapes)} shapes, "
            f"{len(strides)} strides and {len(sizes)} tuples of sizes."
        )
    levels = [
        _level_anchors(shape, stride, cell(level_sizes, aspect_ratios), offset)
        for shape, stride, level_sizes in zip(feature_shapes, strides, sizes)
    ]
    if all(isinstance(level, np.ndarray) for level in levels):
        return np.concatenate(levels)
    return ops.concatenate(levels)


def _level_anchors(feature_shape, stride, cell, offset):
    height, width = feature_shape
    vertical, horizontal = (
        stride if isinstance(stride, (tuple, list)) else (stride, stride)
    )
    static = all(
        isinstance(value, (int, float, np.number))
        for value in (height, width, vertical, horizontal)
    )
    array = np if static else ops
    x, y = array.meshgrid(
        _centres(array, width, horizontal, offset),
        _centres(array, height, vertical, offset),
    )  # [H, W] each
    centres = array.reshape(array.stack([x, y, x, y], axis=-1), (-1, 1, 4))
    return array.reshape(centres + cell, (-1, 4))


def _centres(array, length, stride, offset):
    index = array.arange(length, dtype="int32")
    if array is np:
        return (index.astype("float32") + np.float32(offset)) * stride
    return (ops.cast(index, "float32") + offset) * ops.cast(stride, "float32")
