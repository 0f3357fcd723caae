"""Sizes of images after resizing, and the canvases that hold them, in NumPy."""

import dataclasses

import numpy as np

from keras_fair.config import DataConfig
from keras_fair.contract import STRIDE


def resized_shapes(shapes, short_sides, max_long_side: int, rule="bilinear"):
    """Fit images to a short side unless the long one becomes too long.

    The rounding is Detectron2's: half up, after both scalings. Under the rule
    "floor" it is torchvision's: down, after the smaller of both.

    Args:
        shapes: int [n, 2], height and width, pixels.
        short_sides: float or int [n] or scalar, wanted shorter side, pixels.
        max_long_side: pixels.
        rule: see `transforms.RESIZE_RULES`.

    Returns:
        int32 [n, 2], at least 1.
    """
    shapes = np.asarray(shapes, np.float64)
    scale = np.asarray(short_sides, np.float64) / shapes.min(-1)
    if rule == "floor":
        scale = np.minimum(scale, max_long_side / shapes.max(-1))
        resized = np.floor(shapes * scale[..., None])
    else:
        resized = shapes * scale[..., None]
        shrink = np.minimum(1.0, max_long_side / resized.max(-1))
        resized = np.floor(resized * shrink[..., None] + 0.5)
    return np.maximum(resized, 1).astype(np.int32)


def choose_canvas(shapes, canvases):
    """Return the index of the smallest canvas that holds each image.

    Args:
        shapes: int [n, 2], height and width after resizing, pixels.
        canvases: [c, 2], height and width, pixels.

    Returns:
        int [n], -1 where none does. The first of equal area wins.
    """
    canvases = np.asarray(canvases)
    holds = (np.asarray(shapes)[:, None] <= canvases).all(-1)  # [n, c]
    area = np.where(holds, canvases.prod(-1), np.iinfo(np.int64).max)
    return np.where(holds.any(-1), area.argmin(-1), -1)


def check_sizes(shapes, config: DataConfig) -> None:
    """Check that every image fits a canvas at its largest.

    Args:
        shapes: int [n, 2], heights and widths of the images, pixels.
        config: sizes and canvases.

    Raises:
        ValueError: sizes that are not above 0, canvases that do not divide
            by the stride, or an image that fits none.
    """
    low, high = config.scale_jitter
    positive = (*config.short_sides, config.max_long_side, low)
    if not config.short_sides or min(positive) <= 0 or high < low:
        raise ValueError(
            "Expected short_sides and max_long_side above 0 and scale_jitter "
            f"as (low, high). Received: {config.short_sides}, "
            f"{config.max_long_side}, {config.scale_jitter}."
        )
    sides = np.asarray(config.canvases)
    if sides.ndim != 2 or (sides < 1).any() or (sides % STRIDE).any():
        raise ValueError(
            "Expected canvases as pairs (height, width) that divide by "
            f"{STRIDE}, the stride of C5. Received: {config.canvases}."
        )
    largest = max(config.short_sides) * max(1.0, high)
    resized = resized_shapes(
        shapes, largest, config.max_long_side, config.resize
    )
    is_homeless = choose_canvas(resized, config.canvases) < 0
    if is_homeless.any():
        needed = -(-resized[is_homeless].max(0) // STRIDE) * STRIDE
        raise ValueError(
            f"{is_homeless.sum()} images fit none of the canvases "
            f"{config.canvases} after resizing; the first has (height, "
            f"width) {tuple(resized[is_homeless][0].tolist())}. Add the "
            f"canvas {tuple(needed.tolist())} to data.canvases, or lower "
            "data.short_sides, data.max_long_side or data.scale_jitter."
        )


def at_short_side(config: DataConfig, short_side: int) -> DataConfig:
    """Return the config for another size of the images, without jitter.

    The longest side and the canvases grow or shrink in proportion, so that
    an image of any shape keeps its place; canvases round up to the stride.

    Args:
        config: sizes and canvases, made for its largest short side.
        short_side: pixels, 1 or more.

    Raises:
        ValueError: a side below 1.
    """
    if short_side < 1:
        raise ValueError(
            f"Expected a short side of 1 pixel or more. Received: {short_side}."
        )
    base = max(config.short_sides)
    canvases = tuple(
        # Integers: a quotient like 800 * 1.1 may lie above the whole number.
        tuple(
            -(-side * short_side // (base * STRIDE)) * STRIDE for side in pair
        )
        for pair in config.canvases
    )
    return dataclasses.replace(
        config,
        short_sides=(short_side,),
        max_long_side=max(1, config.max_long_side * short_side // base),
        canvases=canvases,
        scale_jitter=(1.0, 1.0),
    )
