"""From a client's pictures to a detector's input, and boxes back, in a graph.

The arithmetic is that of data/sizes.py and data/image_files.py, so that a
served model finds what `keras-fair-predict` finds.

B images, D detections, h x w a client's picture, H x W the canvas.
"""

import tensorflow as tf

from keras_fair import contract
from keras_fair.config import PixelConfig
from keras_fair.data import image_files, transforms
from keras_fair.serving import exif

# A larger file is refused before it is decoded: 8 bytes a pixel, and a file
# of a few kilobytes may hold any number of them.
MAX_PIXELS = 64_000_000


def resized_shape(shape, pixels: PixelConfig):
    """Return sizes.resized_shapes of int32 [..., 2], height and width."""
    shape = tf.cast(shape, tf.float64)
    # Divided as there: the same numbers come out, to the last bit.
    scale = pixels.short_side / tf.reduce_min(shape, -1, keepdims=True)
    if pixels.resize == "floor":
        long_scale = pixels.max_long_side / tf.reduce_max(
            shape, -1, keepdims=True
        )
        resized = tf.floor(shape * tf.minimum(scale, long_scale))
    else:
        resized = shape * scale
        shrink = pixels.max_long_side / tf.reduce_max(
            resized, -1, keepdims=True
        )
        resized = tf.floor(resized * tf.minimum(shrink, 1.0) + 0.5)
    return tf.cast(tf.maximum(resized, 1.0), tf.int32)


def resize(images, pixels: PixelConfig):
    """Bring pictures of one size to the network's.

    Args:
        images: uint8 [B, h, w, 3].
        pixels: the size and the rule of resizing.

    Returns:
        x of contract.py; int32 [B, 2], height and width as they came.
    """
    tf.debugging.assert_positive(
        tf.shape(images)[:3],
        message="Expected at least one image of at least one pixel.",
    )
    count, original = tf.shape(images)[:1], tf.shape(images)[1:3]
    shape = resized_shape(original, pixels)
    resized = transforms.resize_image(images, shape, pixels.resize)
    x = _on_canvas(resized, tf.tile(shape[None], [count[0], 1]))
    return x, tf.tile(original[None], [count[0], 1])


def decode(encoded, pixels: PixelConfig):
    """Decode JPEG and PNG files and bring them to the network's size.

    Each is turned as its EXIF orientation asks. A file that is broken, too
    large or neither JPEG nor PNG becomes a black pixel; the others of the
    batch stay as they are.

    Args:
        encoded: string [B].
        pixels: the size and the rule of resizing.

    Returns:
        x of contract.py; int32 [B, 2], height and width of the upright
        pictures, 0 where there is none.
    """
    tf.debugging.assert_positive(
        tf.size(encoded), message="Expected at least one encoded image."
    )
    pictures = tf.data.Dataset.from_tensor_slices(encoded).map(
        lambda file: _decode_or_nothing(file, pixels),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    batch = pictures.padded_batch(tf.size(encoded, tf.int64))
    images, shapes, originals = batch.get_single_element()
    return _on_canvas(images, tf.maximum(shapes, 1)), originals


def to_callers(detections: dict, image_shape, original_shape) -> dict:
    """Take detections to the pixels of the client's pictures.

    Args:
        detections: see contract.py, in network pixels.
        image_shape: int32 [B, 2], height and width of the resized pictures.
        original_shape: int32 [B, 2], height and width before; 0 where there
            was no picture: `num_detections` is -1 there and all is padding.
    """
    is_picture = original_shape[:, 0] > 0
    found = dict(detections)
    found["boxes"] = scale_boxes(found["boxes"], image_shape, original_shape)
    if "keypoints" in found:
        found["keypoints"] = scale_keypoints(
            found["keypoints"], image_shape, original_shape
        )
    padding = {"labels": contract.PADDING_LABEL, "num_detections": -1}
    return {
        name: tf.where(
            tf.reshape(is_picture, [-1] + [1] * (value.shape.rank - 1)),
            value,
            tf.constant(padding.get(name, 0), value.dtype),
        )
        for name, value in found.items()
    }


def scale_boxes(boxes, old_shape, new_shape):
    """Take boxes [B, N, 4] from one size of each image to another.

    Args:
        boxes: float32 [B, N, 4], xyxy pixels.
        old_shape: int32 [B, 2], height and width they are in.
        new_shape: int32 [B, 2], height and width to take them to.
    """
    old, new = (
        tf.tile(tf.cast(shape, tf.float32)[:, None, ::-1], [1, 1, 2])
        for shape in (old_shape, new_shape)
    )
    # Divided first, a coordinate within the old size stays within the new.
    return boxes / old * new


def scale_keypoints(keypoints, old_shape, new_shape):
    """Do as `scale_boxes` with x and y of float32 [B, N, P, 3]."""
    old, new = (
        tf.pad(
            tf.cast(shape, tf.float32)[:, ::-1],
            [[0, 0], [0, 1]],
            constant_values=1.0,
        )[:, None, None]
        for shape in (old_shape, new_shape)
    )
    return keypoints / old * new


def _on_canvas(images, image_shape) -> dict:
    """Pad to the steps in which image_files.read pads; see contract.py."""
    below, right = tf.unstack(-tf.shape(images)[1:3] % image_files.CANVAS_STEP)
    # Where no file of a batch is a picture, there is no pixel either.
    step = image_files.CANVAS_STEP
    below += tf.where(tf.shape(images)[1] == 0, step, 0)
    right += tf.where(tf.shape(images)[2] == 0, step, 0)
    images = tf.pad(images, [[0, 0], [0, below], [0, right], [0, 0]])
    return {"images": images, "image_shape": image_shape}


def _decode_or_nothing(encoded, pixels: PixelConfig):
    """Return the picture, its shape and the one it had; or empty and zeros."""
    # A failing op cannot be caught in a graph, but a data set can drop its
    # element; the empty picture then takes its place.
    decoded = tf.data.Dataset.from_tensors(encoded).map(
        lambda file: _decode(file, pixels)
    )
    none = tf.zeros([2], tf.int32)
    empty = tf.zeros([0, 0, 3], tf.uint8)
    nothing = tf.data.Dataset.from_tensors((empty, none, none))
    either = decoded.ignore_errors().concatenate(nothing).take(1)
    return either.get_single_element()


def _decode(encoded, pixels: PixelConfig):
    number = tf.reduce_prod(tf.cast(_stated_shape(encoded), tf.int64))
    tf.debugging.assert_less_equal(number, tf.constant(MAX_PIXELS, tf.int64))
    image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
    image = tf.ensure_shape(image, [None, None, 3])
    image = exif.upright(image, exif.orientation(encoded))
    original = tf.shape(image)[:2]
    shape = resized_shape(original, pixels)
    return (
        transforms.resize_image(image, shape, pixels.resize),
        shape,
        original,
    )


def _stated_shape(encoded):
    """Return height and width that a file's header states, int32 [2]."""

    def of_png():
        # The first chunk, IHDR, holds the width at byte 16, then the height.
        header = tf.strings.substr(encoded, 16, 8)
        sides = tf.io.decode_raw(header, tf.int32, little_endian=False)
        return tf.ensure_shape(sides, [2])[::-1]

    is_png = tf.strings.substr(encoded, 0, 8) == exif.PNG_SIGNATURE
    # What is neither fails here.
    return tf.cond(
        is_png, of_png, lambda: tf.image.extract_jpeg_shape(encoded)[:2]
    )
