"""From image files to network pixels, in TensorFlow.

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


def read_content(path):
    """Return the bytes of a file, or of a part of one, string scalar."""
    content = tf.cond(
        tf.strings.regex_full_match(path, file_parts.PATTERN),
        lambda: tf.numpy_function(file_parts.read, [path], tf.string),
        lambda: tf.io.read_file(path),
    )
    return tf.ensure_shape(content, [])


def _decode(path):
    image = tf.io.decode_image(
        read_content(path), channels=3, expand_animations=False
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
