"""What a window of an image shows of its objects, in TensorFlow.

Masks are run-length codes (data/rle.py) and are never drawn to look at them:
a run is cut into columns, of which the window leaves a piece or nothing. n
objects, R runs. A window has a start, int32 [2], top and left, and a size,
int32 [2], height and width, in pixels of the image file.
"""

from typing import NamedTuple

import tensorflow as tf


class Runs(NamedTuple):
    """The masks of one image."""

    ends: tf.Tensor  # int32 [R], cumulative counts, object after object
    splits: tf.Tensor  # int64 [n + 1], each object's first run
    shape: tf.Tensor  # int32 [2], height and width of the image


def crop_image(image, start, size):
    """Return the window of uint8 [h, w, 3]."""
    (top, left), (height, width) = tf.unstack(start), tf.unstack(size)
    return image[top : top + height, left : left + width]


def visible_boxes(boxes, runs: Runs, start, size):
    """Return the boxes of what a window shows.

    A box that the window does not cut stays as annotated. Otherwise it is
    that of the mask's pixels in the window, if there is a mask, and the part
    in the window, if not.

    Args:
        boxes: float32 [n, 4], xyxy pixels of the image file.
        runs: the objects' masks.
        start: int32 [2], of the window.
        size: int32 [2], of the window.

    Returns:
        float32 [n, 4], xyxy pixels of the image file; without area where the
        window shows nothing.
    """
    corner = _xyxy(start, start)
    low, high = corner, corner + _xyxy(size, size)
    clipped = tf.clip_by_value(boxes, low, high)
    is_cut = tf.reduce_any(clipped != boxes, axis=1)
    is_measured = is_cut & has_mask(runs)

    def measured():
        tight = tight_boxes(runs, start, size)
        return tf.where(is_measured[:, None], tight, clipped)

    return tf.cond(tf.reduce_any(is_measured), measured, lambda: clipped)


def has_mask(runs: Runs):
    """Return bool [n]."""
    return runs.splits[1:] > runs.splits[:-1]


def shift_boxes(boxes, start):
    """Return float32 [n, 4], xyxy, as seen from the window's corner."""
    return boxes - _xyxy(start, start)


def _xyxy(first, second):
    both = tf.concat([tf.reverse(side, [0]) for side in (first, second)], 0)
    return tf.cast(both, tf.float32)


def tight_boxes(runs: Runs, start, size):
    """Return the boxes of the masks' pixels in a window.

    Args:
        runs: the masks.
        start: int32 [2], of the window.
        size: int32 [2], of the window.

    Returns:
        float32 [n, 4], xyxy pixels of the image file; zeros where there is
        no pixel.
    """
    height = runs.shape[0]
    low, high = tf.unstack(start), tf.unstack(start + size)
    owner, begin, end = _ones(runs)
    first_column = begin // height
    num_columns = (end - 1) // height - first_column + 1
    # One piece for each column that a run touches.
    piece = tf.repeat(tf.range(tf.size(owner)), num_columns)
    before = tf.cumsum(num_columns, exclusive=True)
    column = tf.range(tf.size(piece)) - tf.gather(before - first_column, piece)
    top = tf.maximum(tf.gather(begin, piece) - column * height, low[0])
    bottom = tf.minimum(tf.gather(end, piece) - column * height, high[0])
    is_seen = (column >= low[1]) & (column < high[1]) & (top < bottom)
    rows = tf.where(is_seen)[:, 0]
    edges = tf.stack([column, top, -column - 1, -bottom], 1)
    edges = tf.math.unsorted_segment_min(
        tf.gather(edges, rows),
        tf.gather(tf.gather(owner, piece), rows),
        tf.size(runs.splits) - 1,
    )
    x1, y1, x2, y2 = tf.unstack(edges, axis=1)
    boxes = tf.stack([x1, y1, -x2, -y2], 1)
    # The minimum of nothing is the largest number.
    boxes = tf.where((x1 < runs.shape[1])[:, None], boxes, 0)
    return tf.cast(boxes, tf.float32)


def draw_union(runs: Runs, chosen):
    """Draw the masks of some objects into one.

    Args:
        runs: the masks.
        chosen: int [m], which of the n objects.

    Returns:
        bool [h, w], of the image's size.
    """
    height, width = tf.unstack(runs.shape)
    owner, begin, end = _ones(runs)
    is_chosen = tf.reduce_any(owner[:, None] == tf.cast(chosen, tf.int32), 1)
    step = tf.cast(is_chosen, tf.int32)
    # How many masks start before a pixel, less those that end.
    depth = tf.math.unsorted_segment_sum(
        tf.concat([step, -step], 0),
        tf.concat([begin, end], 0),
        height * width + 1,
    )
    # As floats: oneDNN logs an error for a transpose of anything else.
    inside = tf.cast(tf.cumsum(depth)[:-1] > 0, tf.float32)
    return tf.transpose(tf.reshape(inside, [width, height])) > 0


def _ones(runs: Runs):
    """Return owner, begin and end, int32 [r], of the runs of ones.

    Begin and end are column-major pixels of the owner's mask.
    """
    splits = tf.cast(runs.splits, tf.int32)
    owner = tf.repeat(tf.range(tf.size(splits) - 1), splits[1:] - splits[:-1])
    place = tf.range(tf.size(runs.ends)) - tf.gather(splits, owner)
    # An odd run is not its object's first: the one before it is its own.
    begin = tf.concat([[0], runs.ends[:-1]], 0)
    rows = tf.where((place % 2 == 1) & (runs.ends > begin))[:, 0]
    return [tf.gather(values, rows) for values in (owner, begin, runs.ends)]


def crop_keypoints(keypoints, start, size):
    """Move keypoints to the window's corner; those outside become zeros.

    Args:
        keypoints: float32 [n, P, 3], x and y in pixels, and the visibility.
        start: int32 [2], of the window.
        size: int32 [2], of the window.
    """
    limit = _xyxy(start, size)  # left, top, width and height
    moved = keypoints - tf.pad(limit[:2], [[0, 1]])
    inside = (moved[..., :2] >= 0) & (moved[..., :2] <= limit[2:])
    is_seen = tf.reduce_all(inside, -1) & (keypoints[..., 2] > 0)
    return tf.where(is_seen[..., None], moved, 0.0)
