"""One view of an image and its objects, read from the file and the table."""

import functools

import tensorflow as tf

from keras_fair.augmentation import (
    augment,
    mask_grids,
    scenes,
    views,
    windows,
)
from keras_fair.config import DataConfig
from keras_fair.data import annotations, tables, transforms


def read_scene(view, dataset, table: tables.Table, config: DataConfig) -> dict:
    """Read one view.

    Args:
        view: int32 [C], see `views.COLUMNS`.
        dataset: for its name and its count of skipped images.
        table: the records.
        config: sizes and augmentation.

    Returns:
        A scene, see augmentation/scenes.py.
    """
    is_flipped, shape = view[1] == 1, view[views.SHAPE]
    image, is_readable = _read_image(view[0], dataset, table)
    image = windows.crop_image(image, view[views.START], view[views.SIZE])
    if config.color_jitter:
        image = augment.jitter_colors(
            image, view[views.SEED], config.color_jitter
        )
    image = transforms.resize_image(image, shape, config.resize)
    image = augment.flip_image_where(is_flipped, image)
    objects = _read_objects(view, table, config)
    flipped = augment.flip_objects(objects, shape[1], table.flip_order)
    return {
        "image": image,
        "objects": tf.nest.map_structure(
            lambda new, old: tf.where(is_flipped, new, old), flipped, objects
        ),
        "is_readable": is_readable,
    }


def _read_image(index, dataset, table: tables.Table):
    """Return uint8 [h, w, 3] of the annotated size, and if it is readable."""
    path, expected = table.paths[index], table.shapes[index]
    image = transforms.read_image(path)
    shape = tf.shape(image)[:2]
    is_readable = tf.reduce_all(shape == expected)
    if dataset.on_bad_record == "error":
        fault = [
            "Corrupt image file, or not of the size that the annotations "
            "say (0, 0 is corrupt; height and width swapped: rotate the "
            "pixels as EXIF says, or write the json from the stored ones). "
            "File, its height and width, the annotated ones:",
            path,
            shape,
            expected,
        ]
        with tf.control_dependencies([tf.Assert(is_readable, fault)]):
            return tf.identity(image), tf.constant(True)

    def skip():
        # Python is called for a bad file only.
        log_skip = functools.partial(_log_skip, dataset)
        tf.numpy_function(log_skip, [path, shape, expected], [])
        return tf.zeros(tf.concat([expected, [3]], 0), tf.uint8)

    return tf.cond(is_readable, lambda: image, skip), is_readable


def _log_skip(dataset, path, shape, expected) -> None:
    dataset.skip_file(
        path.decode(),
        f"corrupt, or of height and width {shape.tolist()} where the "
        f"annotations say {expected.tolist()}",
    )


def _read_objects(view, table: tables.Table, config: DataConfig) -> dict:
    """Return the objects in a view, see `scenes`, before any flip."""
    index, shape = view[0], view[views.SHAPE]
    start, size = view[views.START], view[views.SIZE]
    first, last = table.object_splits[index], table.object_splits[index + 1]
    runs = tables.object_runs(table, index)
    boxes = windows.visible_boxes(table.boxes[first:last], runs, start, size)
    objects = {
        "boxes": transforms.scale_boxes(
            windows.shift_boxes(boxes, start), size, shape
        ),
        "labels": table.labels[first:last],
        "number": tf.range(last - first),
    }
    if config.with_masks:
        objects["masks"] = mask_grids.box_frame_masks(
            runs.ends, runs.splits, boxes, runs.shape, config.mask_size
        )
        objects["has_mask"] = windows.has_mask(runs)
    if config.with_keypoints:
        objects["keypoints"] = transforms.scale_keypoints(
            windows.crop_keypoints(table.keypoints[first:last], start, size),
            size,
            shape,
        )
    # Nothing is left of the others.
    sides = objects["boxes"][:, 2:] - objects["boxes"][:, :2]
    is_left = tf.reduce_all(sides >= annotations.MIN_SIDE, axis=-1)
    return scenes.select(objects, is_left)
