import numpy as np
import pytest
import tensorflow as tf

from keras_fair.augmentation import mask_grids
from tests.augmentation import windows_test


def nearest(mask, box, size):
    """The slow truth: the pixel under each grid centre."""
    x1, y1, x2, y2 = np.float32(box)
    centres = (np.arange(size, dtype=np.float32) + np.float32(0.5)) / size
    columns = np.floor(x1 + centres * (x2 - x1)).astype(int)
    rows = np.floor(y1 + centres * (y2 - y1)).astype(int)
    return mask[rows.clip(0, len(mask) - 1)][
        :, columns.clip(0, mask.shape[1] - 1)
    ]


def sample(masks, boxes, size):
    """Encode full masks (None is none) and sample them in their boxes."""
    shape = next(mask.shape for mask in masks if mask is not None)
    runs = windows_test.encode(masks, shape)
    return mask_grids.box_frame_masks(
        runs.ends, runs.splits, boxes, shape, size
    ).numpy()


def test_masks_are_the_nearest_pixels():
    rng = np.random.default_rng(0)
    coarse = rng.uniform(size=(20, 7, 9)) < 0.5
    masks = coarse.repeat(8, 1).repeat(9, 2)  # 56 x 81 pixels
    corner = rng.uniform(0, 0.6, (20, 2)) * (81, 56)
    side = rng.uniform(0.02, 0.4, (20, 2)) * (81, 56)
    boxes = np.concatenate([corner, corner + side], 1).astype(np.float32)
    sampled = sample(list(masks), boxes, 28)
    for mask, box, got in zip(masks, boxes, sampled):
        np.testing.assert_array_equal(got, nearest(mask, box, 28))


def test_mask_of_the_whole_image_reaches_its_edges():
    mask = np.zeros((5, 4), bool)
    mask[-1, -1] = mask[0, 0] = True
    boxes = np.array([[0, 0, 4, 5]], np.float32)
    np.testing.assert_array_equal(
        sample([mask], boxes, 20)[0], mask.repeat(4, 0).repeat(5, 1)
    )


def test_instance_without_mask_is_zero_among_others():
    full = np.ones((5, 4), bool)
    boxes = np.array([[0, 0, 4, 5]] * 4, np.float32)
    sampled = sample([None, full, None, full], boxes, 3)
    np.testing.assert_array_equal(sampled.all((1, 2)), [0, 1, 0, 1])
    np.testing.assert_array_equal(sampled.any((1, 2)), [0, 1, 0, 1])


@pytest.mark.parametrize("count", [0, 3])
def test_image_without_any_mask_has_zeros(count):
    sampled = mask_grids.box_frame_masks(
        tf.zeros([0], tf.int32),
        tf.zeros([count + 1], tf.int64),
        tf.ones([count, 4]),
        [5, 4],
        7,
    )
    np.testing.assert_array_equal(sampled, np.zeros((count, 7, 7)))


def test_pixel_indices_of_many_huge_masks_do_not_overflow():
    # 60 images of 8000 x 6000 pixels exceed 32 bits.
    height, width, count = 8000, 6000, 60
    ends = np.tile([height * width // 2, height * width], count)
    sampled = mask_grids.box_frame_masks(
        tf.constant(ends, tf.int32),
        tf.range(0, 2 * count + 1, 2, tf.int64),
        tf.constant([[0.0, 0.0, width, height]] * count),
        [height, width],
        2,
    )
    np.testing.assert_array_equal(sampled, [[[0, 1], [0, 1]]] * count)


def test_finer_grid_takes_the_nearest_cells():
    mask = np.zeros((1, 8, 8), np.uint8)
    mask[:, :4, :4] = 1
    found = mask_grids.resample_masks(
        tf.constant(mask),
        tf.constant([[0.0, 0, 16, 16]]),
        tf.constant([[4.0, 0, 12, 4]]),
    ).numpy()
    assert found[0, :, :4].all() and not found[0, :, 4:].any()
