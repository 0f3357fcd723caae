import numpy as np
import pytest
import tensorflow as tf

from keras_fair.augmentation import scenes


@pytest.mark.parametrize("is_flipped", [0, 1])
def test_mask_of_a_view_is_cut_resized_and_mirrored(is_flipped):
    mask = np.zeros((6, 8), bool)
    mask[2:4, 3:5] = True
    view = [0, is_flipped, 6, 8, 32, 32, 2, 2, 3, 4, 0]  # twice as large
    found = scenes.view_mask(tf.constant(mask), tf.constant(view)).numpy()
    expected = np.zeros((6, 8), bool)
    expected[:4, 2:6] = True
    if is_flipped:
        expected = expected[:, ::-1]
    np.testing.assert_array_equal(found, expected)


def test_selected_objects_keep_their_order():
    objects = {"labels": tf.constant([3, 4, 5]), "boxes": tf.ones([3, 4])}
    found = scenes.select(objects, tf.constant([True, False, True]))
    np.testing.assert_array_equal(found["labels"], [3, 5])
    assert found["boxes"].shape == (2, 4)
