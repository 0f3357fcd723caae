"""From image files and run-length masks to network pixels, in TensorFlow.

Resizing is bilinear with half-pixel centres, by one of three rules. LiteRT has
no antialiased resize: what its files get is always "bilinear".
"""

import numpy as np
import tensorflow as tf

from keras_fair.data import file_parts

RESIZE_RULES = (
    "bilinear",  # sizes rounded half up; no antialiasing (Detectron)
    "antialias",  # so, and what shrinks is averaged (Detectron2: Pillow)
    "floor",  # sizes rounded down; no antialiasing (torchvision)
)


def read_image(path):
    """Decode an image file, or return an empty image where that fails.

    JPEG, PNG, BMP, GIF (first frame) and WebP; grey, palette, alpha, CMYK
    and 16-bit images become 8-bit RGB. Pixels are as stored: like COCO's own
    tools this ignores the EXIF orientation.

    Args:
        path: string scalar; it may name a part of a file, see file_parts.py.

    Returns:
        uint8 [h, w, 3]; [0, 0, 3] where the file cannot be read or decoded.
    """
    # A failing op cannot be caught in a graph, but a data set can drop its
    # element; the empty image then takes its place.
    decoded = tf.data.Dataset.from_tensors(path).map(_decode)
    empty = tf.data.Dataset.from_tensors(tf.zeros([0, 0, 3], tf.uint8))
    either = decoded.ignore_errors().concatenate(empty).take(1)
    return either.get_single_element()


def _decode(path):
    content = tf.cond(
        tf.strings.regex_full_match(path, file_parts.PATTERN),
        lambda: tf.numpy_function(file_parts.read, [path], tf.string),
        lambda: tf.io.read_file(path),
    )
    image = tf.io.decode_image(
        tf.ensure_shape(content, []), channels=3, expand_animations=False
    )
    return tf.ensure_shape(image, [None, None, 3])


def resize_image(image, shape, rule: str = "bilinear"):
    """Resize an image.

    The result is rounded to whole grey levels. Half a level is what lies
    between "floor" and torchvision, which resizes floats; one between
    "antialias" and Pillow, which rounds after each direction.

    Args:
        image: uint8 [..., h, w, 3].
        shape: int32 [2], height and width to resize to; what the rule says
            of them, `sizes.resized_shapes` does.
        rule: one of `RESIZE_RULES`.

    Returns:
        uint8 [..., height, width, 3].

    Raises:
        ValueError: an unknown rule.
    """
    if rule not in RESIZE_RULES:
        raise ValueError(
            f"Expected resize as one of {', '.join(RESIZE_RULES)}. Received: "
            f"{rule!r}."
        )
    # The kernel is faster on floats than on bytes.
    resized = tf.image.resize(
        tf.cast(image, tf.float32), shape, antialias=rule == "antialias"
    )
    return tf.cast(tf.round(resized), tf.uint8)


def pad_image(image, canvas):
    """Put an image in the top-left corner of a canvas of zeros.

    Args:
        image: uint8 [h, w, 3].
        canvas: int32 [2], height and width, at least the image's.

    Returns:
        uint8 [canvas height, canvas width, 3].
    """
    below, right = tf.unstack(canvas - tf.shape(image)[:2])
    return tf.pad(image, [[0, below], [0, right], [0, 0]])


def scale_boxes(boxes, original_shape, image_shape):
    """Take boxes from the pixels of one image size to those of another.

    Args:
        boxes: float32 [n, 4], xyxy.
        original_shape: int32 [2], height and width they are in.
        image_shape: int32 [2], height and width to take them to.

    Returns:
        float32 [n, 4].
    """
    old, new = (
        tf.tile(tf.cast(shape, tf.float32)[::-1], [2])
        for shape in (original_shape, image_shape)
    )
    # Divided first, a coordinate within the old size stays within the new.
    return boxes / old * new


def scale_keypoints(keypoints, original_shape, image_shape):
    """Take keypoints from the pixels of one image size to those of another.

    Args:
        keypoints: float32 [n, P, 3], x and y in pixels, and the visibility.
        original_shape: int32 [2], height and width they are in.
        image_shape: int32 [2], height and width to take them to.
    """
    old, new = (
        tf.concat([tf.cast(shape, tf.float32)[::-1], [1.0]], 0)
        for shape in (original_shape, image_shape)
    )
    return keypoints / old * new


def to_original(boxes, image_shape, original_shape):
    """Take boxes from network pixels back to the original image, in NumPy.

    Args:
        boxes: float [..., N, 4], xyxy network pixels.
        image_shape: int [..., 2], height and width of the valid part.
        original_shape: int [..., 2], height and width of the image file.

    Returns:
        float32 [..., N, 4], xyxy original pixels.
    """
    factor = np.asarray(original_shape, np.float64) / np.asarray(image_shape)
    factor = np.concatenate([factor[..., ::-1]] * 2, -1)[..., None, :]
    return (np.asarray(boxes) * factor).astype(np.float32)


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
