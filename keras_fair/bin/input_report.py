"""Where the time goes in which images become batches to train on.

Pipelines that end after reading the files, after decoding and so on run one
after the other, as in training; a part of the work takes what its pipeline
takes more than the one before. CPU time is of all threads. The parts are those
of a plain image: what copy-paste and mosaic read besides, and what a crop
saves, is in "all else".
"""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from keras_fair.augmentation import mask_grids, views
from keras_fair.config import DataConfig
from keras_fair.data import examples, plan, tables, transforms
from keras_fair.data.pipeline import make_dataset, usable_records

WARM_UP = 3  # batches: they trace the graphs and fill the buffers


class Seconds(NamedTuple):
    """What an image takes."""

    wall: float
    cpu: float


def measure(
    dataset,
    config: DataConfig,
    batch_size: int,
    num_images: int,
    progress: Callable = lambda num_done, num_all: None,
) -> dict[str, Seconds]:
    """Time the making of training batches.

    Args:
        dataset: the records.
        config: of the training.
        batch_size: images.
        num_images: every pipeline makes at least so many.
        progress: is called with the number of pipelines measured and of all.

    Returns:
        The seconds of each pipeline by the part of the work that it adds to
        the one before; the last is the whole.

    Raises:
        ValueError: see pipeline.make_dataset.
    """
    whole = make_dataset(dataset, config, batch_size=batch_size, training=True)
    pipelines = {
        **{name: (1, part) for name, part in _parts(dataset, config).items()},
        "batching": (batch_size, whole),
    }
    seconds = {}
    for name, (step, pipeline) in pipelines.items():
        progress(len(seconds), len(pipelines))
        warm_up = WARM_UP * batch_size // step
        seconds[name] = measure_pipeline(pipeline, step, num_images, warm_up)
    progress(len(seconds), len(pipelines))
    return seconds


def measure_pipeline(
    pipeline, step: int, num_images: int, warm_up: int
) -> Seconds:
    """Return what an image of a pipeline takes.

    Args:
        pipeline: a data set that does not end.
        step: images of each of its elements.
        num_images: at least so many are made.
        warm_up: elements that come before and do not count.
    """
    elements = iter(pipeline)
    for _ in range(warm_up):
        next(elements)
    wall, cpu = time.perf_counter(), time.process_time()
    num_elements = -(-num_images // step)
    for _ in range(num_elements):
        next(elements)
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Seconds(wall / num_elements / step, cpu / num_elements / step)


def _parts(dataset, config: DataConfig) -> dict:
    """Return pipelines of single images, each with a part more."""
    records = usable_records(dataset, config, training=True)
    table = tables.make_table(records, dataset.keypoint_names)
    rows = next(plan.training_rows(table.shapes.numpy(), config, 1, 0, 0))
    rows = tf.data.Dataset.from_tensor_slices(rows[:, 0]).repeat()

    def decode(row):
        return transforms.read_image(table.paths[row[0]])

    def resize(row):
        image = decode(row)
        # A file that is to be skipped has no pixel.
        image = tf.cond(tf.size(image) > 0, lambda: image, _one_pixel)
        return transforms.resize_image(image, row[views.SHAPE], config.resize)

    parts = {
        "reading files": lambda row: transforms.read_content(
            table.paths[row[0]]
        ),
        "decoding": decode,
        "resizing": resize,
        "masks": lambda row: (resize(row), _masks(table, row[0], config)),
        "all else": functools.partial(
            examples.read_example, dataset=dataset, table=table, config=config
        ),
    }
    if not config.with_masks:
        del parts["masks"]
    return {
        name: rows.map(part, tf.data.AUTOTUNE).prefetch(tf.data.AUTOTUNE)
        for name, part in parts.items()
    }


def _one_pixel():
    return tf.zeros([1, 1, 3], tf.uint8)


def _masks(table: tables.Table, index, config: DataConfig):
    first, last = table.object_splits[index], table.object_splits[index + 1]
    runs = tables.object_runs(table, index)
    return mask_grids.box_frame_masks(
        runs.ends,
        runs.splits,
        table.boxes[first:last],
        runs.shape,
        config.mask_size,
    )


def format_report(seconds: dict[str, Seconds]) -> str:
    """Return the report as a table."""
    (*_, whole) = seconds.values()
    lines = [
        f"{1 / whole.wall:.1f} images a second, {1 / whole.cpu:.1f} a second "
        "of CPU time",
        f"{'':15}{'CPU ms':>8}{'share':>7}{'images a second up to here':>28}",
    ]
    before = 0.0
    for name, each in seconds.items():
        cpu, before = each.cpu - before, each.cpu
        lines.append(
            f"{name:15}{1000 * cpu:8.2f}{cpu / whole.cpu:7.0%}"
            f"{1 / each.wall:28.1f}"
        )
    return "\n".join(lines)
