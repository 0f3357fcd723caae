"""Labels of places, on objects whose answer is worked out here."""

import math

import numpy as np
import pytest

from keras_fair.ops import anchors, mask_proposals, masks, matching
from tests import modes, reference

EVERY_SIZE = (0.0, math.inf)
ROOT = math.sqrt(2.0)


def test_one_head_stands_for_octaves():
    # The 5x5 head: 32 on P2 to 512 on P6; objects change level at 2^(n + 1/2).
    ranges = mask_proposals.size_ranges([32.0, 64.0, 128.0, 256.0, 512.0])
    bounds = [32 * ROOT * 2**level for level in range(4)]
    assert ranges == [
        (low, pytest.approx(high))
        for low, high in zip(
            [0.0, *map(pytest.approx, bounds)], [*bounds, math.inf]
        )
    ]


def test_two_heads_stand_for_half_octaves():
    # 128 and 128 * sqrt(2) on P4: each reaches a quarter octave both ways.
    sizes = [64.0, 128.0, 256.0, 64 * ROOT, 128 * ROOT, 256 * ROOT]
    ranges = mask_proposals.size_ranges(sizes)
    quarter = 2**0.25
    assert ranges[1] == pytest.approx((128 / quarter, 128 * quarter))
    assert ranges[4] == pytest.approx((128 * quarter, 128 * ROOT * quarter))
    assert (ranges[0][0], ranges[5][1]) == (0.0, math.inf)


def test_every_size_belongs_to_one_range():
    ranges = mask_proposals.size_ranges([45.3, 32.0, 90.5, 64.0])
    for size in (1.0, 38.0, 40.0, 53.9, 64.0, 76.2, 5000.0):
        assert sum(low <= size < high for low, high in ranges) == 1


def label(boxes, valid=None, size_range=EVERY_SIZE, shape=(8, 8), mode="eager"):
    """Label the places of P2: index and label as [8, 8] rows of cells."""
    (grid,) = [anchors.pyramid_anchors([shape], [4], [(40.0,)], (1.0,), 0.5)]
    boxes = np.float32(boxes)[None]
    valid = np.ones(boxes.shape[:2], bool) if valid is None else valid

    def labels(boxes, valid):
        return mask_proposals.label_places(
            (grid[:, :2] + grid[:, 2:]) / 2,
            boxes,
            valid,
            size_range=size_range,
            reach=4.0,
        )

    index, label = modes.run(labels, boxes, valid, mode=mode)
    assert (index.dtype, label.dtype) == ("int32", "int32")
    return index.reshape(shape), label.reshape(shape)


@modes.every_mode
def test_the_places_around_a_centre_are_positive(mode):
    # Centre (15, 9): the places at x = 14 and 18, y = 6 and 10 are within 4
    # pixels, those at 10 and 22, 2 and 14 are not.
    index, found = label([[5, 2, 25, 16]], mode=mode)
    expected = np.full((8, 8), matching.NEGATIVE)
    expected[1:3, 3:5] = matching.POSITIVE
    np.testing.assert_array_equal(found, expected)
    assert not index.any()


def test_a_centre_on_a_place_reaches_its_eight_neighbours():
    # The place of row 2, column 3 is at (14, 10), exactly 4 from the next.
    _, found = label([[4, 5, 24, 15]])
    expected = np.full((8, 8), matching.NEGATIVE)
    expected[1:4, 2:5] = matching.POSITIVE
    np.testing.assert_array_equal(found, expected)


def test_the_nearest_of_two_centres_is_taken():
    # Centres (13, 9) and (19, 9): columns 3 (x = 14) and 4 (x = 18) are within
    # reach of the first (10 .. 16), 4 and 5 of the second: 18 is reached by
    # none but the second.
    index, found = label([[8, 4, 18, 14], [14, 4, 24, 14]])
    assert np.flatnonzero(found[1]).tolist() == [2, 3, 4, 5]
    assert index[1, 2:6].tolist() == [0, 0, 1, 1]
    # Nearer together, at 13 and 16, the place at 14 has a choice.
    index, found = label([[11, 4, 21, 14], [8, 4, 18, 14]])
    assert np.flatnonzero(found[1]).tolist() == [2, 3, 4]
    assert index[1, 2:5].tolist() == [1, 1, 0]


def test_only_objects_of_the_size_are_positive():
    # Centres at x = 7 and 27, longer sides 16 and 12.
    boxes = [[3, 2, 11, 18], [21, 4, 33, 10]]
    _, both = label(boxes)
    _, large = label(boxes, size_range=(13.0, 17.0))
    assert both.any(axis=0).tolist() == [0, 1, 1, 0, 0, 0, 1, 1]
    assert large.any(axis=0).tolist() == [0, 1, 1, 0, 0, 0, 0, 0]
    # The upper end belongs to the next size.
    assert not label(boxes[:1], size_range=(13.0, 16.0))[1].any()
    assert label(boxes[:1], size_range=(16.0, 17.0))[1].any()


