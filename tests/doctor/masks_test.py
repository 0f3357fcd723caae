import numpy as np
import pytest
from pycocotools import mask as coco_mask

from keras_fair.data import rle
from keras_fair.doctor import masks


@pytest.mark.parametrize("seed", range(20))
def test_the_box_around_a_mask_is_pycocotools(seed):
    rng = np.random.default_rng(seed)
    mask = np.zeros((9, 7), np.uint8, order="F")
    top, left = rng.integers(0, 5, 2)
    part = mask[top : top + 4, left : left + 3]
    part[...] = rng.random(part.shape) < 0.6
    mask[8, 6] |= seed % 2  # a corner of the image
    part[0, 0] = 1
    encoded = coco_mask.encode(mask)
    x, y, width, height = coco_mask.toBbox(encoded).tolist()
    counts = rle.decode_counts(encoded["counts"])
    assert masks.around(counts, 9) == (x, y, x + width, y + height)


def test_a_run_over_whole_columns_covers_all_rows():
    assert masks.around([5, 20, 5], 6) == (0, 0, 5, 6)
