import numpy as np
import pytest
from keras import ops

from keras_fair.models import mask_losses

# Two images, two RoIs each; each RoI's loss is the same at every pixel.
LOSS = np.array([[1.0, 2.0], [4.0, 8.0]], np.float32)
COUNTS = np.array([[True, False], [True, True]])
GT_INDEX = np.array([[0, 0], [1, 0]], np.int32)


def mean(y, counts=COUNTS):
    loss = np.broadcast_to(LOSS[:, :, None, None], (2, 2, 3, 3))
    result = mask_losses.mean_of_masks(
        ops.convert_to_tensor(loss), ops.convert_to_tensor(counts), GT_INDEX, y
    )
    return float(ops.convert_to_numpy(result))


def test_the_mean_is_over_what_counts():
    assert mean({}) == pytest.approx((1 + 4 + 8) / 3)


def test_objects_without_a_mask_do_not_count():
    # The first RoI of image 1 lies on its object 1, which has no mask.
    has_mask = ops.convert_to_tensor([[True, False], [True, False]])
    assert mean({"has_mask": has_mask}) == pytest.approx((1 + 8) / 2)


def test_without_any_mask_the_loss_is_zero():
    assert mean({}, np.zeros((2, 2), bool)) == 0.0
