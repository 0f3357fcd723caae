"""Changes of an image that move its objects along, in TensorFlow.

What is random is drawn in plan.py; here is only what it does.
"""

import tensorflow as tf


def flip_image(image):
    """Mirror an image left to right.

    Args:
        image: uint8 [h, w, 3].
    """
    return tf.reverse(image, [1])


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
            keypoints.flip_order.
    """
    x, y, visibility = tf.unstack(tf.gather(keypoints, order, axis=1), axis=2)
    x = tf.where(visibility > 0, width - x, 0.0)  # not labelled stays zero
    return tf.stack([x, y, visibility], axis=2)
