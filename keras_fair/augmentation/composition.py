"""Scenes made of several scenes (scenes.py), in TensorFlow.

Simple Copy-Paste is Ghiasi et al., CVPR 2021. A mosaic is that of YOLOv4
(Bochkovskiy et al., 2020), section 3.3. S is the side of a mask's grid.
"""

import tensorflow as tf

from keras_fair.augmentation import mask_grids, scenes


def mosaic(tiles: list) -> dict:
    """Join four scenes: top left, top right, bottom left, bottom right.

    Args:
        tiles: scenes; those beside each other are of one height, those
            above each other of one width.
    """
    images = [tile["image"] for tile in tiles]
    height, width = tf.unstack(tf.shape(images[0])[:2])
    offsets = [(0, 0), (0, width), (height, 0), (height, width)]
    moved = [
        shift(tile["objects"], *offset) for tile, offset in zip(tiles, offsets)
    ]
    upper, lower = tf.concat(images[:2], 1), tf.concat(images[2:], 1)
    return {
        "image": tf.concat([upper, lower], 0),
        "objects": unite(moved),
        "is_readable": tf.reduce_all([tile["is_readable"] for tile in tiles]),
    }


def paste(scene: dict, source: dict, covered, place) -> dict:
    """Paste a part of one scene onto another.

    An object so thin that it lies between the centres of the pixels is seen
    nowhere, and left out.

    Args:
        scene: what is pasted onto.
        source: a scene, no larger, with only those objects that are pasted.
        covered: bool [h, w], the source's pixels that are pasted.
        place: int32 [2], top and left of the source in the scene.
    """
    image = scene["image"]
    around = tf.shape(image)[:2] - tf.shape(covered) - place
    padding = tf.stack([place, around], 1)
    covered = tf.pad(covered, padding)
    pasted = tf.pad(source["image"], tf.concat([padding, [[0, 0]]], 0))
    objects = occlude(scene["objects"], covered)
    top, left = tf.unstack(place)
    added = shift(source["objects"], top, left)
    masks = added["masks"]
    seen = masks * _under_grids(added["boxes"], covered, masks.shape[1])
    # A grid too coarse for a mask is empty, and says nothing of its pixels.
    is_seen = tf.reduce_any(seen > 0, [1, 2]) | tf.reduce_all(
        masks == 0, [1, 2]
    )
    return {
        "image": tf.where(covered[..., None], pasted, image),
        "objects": unite([objects, scenes.select(added, is_seen)]),
        "is_readable": scene["is_readable"] & source["is_readable"],
    }


def choose_sources(objects: dict, room, seed):
    """Choose the objects to paste: half of those with a mask, at random.

    Args:
        objects: of the source.
        room: int32 scalar, no more than so many.
        seed: int32 scalar.

    Returns:
        bool [n].
    """
    coin = tf.random.stateless_uniform(tf.shape(objects["labels"]), [seed, 1])
    is_chosen = objects["has_mask"] & (coin < 0.5)
    rank = tf.cumsum(tf.cast(is_chosen, tf.int32))
    return is_chosen & (rank <= room)


def choose_place(shape, room, seed):
    """Draw top and left, int32 [2], where a shape lies within a room."""
    part = tf.random.stateless_uniform([2], [seed, 2])
    free = tf.cast(room - shape + 1, tf.float32)
    return tf.minimum(tf.cast(part * free, tf.int32), room - shape)


def unite(parts: list) -> dict:
    """Return the objects of all parts in a row."""
    return {
        key: tf.concat([part[key] for part in parts], 0) for key in parts[0]
    }


def shift(objects: dict, top, left) -> dict:
    """Move objects down and to the right by whole pixels."""
    step = tf.cast(tf.stack([left, top]), tf.float32)
    moved = {**objects, "boxes": objects["boxes"] + tf.tile(step, [2])}
    if "keypoints" in objects:
        points = objects["keypoints"]
        moved["keypoints"] = tf.where(
            points[..., 2:] > 0, points + tf.pad(step, [[0, 1]]), points
        )
    return moved


def occlude(objects: dict, covered) -> dict:
    """Hide covered pixels from objects; drop those that vanish.

    An object without a mask stays as it is, since nobody knows what of its
    box it fills. A keypoint becomes one that is labelled but hidden.

    Args:
        objects: see scenes.py, with masks.
        covered: bool [h, w].
    """
    boxes, masks = objects["boxes"], objects["masks"]
    visible = masks * _under_grids(boxes, ~covered, masks.shape[1])
    is_hit = tf.reduce_any(visible != masks, [1, 2])
    new_boxes = _shrink(boxes, masks, visible)
    # From the whole masks: a cell of theirs may be seen in part.
    finer = mask_grids.resample_masks(masks, boxes, new_boxes)
    finer *= _under_grids(new_boxes, ~covered, masks.shape[1])
    is_left = ~is_hit | tf.reduce_any(finer > 0, [1, 2])
    changed = {
        **objects,
        "boxes": tf.where(is_hit[:, None], new_boxes, boxes),
        "masks": tf.where(is_hit[:, None, None], finer, masks),
    }
    if "keypoints" in objects:
        changed["keypoints"] = _hide_keypoints(objects["keypoints"], covered)
    return scenes.select(changed, is_left)


def _under_grids(boxes, image, size: int):
    """Return bool [h, w] under the centres of grids, as uint8 [n, S, S]."""
    shape = tf.shape(image, tf.int64)
    row, column = mask_grids.grid_pixels(boxes, shape, size)
    pixels = tf.reshape(tf.cast(image, tf.uint8), [-1])
    return tf.gather(pixels, row * shape[1] + column)


def _shrink(boxes, masks, visible):
    """Move in the sides of boxes where a mask's outermost cells are hidden.

    A side whose outermost cells are still seen stays where it is, so only
    the others have the grid's resolution.

    Args:
        boxes: float32 [n, 4], xyxy pixels.
        masks: uint8 [n, S, S], before.
        visible: uint8 [n, S, S], what is left of them.
    """
    cell = (boxes[:, 2:] - boxes[:, :2]) / masks.shape[1]  # [n, 2], x and y
    cell = tf.concat([cell, -cell], 1)
    before, after = _margins(masks), _margins(visible)
    return tf.where(after > before, boxes + after * cell, boxes)


def _margins(masks):
    """Return the empty cells left, above, right and below, float32 [n, 4]."""
    columns, rows = tf.reduce_max(masks, 1), tf.reduce_max(masks, 2)
    back = [tf.reverse(lines, [1]) for lines in (columns, rows)]
    lines = tf.stack([columns, rows, *back], 1)  # [n, 4, S]
    return tf.cast(tf.argmax(lines, -1), tf.float32)


def _hide_keypoints(keypoints, covered):
    x, y, _ = tf.unstack(tf.cast(keypoints, tf.int32), axis=2)
    places = tf.minimum(tf.stack([y, x], 2), tf.shape(covered) - 1)
    is_hidden = tf.gather_nd(covered, places)
    visibility = keypoints[..., 2]
    hidden = tf.where(is_hidden, tf.minimum(visibility, 1.0), visibility)
    return tf.concat([keypoints[..., :2], hidden[..., None]], -1)
