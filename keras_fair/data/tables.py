"""The records of a data set as flat tensors."""

import itertools
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_fair.augmentation import windows
from keras_fair.data import keypoints


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


def object_runs(table: Table, index) -> windows.Runs:
    """Return the masks of one record's objects."""
    first, last = table.object_splits[index], table.object_splits[index + 1]
    splits = table.run_splits[first : last + 1]
    return windows.Runs(
        table.run_ends[splits[0] : splits[-1]],
        splits - splits[0],
        table.shapes[index],
    )