def test_padding_and_images_without_objects_are_background():
    boxes = [[0, 0, 0, 0], [5, 2, 25, 16]]
    valid = np.array([[False, False]])
    index, found = label(boxes, valid)
    assert (found == matching.NEGATIVE).all()
    assert not index.any()


def test_labels_are_those_of_a_slow_loop():
    rng = np.random.default_rng(0)
    boxes = reference.random_boxes(rng, 6, 40.0)
    index, found = label(boxes, size_range=(5.0, 25.0))
    positives = 0
    for row in range(8):
        for column in range(8):
            x, y = 4 * column + 2, 4 * row + 2
            best = None
            for number, (x1, y1, x2, y2) in enumerate(boxes.tolist()):
                dx, dy = abs(x - (x1 + x2) / 2), abs(y - (y1 + y2) / 2)
                fits = 5 <= max(x2 - x1, y2 - y1) < 25 and max(dx, dy) <= 4
                if fits and (best is None or dx**2 + dy**2 < best[0]):
                    best = (dx**2 + dy**2, number)
            assert (found[row, column] == matching.POSITIVE) == bool(best)
            if best:
                positives += 1
                assert index[row, column] == best[1]
    assert positives


def boxes_of(mask, region=(0, 0, 8, 8), mode="eager"):
    arrays = [np.float32(value)[None, None] for value in (mask, region)]
    found = modes.run(mask_proposals.mask_boxes, *arrays, mode=mode)
    return found[0, 0]


@modes.every_mode
def test_the_box_of_a_sharp_mask_ends_between_its_cells(mode):
    mask = np.zeros((8, 8))
    mask[2:5, 1:7] = 1
    np.testing.assert_array_equal(boxes_of(mask, mode=mode), [1, 2, 7, 5])
    # Cells of 5 x 10 pixels from (100, 200) on.
    box = boxes_of(mask, (100, 200, 140, 280))
    np.testing.assert_allclose(box, [105, 220, 135, 250], rtol=1e-6)


def test_the_box_ends_where_the_mask_crosses_the_threshold():
    mask = np.zeros((8, 8))
    mask[3, 2:5] = 0.25, 1.0, 0.8
    # Left of 3.5: from 0.25 to 1.0, 0.5 is two thirds of a cell away; right
    # of 4.5: from 0.8 to 0, three eighths; above and below of the best row:
    # from 1.0 to 0, one half.
    expected = [3.5 - 2 / 3, 3.5 - 0.5, 4.5 + 3 / 8, 3.5 + 0.5]
    np.testing.assert_allclose(boxes_of(mask), expected, rtol=1e-6)


def test_a_mask_that_fills_its_region_has_its_box():
    np.testing.assert_array_equal(boxes_of(np.ones((8, 8))), [0, 0, 8, 8])


def test_a_mask_without_a_pixel_has_no_area():
    x1, y1, x2, y2 = boxes_of(np.full((8, 8), 0.49))
    assert x2 <= x1 and y2 <= y1


def test_the_box_holds_what_pasting_shows():
    y, x = np.mgrid[:8, :8].astype("float32")
    mask = np.exp(-(((x - 3.2) / 3) ** 2) - ((y - 4.1) / 2) ** 2)  # a blob
    region = np.float32([[10, 20, 74, 84]])
    pasted = np.asarray(masks.paste_masks(mask[None], region, 100, 100))[0]
    rows, columns = np.nonzero(pasted)
    x1, y1, x2, y2 = boxes_of(mask, region[0])
    # Pixels count where their centre is inside; the tip of the blob may be
    # narrower than a pixel.
    for first, last, pixels in ((x1, x2, columns), (y1, y2, rows)):
        assert pixels.min() - 1.0 < first <= pixels.min() + 0.5
        assert pixels.max() + 0.5 <= last < pixels.max() + 2.0


def test_an_object_is_cut_by_its_region_not_its_window():
    # An object of 32 pixels on P2, in the middle of a region of 40; the 5x5
    # window is 20 pixels wide and would be filled by it.
    (region,) = anchors.pyramid_anchors([(1, 1)], [4], [(40.0,)], (1.0,), 0.5)
    box = np.float32([2 - 16, 2 - 16, 2 + 16, 2 + 16])
    target = masks.crop_shares(
        np.ones((1, 1, 112, 112), "uint8"),
        box[None, None],
        region[None, None],
        20,
        samples=8,
    )
    expected = np.zeros((20, 20))
    expected[2:18, 2:18] = 1  # 10 % on each side are context
    # The mask fades over its last cell, 1/112 of the box.
    np.testing.assert_allclose(target[0, 0], expected, atol=0.05)
