"""Masks on a grid in each object's own box, in TensorFlow.

S is the side of a mask's grid.
"""

import tensorflow as tf


def box_frame_masks(run_ends, splits, boxes, shape, size: int):
    """Sample run-length masks on a grid in each instance's own box.

    Each grid centre takes the value of the pixel it falls in. The pixel's
    index in column-major order falls in some run, and odd runs are ones: no
    full mask is ever made.

    Args:
        run_ends: int32 [r], where each run ends (cumulative counts), of all
            instances one after the other.
        splits: int64 [n + 1], the instances' first runs; an instance without
            runs has no mask.
        boxes: float32 [n, 4], xyxy pixels of the mask, inside of it.
        shape: int32 [2], height and width of the masks, pixels.
        size: S, side of the grid.

    Returns:
        uint8 [n, S, S], 0 or 1; zeros where there is no mask.
    """
    shape = tf.cast(shape, tf.int64)
    runs = splits[1:] - splits[:-1]  # [n]
    rows = tf.where(runs > 0)[:, 0]  # those with a mask
    # The pixels of the i-th of them are shifted by i images, so that one
    # sorted list of ends serves all.
    shift = tf.range(tf.size(rows, tf.int64)) * shape[0] * shape[1]
    ends = tf.cast(run_ends, tf.int64)
    ends += tf.repeat(shift, tf.gather(runs, rows))
    row, column = grid_pixels(tf.gather(boxes, rows), shape, size)
    pixels = column * shape[0] + row + shift[:, None, None]  # [m, S, S]
    run = tf.searchsorted(
        ends, tf.reshape(pixels, [-1]), side="right", out_type=tf.int64
    )
    first_run = tf.gather(splits - splits[0], rows)
    run = tf.reshape(run, tf.shape(pixels)) - first_run[:, None, None]
    masks = tf.cast(run % 2, tf.uint8)
    count = tf.size(runs, tf.int64)
    return tf.scatter_nd(rows[:, None], masks, [count, size, size])


def grid_pixels(boxes, shape, size: int):
    """Return the pixels under the centres of a grid in each box.

    Args:
        boxes: float32 [n, 4], xyxy pixels.
        shape: int [2], height and width of the image they lie in.
        size: S, side of the grid.

    Returns:
        Rows int64 [n, S, 1] and columns int64 [n, 1, S].
    """
    shape = tf.cast(shape, tf.int64)
    centres = (tf.range(size, dtype=tf.float32) + 0.5) / size
    x1, y1, x2, y2 = tf.unstack(boxes[..., None], axis=1)  # each [n, 1]
    columns = tf.cast(tf.floor(x1 + centres * (x2 - x1)), tf.int64)
    rows = tf.cast(tf.floor(y1 + centres * (y2 - y1)), tf.int64)
    # Rounding may put a centre on the far edge of the image.
    columns = tf.minimum(columns, shape[1] - 1)  # [n, S]
    rows = tf.minimum(rows, shape[0] - 1)
    return rows[:, :, None], columns[:, None, :]


def resample_masks(masks, boxes, new_boxes):
    """Sample box-frame masks on the grids of boxes within their own.

    Args:
        masks: uint8 [n, S, S], in `boxes`.
        boxes: float32 [n, 4], xyxy pixels.
        new_boxes: float32 [n, 4], inside of `boxes`.

    Returns:
        uint8 [n, S, S], the nearest cells.
    """
    size = masks.shape[1]
    corner = tf.tile(boxes[:, :2], [1, 2])
    scale = size / tf.tile(boxes[:, 2:] - boxes[:, :2], [1, 2])
    in_grid = tf.clip_by_value((new_boxes - corner) * scale, 0.0, float(size))
    row, column = grid_pixels(in_grid, [size, size], size)
    cells = tf.reshape(row * size + column, [-1, size * size])
    masks = tf.reshape(masks, [-1, size * size])
    return tf.reshape(tf.gather(masks, cells, batch_dims=1), [-1, size, size])
