import dataclasses
import itertools

import numpy as np
import pytest

from keras_fair.config import DataConfig
from keras_fair.data import plan, sizes

CONFIG = DataConfig(
    short_sides=(64, 96),
    max_long_side=128,
    canvases=((128, 128), (96, 128), (128, 96)),
    scale_jitter=(0.8, 1.2),
)
# Landscape, portrait, and a single square, the rare canvas.
SHAPES = np.array([(60, 90)] * 7 + [(80, 50)] * 5 + [(70, 70)])


def take(
    count, batch_size=4, seed=0, start_step=0, config=CONFIG, factors=None
):
    """The first batches one by one, int32 [count, batch_size, C]."""
    chunks = plan.training_rows(
        SHAPES, config, batch_size, seed, start_step, factors
    )
    batches = itertools.chain.from_iterable(chunks)
    return np.stack(list(itertools.islice(batches, count)))


def test_every_plan_obeys_the_rule_of_resizing():
    config = dataclasses.replace(
        CONFIG, short_sides=(65,), scale_jitter=(1.0, 1.0), resize="floor"
    )
    expected = sizes.resized_shapes(SHAPES, 65, 128, "floor")
    assert (expected != sizes.resized_shapes(SHAPES, 65, 128)).any()

    trained = np.concatenate(take(20, config=config))
    np.testing.assert_array_equal(trained[:, 2:4], expected[trained[:, 0]])
    for rows in plan.evaluation_rows(SHAPES, config, (0, 1)):
        np.testing.assert_array_equal(rows[:, 2:4], expected[rows[:, 0]])
    # 64 / 63 * 95 is 96.5.
    narrow = dataclasses.replace(
        config, canvases=((64, 96),), short_sides=(64,), max_long_side=500
    )
    sizes.check_sizes(np.array([(63, 95)]), narrow)
    with pytest.raises(ValueError, match="fit none"):
        sizes.check_sizes(
            np.array([(63, 95)]), dataclasses.replace(narrow, resize="bilinear")
        )


def test_batch_has_one_canvas_that_holds_its_images():
    batches = take(50)
    canvases = batches[:, :, 4:6]
    assert (canvases == canvases[:, :1]).all()
    assert (batches[:, :, 2:4] <= canvases).all()


def test_no_image_is_lost():
    # Every image is due once an epoch; at most 3 wait for each canvas.
    records = take(130)[:, :, 0].ravel()
    counts = np.bincount(records, minlength=len(SHAPES))
    assert records.size == 130 * 4
    assert counts.min() >= 130 * 4 // len(SHAPES) - 3
    assert counts.max() <= 130 * 4 // len(SHAPES) + 3


def test_epochs_differ_in_order_flip_and_size():
    epochs = take(2 * len(SHAPES), batch_size=1)
    first, second = np.split(epochs[:, 0], 2)
    for column in (0, 1, 2):
        assert (first[:, column] != second[:, column]).any()
    first, second = first[first[:, 0].argsort()], second[second[:, 0].argsort()]
    for column in (1, 2):
        assert (first[:, column] != second[:, column]).any()


def test_seed_decides_everything():
    np.testing.assert_array_equal(take(9, seed=5), take(9, seed=5))
    assert (take(9, seed=5) != take(9, seed=6)).any()


@pytest.mark.parametrize("start_step", [0, 1, 3, 4, 17, 100])
def test_resumed_plan_goes_on_where_it_stopped(start_step):
    whole = take(start_step + 5)
    np.testing.assert_array_equal(
        take(5, start_step=start_step), whole[start_step:]
    )


def test_images_repeat_by_their_factors():
    factors = np.ones(len(SHAPES))
    factors[3], factors[8] = 2.0, 3.5
    # Batches of one image: none waits, so whole epochs are counted.
    num_epochs = 400
    length = round(num_epochs * factors.sum())
    records = take(length, batch_size=1, factors=factors)[:, 0, 0]
    counts = np.bincount(records, minlength=len(SHAPES)) / num_epochs
    # The last epoch may be cut, and half a turn of each is drawn: 4 standard
    # errors of 400 coins are 0.1.
    np.testing.assert_allclose(counts, factors, atol=0.12)


def test_repeated_images_are_flipped_and_sized_anew():
    factors = np.full(len(SHAPES), 50.0)
    batches = take(len(SHAPES) * 50, batch_size=1, factors=factors)[:, 0]
    rows = batches[batches[:, 0] == 0]
    assert len(rows) == 50
    assert len(np.unique(rows[:, 1:3], axis=0)) > 10
    # The sizes are those of the image.
    np.testing.assert_allclose(rows[:, 3] / rows[:, 2], 1.5, atol=0.05)


def test_factors_of_one_change_nothing():
    factors = np.ones(len(SHAPES))
    np.testing.assert_array_equal(take(30, factors=factors), take(30))


@pytest.mark.parametrize("start_step", [1, 17, 100])
def test_a_plan_with_factors_resumes_where_it_stopped(start_step):
    factors = np.linspace(1, 3, len(SHAPES))
    whole = take(start_step + 5, factors=factors)
    np.testing.assert_array_equal(
        take(5, start_step=start_step, factors=factors), whole[start_step:]
    )


def test_batch_larger_than_the_data_set_spans_epochs():
    batches = take(2, batch_size=40)
    assert batches.shape[:2] == (2, 40)


def test_flip_and_jitter_are_off_when_the_config_says_so():
    config = DataConfig(
        short_sides=(64,),
        max_long_side=128,
        canvases=((128, 128),),
        horizontal_flip=False,
    )
    batches = take(20, config=config)
    assert not batches[:, :, 1].any()
    assert (batches[:, :, 2:4].min(-1) == 64).all()


def test_sizes_are_drawn_from_the_whole_range():
    short = take(300)[:, :, 2:4].min(-1)
    assert 64 * 0.8 - 1 < short.min() < 64 * 0.8 + 2
    assert 96 * 1.2 - 5 < short.max() < 96 * 1.2 + 1


def test_evaluation_plans_every_image_once_and_unflipped():
    parts = plan.evaluation_rows(SHAPES, CONFIG, (0, 1))
    records = np.concatenate(parts)[:, 0]
    np.testing.assert_array_equal(np.sort(records), np.arange(len(SHAPES)))
    for part in parts:
        assert (np.diff(part[:, 0]) > 0).all()
        assert len(np.unique(part[:, 4:6], axis=0)) == 1
        assert not part[:, 1].any()


def test_evaluation_shards_share_the_images_out():
    records = [
        np.concatenate(plan.evaluation_rows(SHAPES, CONFIG, (i, 3)))[:, 0]
        for i in range(3)
    ]
    assert [len(r) for r in records] == [5, 4, 4]
    assert len(np.unique(np.concatenate(records))) == len(SHAPES)


def test_more_shards_than_images_are_refused():
    with pytest.raises(ValueError, match="at most one shard per image"):
        plan.evaluation_rows(SHAPES[:2], CONFIG, (2, 3))


def test_plan_of_coco_size_is_quick():
    shapes = np.random.default_rng(0).integers(400, 640, (118_000, 2))
    chunks = plan.training_rows(shapes, DataConfig(), 16, 0, 0)
    assert next(chunks).shape[0] > 7000
