import numpy as np
import pytest

from keras_fair.checkpoints import layouts


@pytest.mark.parametrize("shape", [(2, 3, 4, 5), (2, 3), (4,)])
def test_layouts_are_undone_exactly(shape):
    array = np.random.default_rng(0).standard_normal(shape)
    there = layouts.to_theirs(array)
    np.testing.assert_array_equal(layouts.to_ours(there), array)


def test_a_kernel_is_laid_out_by_height_width_in_and_out():
    kernel = np.zeros((7, 5, 3, 1))  # out, in, height, width
    assert layouts.to_ours(kernel).shape == (3, 1, 5, 7)


def test_a_flattened_map_is_read_cell_by_cell():
    features = np.arange(2 * 3 * 3, dtype="f4").reshape(2, 3, 3)  # C, y, x
    kernel = features.reshape(1, -1)
    ours = layouts.channels_last(kernel, 2)
    assert ours[0].tolist() == features.transpose(1, 2, 0).ravel().tolist()
    np.testing.assert_array_equal(layouts.channels_first(ours, 2), kernel)


def test_a_kernel_of_other_features_is_left_to_be_reported():
    kernel = np.zeros((4, 7))
    assert layouts.channels_last(kernel, 2) is kernel


def test_slots_are_taken_in_the_order_asked_for():
    # Two anchors, three slots, two rows each.
    rows = np.arange(12)[:, None]
    taken = layouts.take_slots(rows, 3, (2, 0), size=2)
    assert taken[:, 0].tolist() == [4, 5, 0, 1, 10, 11, 6, 7]
    back = layouts.put_slots(taken, 3, (2, 0), size=2, fill=-1)
    assert back[:, 0].tolist() == [0, 1, -1, -1, 4, 5, 6, 7, -1, -1, 10, 11]
