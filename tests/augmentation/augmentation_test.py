"""Properties that every composition of augmentations keeps."""

import dataclasses
import functools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st

from keras_fair import contract
from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import examples, pipeline, plan, tables
from tests.augmentation import alignment
from tests.augmentation import painted as painting

CONFIG = DataConfig(
    short_sides=(64, 90),
    max_long_side=128,
    resize="antialias",  # nothing falls between the pixels of a small image
    canvases=((128, 128),),
    max_objects=24,
    with_masks=True,
    mask_size=112,
    with_keypoints=True,
)


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    return painting.write(tmp_path_factory.mktemp("painted"))


@pytest.fixture(scope="module")
def reader(painted):
    """Read a row, by a graph for each way of composing."""
    table = tables.make_table(painted.records, painted.keypoint_names)

    @functools.cache
    def graph(config):
        read = functools.partial(
            examples.read_example, dataset=painted, table=table, config=config
        )
        spec = tf.TensorSpec([views.row_length(config)], tf.int32)
        return tf.function(read, input_signature=[spec], autograph=False)

    def read(row, config):
        # The other fields are the plan's: graphs for few configs serve all.
        config = dataclasses.replace(
            CONFIG,
            copy_paste=float(config.copy_paste > 0),
            mosaic=float(config.mosaic > 0),
            color_jitter=config.color_jitter,
        )
        x, y, _ = tf.nest.map_structure(
            lambda tensor: tensor.numpy(), graph(config)(tf.constant(row))
        )
        return x, y

    return read


def configs():
    """Configs whose rows four graphs can read."""
    ways = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.6), (0.7, 0.5)]
    return st.builds(
        lambda way, **changes: dataclasses.replace(
            CONFIG, copy_paste=way[0], mosaic=way[1], **changes
        ),
        st.sampled_from(ways),
        horizontal_flip=st.booleans(),
        random_crop=st.sampled_from([1.0, 0.7, 0.4]),
        scale_jitter=st.sampled_from([(1.0, 1.0), (0.5, 1.4)]),
        large_scale_jitter=st.sampled_from([(), (0.1, 2.0), (0.8, 1.5)]),
    )


def check_pixels(painted, reader, num_examples: int) -> None:
    """Check batches of three images of so many configs."""
    shapes = np.array([(r.height, r.width) for r in painted.records])

    @hypothesis.settings(
        max_examples=num_examples,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(config=configs(), seed=st.integers(0, 2**20))
    def check_one(config, seed):
        rows = next(plan.training_rows(shapes, config, 3, seed, 0))[0]
        for row in rows:
            shown = alignment.shown_views(row, config)
            alignment.check(*reader(row, config), shown, painted.records)

    check_one()


def test_pixels_are_of_the_object_they_are_said_to_be(painted, reader):
    check_pixels(painted, reader, num_examples=16)


@pytest.mark.slow
def test_pixels_of_many_configs_are_of_their_objects(painted, reader):
    check_pixels(painted, reader, num_examples=400)


EVERYTHING = dataclasses.replace(
    CONFIG,
    random_crop=0.5,
    large_scale_jitter=(0.3, 2.0),
    color_jitter=0.4,
    copy_paste=0.5,
    mosaic=0.5,
)


def test_color_jitter_changes_colours_and_nothing_else(painted, reader):
    plain = dataclasses.replace(EVERYTHING, color_jitter=0.0)
    shapes = np.array([(r.height, r.width) for r in painted.records])
    rows = next(plan.training_rows(shapes, plain, 6, 0, 0))[0]
    for row in rows:
        (x, y), (jittered, same) = (
            reader(row, config) for config in (plain, EVERYTHING)
        )
        tf.nest.map_structure(np.testing.assert_array_equal, y, same)
        records = [view[0] for view in alignment.shown_views(row, plain)]
        for label in set(y["labels"].tolist()) - {contract.PADDING_LABEL}:
            own = (x["images"] == painting.COLOURS[label]).all(-1)
            if own.any() and records.count(label // 4) == 1:
                colours = jittered["images"][own].astype(int)
                assert np.ptp(colours, 0).max() <= 1  # rounding
                assert (colours[0] != painting.COLOURS[label]).any()


def take(dataset, count):
    return [
        tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
        for batch in dataset.take(count)
    ]


def test_augmented_batches_are_the_same_again_and_after_resuming(painted):
    start, resumed = (
        pipeline.make_dataset(
            painted, EVERYTHING, batch_size=2, training=True, start_step=step
        )
        for step in (0, 5)
    )
    whole = take(start, 9)
    again = take(start, 9)
    tf.nest.map_structure(np.testing.assert_array_equal, whole, again)
    tf.nest.map_structure(
        np.testing.assert_array_equal, take(resumed, 4), whole[5:]
    )


def test_evaluation_is_not_augmented(painted):
    for config in (CONFIG, EVERYTHING):
        batches = pipeline.make_dataset(
            painted, config, batch_size=6, training=False
        )
        (batch,) = batches
        if config == CONFIG:
            plain = batch
    tf.nest.map_structure(np.testing.assert_array_equal, batch, plain)
