"""Which part of an image is seen and how large, drawn in NumPy.

A view is a window of an image, in whole pixels of its file, resized and
perhaps mirrored. A row of a plan holds one view, and more for what is pasted
onto it or takes its place.
"""

import dataclasses

import numpy as np

from keras_fair.config import DataConfig

# One view. Sizes are pixels after resizing, canvas after padding, the window
# before both.
COLUMNS = (
    "record",  # index into the records; -1: there is no such view
    "is_flipped",  # 0 or 1
    "height",
    "width",
    "canvas_height",
    "canvas_width",
    "window_top",
    "window_left",
    "window_height",
    "window_width",
    "seed",  # of what TensorFlow draws
)
SHAPE, CANVAS, START, SIZE = (slice(i, i + 2) for i in (2, 4, 6, 8))
SEED = 10
NO_VIEW = -1
MOSAIC_TILES = 4
# Where the tiles of a mosaic meet, in parts of the canvas.
MIN_CENTRE, MAX_CENTRE = 0.25, 0.75


def count_views(config: DataConfig) -> int:
    """Return the views of a row: the image's, one to paste, four tiles."""
    return 1 + (config.copy_paste > 0) + MOSAIC_TILES * (config.mosaic > 0)


def row_length(config: DataConfig) -> int:
    """Return the numbers of a row of a plan."""
    return count_views(config) * len(COLUMNS)


def without_augmentation(config: DataConfig) -> DataConfig:
    """Return the config of an evaluation, which sees images as they are."""
    return dataclasses.replace(
        config,
        large_scale_jitter=(),
        random_crop=1.0,
        color_jitter=0.0,
        copy_paste=0.0,
        mosaic=0.0,
    )


def check_augmentation(config: DataConfig) -> None:
    """Check the fields of augmentation.

    Raises:
        ValueError: one is outside of its range, or lacks what it needs.
    """
    ranges = {
        "random_crop": 0.0 < config.random_crop <= 1.0,
        "color_jitter": 0.0 <= config.color_jitter < 1.0,
        "copy_paste": 0.0 <= config.copy_paste <= 1.0,
        "mosaic": 0.0 <= config.mosaic <= 1.0,
    }
    for name, is_good in ranges.items():
        if not is_good:
            raise ValueError(
                f"Expected data.{name} from 0 to 1 (random_crop above 0, "
                f"color_jitter below 1). Received: {getattr(config, name)}."
            )
    if config.copy_paste and not config.with_masks:
        raise ValueError(
            "data.copy_paste cuts objects out along their masks: set "
            "data.with_masks."
        )
    scales = config.large_scale_jitter
    if scales and (
        len(scales) != 2
        or not 0 < scales[0] <= scales[1]
        or len(config.canvases) != 1
    ):
        raise ValueError(
            "Expected data.large_scale_jitter as (low, high), such as (0.1, "
            "2.0), and one canvas in data.canvases. Received: "
            f"{scales} and {config.canvases}."
        )


def possible_shapes(shapes, config: DataConfig):
    """Return the sizes that windows of the images may have, int [m, 2].

    A random window may be of any shape, so for those it is the largest that
    resizing may give, on either side.
    """
    if config.random_crop == 1.0 or config.large_scale_jitter:
        return np.asarray(shapes)
    short = max(config.short_sides) * max(1.0, config.scale_jitter[1])
    largest = [min(round(short), config.max_long_side), config.max_long_side]
    return np.concatenate([shapes, [largest, largest[::-1]]])


def draw_windows(shapes, least: float, rng):
    """Draw a window in each image, each of its sides for itself.

    Args:
        shapes: int [n, 2], heights and widths of the images, pixels.
        least: part of a side that a window has at least; 1 is the image.
        rng: NumPy's generator.

    Returns:
        int [n, 4]: top, left, height and width.
    """
    part = rng.uniform(least, 1.0, shapes.shape)
    sizes = np.maximum(np.floor(shapes * part + 0.5), 1).astype(np.int64)
    return np.concatenate([rng.integers(0, shapes - sizes + 1), sizes], 1)


