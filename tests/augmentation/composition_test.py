import numpy as np
import pytest
import tensorflow as tf

from keras_fair.augmentation import composition

SIZE = 8  # of masks


def objects(boxes, masks=None, has_mask=None, labels=None, keypoints=None):
    count = len(boxes)
    if masks is None:
        masks = np.ones((count, SIZE, SIZE))
    if has_mask is None:
        has_mask = [True] * count
    if keypoints is None:
        keypoints = np.zeros((count, 1, 3))
    return {
        "boxes": tf.constant(np.reshape(boxes, (-1, 4)), tf.float32),
        "labels": tf.constant(labels or [*range(count)], tf.int32),
        "masks": tf.constant(masks, tf.uint8),
        "has_mask": tf.constant(has_mask, tf.bool),
        "keypoints": tf.constant(keypoints, tf.float32),
        "number": tf.range(count, dtype=tf.int64),
    }


def scene(shape, value, things, is_readable=True):
    return {
        "image": tf.fill([*shape, 3], tf.constant(value, tf.uint8)),
        "objects": things,
        "is_readable": tf.constant(is_readable),
    }


def covered(shape, box):
    found = np.zeros(shape, bool)
    x1, y1, x2, y2 = box
    found[y1:y2, x1:x2] = True
    return tf.constant(found)


def test_mosaic_puts_four_scenes_round_a_point():
    shapes = [(2, 3), (2, 5), (4, 3), (4, 5)]
    box = [0.0, 0.0, 2.0, 1.0]
    points = [[[1.0, 1.0, 2.0], [0.0, 0.0, 0.0]]]
    tiles = [
        scene(shape, 10 + i, objects([box], labels=[i], keypoints=points))
        for i, shape in enumerate(shapes)
    ]
    found = composition.mosaic(tiles)
    image = found["image"][..., 0].numpy()
    assert image.shape == (6, 8)
    np.testing.assert_array_equal(
        image[[0, 0, 2, 5], [0, 3, 0, 7]], [10, 11, 12, 13]
    )
    np.testing.assert_array_equal(
        found["objects"]["boxes"],
        [[0, 0, 2, 1], [3, 0, 5, 1], [0, 2, 2, 3], [3, 2, 5, 3]],
    )
    np.testing.assert_array_equal(found["objects"]["labels"], [0, 1, 2, 3])
    np.testing.assert_array_equal(
        found["objects"]["keypoints"][3], [[4, 3, 2], [0, 0, 0]]
    )
    assert found["is_readable"]


def test_mosaic_with_an_unreadable_tile_is_unreadable():
    tiles = [scene((2, 2), 1, objects([]), i != 2) for i in range(4)]
    assert not composition.mosaic(tiles)["is_readable"]


def test_pasted_pixels_and_objects_are_those_of_the_source():
    target = scene((10, 12), 1, objects([[0, 0, 4, 4]], labels=[7]))
    source = scene((5, 6), 9, objects([[1, 1, 3, 4]], labels=[8]))
    found = composition.paste(
        target, source, covered((5, 6), (1, 1, 3, 4)), tf.constant([4, 5])
    )
    expected = np.ones((10, 12))
    expected[5:8, 6:8] = 9
    np.testing.assert_array_equal(found["image"][..., 0], expected)
    np.testing.assert_array_equal(found["objects"]["labels"], [7, 8])
    np.testing.assert_array_equal(
        found["objects"]["boxes"], [[0, 0, 4, 4], [6, 5, 8, 8]]
    )


def test_object_of_which_no_pixel_is_pasted_is_left_out():
    boxes = [[1, 1, 3, 4], [4.6, 0, 5.4, 5]]  # the second between centres
    found = composition.paste(
        scene((10, 12), 1, objects([])),
        scene((5, 6), 9, objects(boxes, labels=[8, 9])),
        covered((5, 6), (1, 1, 3, 4)),
        tf.constant([4, 5]),
    )
    np.testing.assert_array_equal(found["objects"]["labels"], [8])


def test_occluded_object_keeps_what_is_left():
    box = [2, 2, 10, 10]  # a cell of its grid is a pixel
    hidden = composition.occlude(
        objects([box]), covered((12, 12), (0, 0, 5, 12))
    )
    np.testing.assert_array_equal(hidden["boxes"], [[5, 2, 10, 10]])
    assert hidden["masks"].numpy().all()


