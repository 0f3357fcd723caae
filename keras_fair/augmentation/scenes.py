"""One view of an image with the objects in it, in TensorFlow.

A scene is a dict: `image`, uint8 [h, w, 3]; `is_readable`, bool, False where
the file is unreadable and to be skipped; and `objects`, those of which
something is left in the view, a dict of
    boxes      float32 [n, 4], xyxy pixels of `image`
    labels     int32 [n]
    masks      uint8 [n, S, S], has_mask  bool [n]: where the config has masks
    keypoints  float32 [n, P, 3]: where the config has keypoints
    number     int64 [n], which of the record's objects it is
"""

import tensorflow as tf

from keras_fair.augmentation import augment, views, windows


def select(objects: dict, is_kept) -> dict:
    """Return the objects, see above, where bool [n] says so."""
    rows = tf.where(is_kept)[:, 0]
    return {key: tf.gather(value, rows) for key, value in objects.items()}


def view_mask(mask, view):
    """Return what a view shows of a mask, as its grids do: nearest pixels.

    Args:
        mask: bool [h, w], of the image file.
        view: int32 [C], see `views.COLUMNS`.

    Returns:
        bool, of the view's shape.
    """
    image = tf.cast(mask[..., None], tf.uint8)
    image = windows.crop_image(image, view[views.START], view[views.SIZE])
    image = tf.image.resize(image, view[views.SHAPE], "nearest")
    return augment.flip_image_where(view[1] == 1, image)[..., 0] == 1