def jittered_shapes(sizes, canvas, scales: tuple, rng):
    """Return the sizes of windows after large-scale jitter, int [n, 2].

    A window that just fits the canvas is enlarged by a factor drawn from
    `scales`. Ghiasi et al., Simple Copy-Paste, CVPR 2021, section 3.

    Args:
        sizes: int [n, 2], heights and widths, pixels.
        canvas: (height, width), pixels.
        scales: least and largest factor.
        rng: NumPy's generator.
    """
    fit = (np.asarray(canvas) / sizes).min(1)
    factor = fit * rng.uniform(*scales, len(sizes))
    resized = np.floor(sizes * factor[:, None] + 0.5)
    return np.maximum(resized, 1).astype(np.int64)


def cut(views, limits, rng):
    """Cut views that are larger than a limit, anywhere, at their scale.

    Args:
        views: int [n, C], see `COLUMNS`.
        limits: int [n, 2] or [2], height and width after resizing, pixels.
        rng: NumPy's generator.
    """
    shapes = np.minimum(views[:, SHAPE], limits)
    sizes = views[:, SIZE] * shapes / views[:, SHAPE]
    return _narrow(views, shapes, sizes, rng)


def fill(views, shapes, rng):
    """Choose the part of each view that fills a shape.

    The scale lies between that at which the view just covers the shape and
    its own, if that is larger.

    Args:
        views: int [n, C], see `COLUMNS`.
        shapes: int [n, 2], height and width to fill, pixels.
        rng: NumPy's generator.
    """
    least = (shapes / views[:, SIZE]).max(1)
    own = (views[:, SHAPE] / views[:, SIZE]).max(1)
    scale = rng.uniform(least, np.maximum(least, own))
    return _narrow(views, shapes, shapes / scale[:, None], rng)


def _narrow(views, shapes, sizes, rng):
    """Make windows smaller, anywhere in the old, and set their new shapes."""
    old = views[:, SIZE]
    sizes = np.clip(np.floor(sizes + 0.5), 1, old).astype(np.int64)
    views = views.copy()
    views[:, START] += rng.integers(0, old - sizes + 1)
    views[:, SIZE] = sizes
    views[:, SHAPE] = shapes
    return views


def paste_views(views, sources, config: DataConfig, rng):
    """Choose the rows that something is pasted onto; fit it in.

    Args:
        views: int [n, C], see `COLUMNS`.
        sources: int [n, C], of the images whose objects are pasted.
        config: how often.
        rng: NumPy's generator.
    """
    sources = cut(sources, views[:, SHAPE], rng)
    return _only(sources, rng.uniform(size=len(views)) < config.copy_paste)


def mosaic_views(canvases, tiles, config: DataConfig, rng):
    """Choose the rows that become mosaics; fit their tiles.

    Args:
        canvases: int [n, 2], height and width, pixels.
        tiles: int [n, 4, C], the views of four images.
        config: how often.
        rng: NumPy's generator.

    Returns:
        int [n, 4, C]: top left, top right, bottom left and bottom right.
    """
    centre = rng.uniform(MIN_CENTRE, MAX_CENTRE, canvases.shape) * canvases
    near = np.floor(centre + 0.5).astype(np.int64)
    (top, left), (bottom, right) = near.T, (canvases - near).T
    sides = [(top, left), (top, right), (bottom, left), (bottom, right)]
    shapes = np.stack([np.stack(side, 1) for side in sides], 1)  # [n, 4, 2]
    filled = fill(
        tiles.reshape(-1, len(COLUMNS)), shapes.reshape(-1, 2), rng
    ).reshape(tiles.shape)
    return _only(filled, rng.uniform(size=len(tiles)) < config.mosaic)


def _only(views, is_chosen):
    views[~is_chosen] = 0
    views[~is_chosen, ..., 0] = NO_VIEW
    return views