def test_object_covered_in_the_middle_keeps_its_box():
    hidden = composition.occlude(
        objects([[2, 2, 10, 10]]), covered((12, 12), (4, 4, 7, 7))
    )
    expected = np.ones((SIZE, SIZE))
    expected[2:5, 2:5] = 0
    np.testing.assert_array_equal(hidden["boxes"], [[2, 2, 10, 10]])
    np.testing.assert_array_equal(hidden["masks"], [expected])


def test_side_that_is_seen_stays_where_the_mask_does_not_reach_it():
    mask = np.ones((1, SIZE, SIZE))
    mask[:, :, :2] = 0  # thinner there than a cell
    hidden = composition.occlude(
        objects([[2, 2, 10, 10]], mask), covered((12, 12), (0, 8, 12, 12))
    )
    np.testing.assert_array_equal(hidden["boxes"], [[2, 2, 10, 8]])


def test_mask_is_hidden_by_pixels_and_not_by_its_old_cells():
    is_covered = covered((12, 16), (0, 0, 2, 12)) | covered(
        (12, 16), (5, 0, 6, 12)
    )
    hidden = composition.occlude(objects([[0, 2, 16, 10]]), is_covered)
    np.testing.assert_array_equal(hidden["boxes"], [[2, 2, 16, 10]])
    # The old cells were two pixels wide, and column 5 hid all of one. The new
    # centres lie in columns 2, 4, 6, 8, 9, 11, 13 and 15.
    assert hidden["masks"].numpy().all()


def test_vanished_object_is_dropped_and_one_without_a_mask_stays():
    boxes = [[2, 2, 10, 10], [1, 1, 9, 9], [11, 11, 12, 12]]
    masks = np.ones((3, SIZE, SIZE)) * [[[1]], [[0]], [[1]]]
    hidden = composition.occlude(
        objects(boxes, masks, [True, False, True]),
        covered((12, 12), (0, 0, 10, 10)),
    )
    np.testing.assert_array_equal(hidden["labels"], [1, 2])
    np.testing.assert_array_equal(hidden["boxes"], boxes[1:])
    np.testing.assert_array_equal(hidden["has_mask"], [False, True])


def test_covered_keypoints_are_labelled_but_hidden():
    points = [[[3.5, 3.5, 2], [8.5, 3.5, 2], [0, 0, 0], [3.5, 3.5, 1]]]
    hidden = composition.occlude(
        objects([[2, 2, 10, 10]], keypoints=points),
        covered((12, 12), (0, 0, 5, 12)),
    )
    np.testing.assert_array_equal(hidden["keypoints"][0, :, 2], [1, 2, 0, 1])
    np.testing.assert_array_equal(
        hidden["keypoints"][..., :2], np.array(points)[..., :2]
    )


def test_occluding_nothing_changes_nothing():
    rng = np.random.default_rng(0)
    boxes = [[0.3, 1.7, 11.2, 5.9], [2, 2, 2.5, 11]]
    before = objects(boxes, rng.integers(0, 2, (2, SIZE, SIZE)))
    after = composition.occlude(before, tf.zeros([12, 12], tf.bool))
    tf.nest.map_structure(np.testing.assert_array_equal, after, before)


@pytest.mark.parametrize("room, most", [(0, 0), (3, 3), (100, 60)])
def test_only_objects_with_masks_are_pasted_and_no_more_than_fit(room, most):
    has_mask = np.arange(100) % 5 < 3
    things = objects(np.ones((100, 4)), has_mask=has_mask)
    chosen = composition.choose_sources(things, room, tf.constant(3)).numpy()
    assert not chosen[~has_mask].any()
    assert chosen.sum() <= most
    if room == 100:
        # Half of 60: four standard deviations are 15.5.
        assert 14 < chosen.sum() < 46
        again = composition.choose_sources(things, room, tf.constant(3))
        np.testing.assert_array_equal(chosen, again)
        other = composition.choose_sources(things, room, tf.constant(4))
        assert (chosen != other.numpy()).any()


def test_pasted_image_lies_anywhere_inside():
    places = np.array(
        [
            composition.choose_place(
                tf.constant([3, 5]), tf.constant([5, 5]), tf.constant(seed)
            )
            for seed in range(40)
        ]
    )
    assert set(places[:, 0].tolist()) == {0, 1, 2}
    assert set(places[:, 1].tolist()) == {0}
