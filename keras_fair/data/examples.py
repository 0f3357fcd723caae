"""One image of a plan, from the file to the contract, in TensorFlow."""

import functools
import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_fair import contract
from keras_fair.config import DataConfig
from keras_fair.data import annotations, augment, keypoints, transforms


class Table(NamedTuple):
    """All records as tensors. n images, N objects, R runs."""

    paths: tf.Tensor  # string [n]
    image_ids: tf.Tensor  # int64 [n]
    shapes: tf.Tensor  # int32 [n, 2], height and width
    object_splits: tf.Tensor  # int64 [n + 1], first object of each image
    boxes: tf.Tensor  # float32 [N, 4], xyxy original pixels
    labels: tf.Tensor  # int32 [N]
    run_splits: tf.Tensor  # int64 [N + 1], first run of each object
    run_ends: tf.Tensor  # int32 [R], cumulative counts (see rle.py)
    keypoints: tf.Tensor  # float32 [N, P, 3], original pixels
    flip_order: tf.Tensor  # int32 [P], see keypoints.py


def make_table(records: list, keypoint_names: tuple = ()) -> Table:
    """Lay the records out as tensors."""
    flip_order = keypoints.flip_order(keypoint_names)
    masks = list(itertools.chain.from_iterable(r.masks for r in records))
    run_splits = _splits(0 if mask is None else len(mask) for mask in masks)
    return Table(
        paths=tf.constant([record.path for record in records]),
        image_ids=tf.constant([r.image_id for r in records], tf.int64),
        shapes=tf.constant([(r.height, r.width) for r in records], tf.int32),
        object_splits=tf.constant(_splits(len(r.labels) for r in records)),
        boxes=tf.constant(np.concatenate([r.boxes for r in records])),
        labels=tf.constant(np.concatenate([r.labels for r in records])),
        run_splits=tf.constant(run_splits),
        run_ends=tf.constant(_run_ends(masks, run_splits)),
        keypoints=tf.constant(np.concatenate([r.keypoints for r in records])),
        flip_order=tf.constant(flip_order, tf.int32),
    )


def _splits(lengths):
    ends = np.cumsum(np.fromiter(lengths, np.int64), dtype=np.int64)
    return np.concatenate([np.zeros(1, np.int64), ends])


def _run_ends(masks: list, splits):
    """Return the cumulative counts, int32 [R], of all masks in a row."""
    ends = np.empty(splits[-1], np.int32)
    for mask, first, last in zip(masks, splits[:-1], splits[1:]):
        if mask is not None:
            np.cumsum(mask, out=ends[first:last])
    return ends


def read_example(row, dataset, table: Table, config: DataConfig):
    """Read one row of a plan.

    Args:
        row: int32 [6], see `plan.COLUMNS`.
        dataset: for its name and its count of skipped images.
        table: the records.
        config: sizes and limits.

    Returns:
        x and y of contract.py without the batch dimension, and bool: False
        where the image file is unreadable and to be skipped.
    """
    index, is_flipped = row[0], row[1] == 1
    shape, canvas = row[2:4], row[4:6]
    image, is_readable = _read_image(index, dataset, table)
    image = transforms.resize_image(image, shape, config.resize)
    image = tf.cond(
        is_flipped, lambda: augment.flip_image(image), lambda: image
    )
    image = transforms.pad_image(image, canvas)
    image.set_shape([*_static_canvas(config), 3])
    y = _read_objects(index, shape, is_flipped, table, config)
    y["image_id"] = table.image_ids[index]
    y["original_shape"] = table.shapes[index]
    return {"images": image, "image_shape": shape}, y, is_readable


def _static_canvas(config: DataConfig) -> list:
    """Return the height and width that all canvases share, or None."""
    sides = [set(sides) for sides in zip(*config.canvases)]
    return [side.pop() if len(side) == 1 else None for side in sides]


def _read_image(index, dataset, table: Table):
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
        return tf.zeros([1, 1, 3], tf.uint8)

    return tf.cond(is_readable, lambda: image, skip), is_readable


def _log_skip(dataset, path, shape, expected) -> None:
    dataset.skip_file(
        path.decode(),
        f"corrupt, or of height and width {shape.tolist()} where the "
        f"annotations say {expected.tolist()}",
    )


def _read_objects(index, shape, is_flipped, table: Table, config) -> dict:
    """Return boxes, labels (masks, keypoints) of an image, padded to M."""
    first, last = table.object_splits[index], table.object_splits[index + 1]
    original_boxes = table.boxes[first:last]
    boxes = transforms.scale_boxes(original_boxes, table.shapes[index], shape)
    # Nothing is left of such an object at this size.
    is_kept = tf.reduce_all(
        boxes[:, 2:] - boxes[:, :2] >= annotations.MIN_SIDE, axis=-1
    )
    rows = tf.where(is_kept)[:, 0]
    width = tf.cast(shape[1], tf.float32)
    flipped_boxes = augment.flip_boxes(boxes, width)
    y = {
        "boxes": tf.where(is_flipped, flipped_boxes, boxes),
        "labels": table.labels[first:last],
    }
    if config.with_masks:
        splits = table.run_splits[first : last + 1]
        masks = transforms.box_frame_masks(
            table.run_ends[splits[0] : splits[-1]],
            splits,
            original_boxes,
            table.shapes[index],
            config.mask_size,
        )
        y["masks"] = tf.where(is_flipped, augment.flip_masks(masks), masks)
        y["has_mask"] = splits[1:] > splits[:-1]
    if config.with_keypoints:
        points = transforms.scale_keypoints(
            table.keypoints[first:last], table.shapes[index], shape
        )
        flipped = augment.flip_keypoints(points, width, table.flip_order)
        y["keypoints"] = tf.where(is_flipped, flipped, points)
    return {
        key: _pad_rows(
            tf.gather(value, rows),
            config.max_objects,
            contract.PADDING_LABEL if key == "labels" else 0,
        )
        for key, value in y.items()
    }


def _pad_rows(rows, count: int, value):
    missing = count - tf.shape(rows)[0]
    padding = [[0, missing]] + [[0, 0]] * (rows.shape.rank - 1)
    value = tf.cast(value, rows.dtype)
    padded = tf.pad(rows, padding, constant_values=value)
    return tf.ensure_shape(padded, [count, *rows.shape[1:]])
