"""Batches for training and evaluation, as contract.py has them.

The annotations stand in memory as flat tensors, a plan (plan.py) says which
image goes where, and TensorFlow reads, decodes and resizes in parallel.
Memory for COCO's train2017 (118k images, 860k objects): some 0.2 GB, and
with masks, of about 200 runs each, 1.5 GB more.
"""

import functools

import tensorflow as tf
from absl import logging

from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import (
    datasets,
    examples,
    plan,
    repeat_factors,
    sizes,
    tables,
)


def make_dataset(
    dataset: datasets.Dataset,
    config: DataConfig,
    *,
    batch_size: int,
    training: bool,
    seed: int = 0,
    start_step: int = 0,
    shard: tuple[int, int] = (0, 1),
) -> tf.data.Dataset:
    """Make the batches (x, y) of contract.py.

    Training repeats for ever in a random order; every batch is full and of
    one canvas. Evaluation gives every image once, unflipped and at the
    largest short side, canvas by canvas in the order of the records; the
    last batch of a canvas may be smaller.

    Args:
        dataset: the records.
        config: sizes, augmentation and limits.
        batch_size: images in a batch of this shard.
        training: shuffle, augment and repeat.
        seed: of all that is random in training.
        start_step: training starts with that batch (exact resume).
        shard: (index, count): in training, the index-th part of each batch
            of batch_size x count images; in evaluation, every count-th image.

    Raises:
        ValueError: nothing to train on, an image with more objects than
            `max_objects`, one that fits no canvas, masks or keypoints that
            were not read, or augmentation out of its range.
    """
    _check_arguments(batch_size, start_step, shard)
    if not training:
        config = views.without_augmentation(config)
    views.check_augmentation(config)
    records = usable_records(dataset, config, training)
    table = tables.make_table(records, dataset.keypoint_names)
    shapes = table.shapes.numpy()
    sizes.check_sizes(views.possible_shapes(shapes, config), config)
    read = tf.function(
        functools.partial(
            examples.read_example, dataset=dataset, table=table, config=config
        ),
        input_signature=[tf.TensorSpec([views.row_length(config)], tf.int32)],
        autograph=False,
    )
    if training:
        factors = repeat_factors.image_factors(
            [record.labels for record in records], config.repeat_threshold
        )
        planned = functools.partial(
            plan.training_rows,
            shapes,
            config,
            batch_size * shard[1],
            seed,
            start_step,
            factors,
        )
        length = views.row_length(config)
        rows = _training_rows(planned, length, batch_size, shard[0])
        batches = _map(rows, read).batch(batch_size, drop_remainder=True)
        batches = batches.map(_replace_unreadable)
    else:
        parts = plan.evaluation_rows(shapes, config, shard)
        batches = _evaluation_batches(parts, read, batch_size)
    return batches.prefetch(tf.data.AUTOTUNE)


def _check_arguments(batch_size: int, start_step: int, shard) -> None:
    index, count = shard
    if batch_size < 1 or start_step < 0 or not 0 <= index < count:
        raise ValueError(
            "Expected batch_size >= 1, start_step >= 0 and a shard (index, "
            "count) with 0 <= index < count. Received: "
            f"batch_size={batch_size}, start_step={start_step}, "
            f"shard={shard}."
        )


def usable_records(dataset, config: DataConfig, training: bool) -> list:
    """Return the records to use: in training those that teach something.

    Raises:
        ValueError: records that do not fit the config.
    """
    if config.with_masks and not dataset.with_masks:
        raise ValueError(
            "Expected a data set that was read with masks, as data.with_masks "
            f"is set. Received: {dataset.path}. A source needs masks=True."
        )
    if config.with_keypoints and not dataset.with_keypoints:
        raise ValueError(
            "Expected a data set that was read with keypoints, as "
            f"data.with_keypoints is set. Received: {dataset.path}. Sources "
            'of the kinds "coco" and "tfds" may have keypoints.'
        )
    for record in dataset.records:
        if len(record.labels) > config.max_objects:
            raise ValueError(
                f"{dataset.path}: image {record.image_id} has "
                f"{len(record.labels)} objects; raise data.max_objects "
                f"({config.max_objects})."
            )
    records = dataset.records
    if training and not config.keep_empty:
        records = [record for record in records if _teaches(record, config)]
        logging.info(
            "%s: %d images without objects%s are left out of training",
            dataset.path,
            len(dataset.records) - len(records),
            " or without keypoints" if config.with_keypoints else "",
        )
    if not records:
        raise ValueError(
            f"{dataset.path}: no image to train on or evaluate. Images "
            "without objects train only with data.keep_empty."
        )
    return records


def _teaches(record, config: DataConfig) -> bool:
    """Say if there is an object and, where those are wanted, a keypoint."""
    if config.with_keypoints:
        return bool(record.keypoints.any())
    return len(record.labels) > 0


def _training_rows(planned, length: int, batch_size: int, index: int):
    """Return the data set of int32 rows, those of one shard only."""
    mine = slice(index * batch_size, (index + 1) * batch_size)

    def chunks():
        for rows in planned():
            yield rows[:, mine].reshape(-1, length)

    spec = tf.TensorSpec([None, length], tf.int32)
    chunked = tf.data.Dataset.from_generator(chunks, output_signature=spec)
    return chunked.unbatch()


def _evaluation_batches(parts: list, read, batch_size: int):
    """Return the data set of each canvas' batches, one after the other."""
    batches = [
        _map(tf.data.Dataset.from_tensor_slices(rows), read)
        .filter(lambda x, y, is_readable: is_readable)
        .batch(batch_size)
        .map(lambda x, y, is_readable: (x, y))
        for rows in parts
    ]
    return functools.reduce(tf.data.Dataset.concatenate, batches)


def _map(rows, read):
    return rows.map(
        read, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True
    )


def _replace_unreadable(x, y, is_readable):
    """Put a readable image of the batch where one is to be skipped."""
    replacement = tf.argmax(is_readable)
    tf.debugging.assert_equal(
        tf.reduce_any(is_readable), True, "No image of a batch is readable."
    )
    rows = tf.range(tf.size(is_readable, tf.int64))
    rows = tf.where(is_readable, rows, replacement)
    return tf.nest.map_structure(lambda value: tf.gather(value, rows), (x, y))
