import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from keras_fair.augmentation import windows
from keras_fair.data import rle


def encode(masks, shape):
    """The runs of full masks; None is none."""
    counts = [
        np.zeros(0, np.int32)
        if mask is None
        else rle.decode_counts(
            coco_mask.encode(np.asfortranarray(mask, np.uint8))["counts"]
        )
        for mask in masks
    ]
    splits = np.cumsum([0, *map(len, counts)]).astype(np.int64)
    ends = [np.cumsum(c) for c in counts] or [np.zeros(0)]
    return windows.Runs(
        tf.constant(np.concatenate(ends), tf.int32),
        tf.constant(splits),
        tf.constant(shape, tf.int32),
    )


def tight(mask, top, left, height, width):
    """The slow truth: the box of a full mask's pixels in a window."""
    inside = np.zeros_like(mask)
    inside[top : top + height, left : left + width] = True
    rows, columns = np.nonzero(mask & inside)
    if not len(rows):
        return [0, 0, 0, 0]
    return [
        columns.min(),
        rows.min(),
        columns.max() + 1,
        rows.max() + 1,
    ]


@st.composite
def masks_and_window(draw):
    height, width = draw(st.integers(1, 9)), draw(st.integers(1, 9))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    density = draw(st.sampled_from([0.0, 0.05, 0.5, 0.95, 1.0]))
    count = draw(st.integers(0, 4))
    masks = list(rng.uniform(size=(count, height, width)) < density)
    has_mask = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    masks = [m if has else None for m, has in zip(masks, has_mask)]
    top = draw(st.integers(0, height - 1))
    left = draw(st.integers(0, width - 1))
    size = (
        draw(st.integers(1, height - top)),
        draw(st.integers(1, width - left)),
    )
    return masks, (height, width), (top, left), size


RUNS = windows.Runs(
    tf.TensorSpec([None], tf.int32),
    tf.TensorSpec([None], tf.int64),
    tf.TensorSpec([2], tf.int32),
)
PAIR = tf.TensorSpec([2], tf.int32)
# Graphs, for speed.
tight_boxes = tf.function(
    windows.tight_boxes, input_signature=[RUNS, PAIR, PAIR], autograph=False
)
draw_union = tf.function(
    windows.draw_union,
    input_signature=[RUNS, tf.TensorSpec([None], tf.int64)],
    autograph=False,
)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(masks_and_window())
def test_boxes_of_runs_are_those_of_the_pixels_in_the_window(case):
    masks, shape, start, size = case
    found = tight_boxes(
        encode(masks, shape), tf.constant(start), tf.constant(size)
    )
    expected = [
        [0] * 4 if mask is None else tight(mask, *start, *size)
        for mask in masks
    ]
    np.testing.assert_array_equal(found, np.reshape(expected, (-1, 4)))


@hypothesis.settings(max_examples=50, deadline=None)
@hypothesis.given(masks_and_window(), st.data())
def test_union_is_that_of_the_chosen_masks(case, data):
    masks, shape, _, _ = case
    rows = st.integers(0, max(len(masks) - 1, 0))
    chosen = data.draw(st.sets(rows) if masks else st.just(set()))
    expected = np.zeros(shape, bool)
    for row in chosen:
        if masks[row] is not None:
            expected |= masks[row]
    found = draw_union(
        encode(masks, shape), tf.constant(sorted(chosen), tf.int64)
    )
    np.testing.assert_array_equal(found, expected)


def test_only_boxes_that_are_cut_change():
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:9] = True  # an L, whose foot is to the right
    mask[2:8, 4] = True
    annotated = [3.5, 2.0, 9.0, 8.5]  # not tight, and stays
    boxes = tf.constant([annotated, annotated, [10, 2, 18.5, 8]])
    runs = encode([mask, None, None], mask.shape)

    whole = windows.visible_boxes(
        boxes, runs, tf.constant((0, 0)), tf.constant((10, 20))
    )
    lower = windows.visible_boxes(
        boxes, runs, tf.constant((5, 0)), tf.constant((5, 15))
    )

    np.testing.assert_array_equal(whole, boxes)
    np.testing.assert_array_equal(
        lower, [[4, 5, 5, 8], [3.5, 5, 9, 8.5], [10, 5, 15, 8]]
    )


def test_box_outside_of_the_window_has_no_area():
    mask = np.zeros((10, 20), bool)
    mask[2:5, 4:9] = True
    boxes = tf.constant([[4.0, 2, 9, 5]] * 2)
    found = windows.visible_boxes(
        boxes,
        encode([mask, None], mask.shape),
        tf.constant((6, 10)),
        tf.constant((4, 5)),
    ).numpy()
    assert ((found[:, 2:] - found[:, :2]).min(1) == 0).all()


def test_keypoints_outside_of_the_window_are_not_labelled():
    points = [[12, 5, 2], [9, 5, 2], [0, 0, 0], [20, 8, 1], [12, 9, 2]]
    found = windows.crop_keypoints(
        tf.constant([points], tf.float32),
        tf.constant((3, 10)),
        tf.constant((5, 10)),
    )
    expected = [[2, 2, 2], [0, 0, 0], [0, 0, 0], [10, 5, 1], [0, 0, 0]]
    np.testing.assert_array_equal(found, [expected])


def test_image_and_boxes_are_seen_from_the_windows_corner():
    image = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    start, size = tf.constant((1, 2)), tf.constant((2, 3))
    np.testing.assert_array_equal(
        windows.crop_image(image, start, size), image[1:3, 2:5]
    )
    boxes = tf.constant([[2.0, 1, 4, 3]])
    found = windows.shift_boxes(boxes, start)
    np.testing.assert_array_equal(found, [[0, 0, 2, 2]])


@pytest.mark.parametrize("count", [0, 2])
def test_image_without_masks_has_none_to_measure(count):
    runs = encode([None] * count, (4, 6))
    boxes = tf.ones([count, 4])
    found = windows.visible_boxes(
        boxes, runs, tf.constant((2, 2)), tf.constant((2, 2))
    )
    assert found.shape == (count, 4)
    assert not windows.has_mask(runs).numpy().any()
    union = windows.draw_union(runs, tf.zeros([0], tf.int64)).numpy()
    np.testing.assert_array_equal(union, np.zeros((4, 6), bool))
