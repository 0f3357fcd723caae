"""Mirroring of an image and its objects, and change of colours, in TensorFlow.

What is random is drawn in data/plan.py, or from a seed that was drawn there.
"""

import tensorflow as tf

HUE_SHARE = 0.1  # hue turns by so much of the strength, in whole turns


def flip_image(image):
    """Mirror an image left to right.

    Args:
        image: uint8 [h, w, 3].
    """
    return tf.reverse(image, [1])


def flip_image_where(is_flipped, image):
    """Mirror an image left to right where bool [] says so."""
    return tf.cond(is_flipped, lambda: flip_image(image), lambda: image)


def flip_boxes(boxes, width):
    """Mirror boxes left to right.

    Args:
        boxes: float32 [n, 4], xyxy pixels.
        width: of the image, pixels, float32 scalar.
    """
    x1, y1, x2, y2 = tf.unstack(boxes, axis=1)
    return tf.stack([width - x2, y1, width - x1, y2], 1)


def flip_masks(masks):
    """Mirror masks in their own box frame.

    Args:
        masks: uint8 [n, S, S].
    """
    return tf.reverse(masks, [2])


def flip_keypoints(keypoints, width, order):
    """Mirror keypoints left to right; a left eye becomes a right eye.

    Args:
        keypoints: float32 [n, P, 3], x and y in pixels, and 0, 1 or 2.
        width: of the image, pixels, float32 scalar.
        order: int32 [P], which keypoint takes the place of each; see
            flip_order of data/keypoints.py.
    """
    x, y, visibility = tf.unstack(tf.gather(keypoints, order, axis=1), axis=2)
    x = tf.where(visibility > 0, width - x, 0.0)  # not labelled stays zero
    return tf.stack([x, y, visibility], axis=2)


def flip_objects(objects: dict, width, order) -> dict:
    """Mirror objects left to right.

    Args:
        objects: see scenes.py.
        width: of the image, pixels, int32 scalar.
        order: int32 [P], see `flip_keypoints`.
    """
    width = tf.cast(width, tf.float32)
    flipped = {**objects, "boxes": flip_boxes(objects["boxes"], width)}
    if "masks" in objects:
        flipped["masks"] = flip_masks(objects["masks"])
    if "keypoints" in objects:
        flipped["keypoints"] = flip_keypoints(
            objects["keypoints"], width, order
        )
    return flipped


def jitter_colors(image, seed, strength: float):
    """Change brightness, contrast, saturation and hue by chance.

    The first three are multiplied by factors within 1 - strength and 1 +
    strength, one after the other; contrast is about the image's mean.

    keras.layers.RandomColorJitter would do, but no tensor can be its seed: it
    draws from a state of its own, so that a resumed run would go on with
    other colours than the one that was not stopped.

    Args:
        image: uint8 [h, w, 3], RGB.
        seed: int32 scalar; the same gives the same change.
        strength: 0 changes nothing.

    Returns:
        uint8 [h, w, 3].
    """
    change = tf.random.stateless_uniform([4], [seed, 0], -strength, strength)
    brightness, contrast, saturation, hue = tf.unstack(change)
    pixels = tf.image.convert_image_dtype(image, tf.float32)  # 0 to 1
    pixels = tf.clip_by_value(pixels * (1 + brightness), 0, 1)
    mean = tf.reduce_mean(pixels)
    pixels = tf.clip_by_value(mean + (pixels - mean) * (1 + contrast), 0, 1)
    pixels = tf.image.adjust_saturation(pixels, 1 + saturation)
    pixels = tf.image.adjust_hue(pixels, HUE_SHARE * hue)
    return tf.image.convert_image_dtype(pixels, tf.uint8, saturate=True)
