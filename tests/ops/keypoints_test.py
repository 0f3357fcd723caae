"""Keypoints into heat maps and back: by hand, and equal to slow truths."""

import numpy as np
import pytest
from keras import ops

from keras_fair.ops import keypoints
from tests import modes
from tests.ops import keypoints_reference

BOX = np.array([[[10.0, 20.0, 50.0, 40.0]]], "float32")  # 40 x 20


def encode(*points, box=BOX, size=4):
    """Return the cells of keypoints [x, y, visibility] of one box."""
    points = np.array(points, "float32")[None, None]
    cells = keypoints.encode_keypoints(points, np.float32(box), size)
    return ops.convert_to_numpy(cells)[0, 0].tolist()


def test_a_cell_begins_at_its_left_and_upper_edge():
    # Cells are 10 pixels wide and 5 high.
    assert encode([10, 20, 2], [19.9, 24.9, 2], [20, 24.9, 2]) == [0, 0, 1]
    assert encode([10, 25, 2], [35, 31, 2]) == [4, 10]


def test_the_right_and_lower_edges_are_in_the_last_cell():
    assert encode([50, 20, 2], [10, 40, 2], [50, 40, 2]) == [3, 12, 15]
    assert encode([50, 40, 2], size=56) == [56 * 56 - 1]


def test_a_point_outside_the_box_does_not_count():
    outside = [[9.9, 30, 2], [50.1, 30, 2], [30, 19.9, 2], [30, 40.1, 2]]
    assert encode(*outside) == [-1, -1, -1, -1]


def test_visible_and_hidden_points_count_and_unlabelled_do_not():
    assert encode([30, 30, 2], [30, 30, 1], [30, 30, 0]) == [10, 10, -1]


def test_a_box_without_area_has_no_keypoints():
    assert encode([0, 0, 2], box=[[[0, 0, 0, 0]]]) == [-1]
    assert encode([5, 5, 2], box=[[[5, 0, 5, 9]]]) == [-1]


@modes.every_mode
def test_encoding_is_the_slow_one(mode):
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 40, (2, 5, 4)).astype("float32")
    boxes[..., 2:] += boxes[..., :2]
    points = rng.uniform(-0.1, 1.1, (2, 5, 3, 3)).astype("float32")
    points[..., :2] *= (boxes[..., 2:] - boxes[..., :2])[:, :, None]
    points[..., :2] += boxes[:, :, None, :2]
    points[..., 2] = rng.integers(0, 3, (2, 5, 3))
    found = modes.run(
        lambda *values: keypoints.encode_keypoints(*values, 56),
        points,
        boxes,
        mode=mode,
    )
    expected = keypoints_reference.encode(points, boxes, 56)
    assert found.dtype == "int32"
    assert (expected >= 0).sum() > 5
    np.testing.assert_array_equal(found, expected)


def decode(logits, boxes, mode="xla"):
    values = np.asarray(logits, "float32"), np.asarray(boxes, "float32")
    return modes.run(keypoints.decode_heatmaps, *values, mode=mode)


def test_a_peak_decodes_to_its_pixel():
    logits = np.zeros((1, 1, 56, 56, 1))
    logits[0, 0, 30, 20, 0] = 9.0
    # 56 pixels: the map itself.
    x, y, score = decode(logits, [[[100, 200, 156, 256]]])[0, 0, 0]
    assert (x, y) == (120.5, 230.5)
    expected = np.exp(9) / (np.exp(9) + 56 * 56 - 1)
    # A sum of 3136 terms in float32.
    assert score == pytest.approx(expected, rel=1e-4)
    # Three pixels a cell: the middle one of the cell.
    x, y, _ = decode(logits, [[[100, 200, 268, 368]]])[0, 0, 0]
    assert (x, y) == (161.5, 291.5)


def test_a_box_of_a_broken_number_of_pixels_is_divided_into_more():
    logits = np.zeros((1, 1, 56, 56, 1))
    logits[0, 0, -1, -1, 0] = 9.0
    # 56 pixels of 55.5 / 56 each.
    x, y, _ = decode(logits, [[[0, 0, 55.5, 56]]])[0, 0, 0]
    np.testing.assert_allclose([x, y], [55.5 * 55.5 / 56, 55.5], rtol=1e-6)


def test_padding_decodes_to_finite_values():
    logits = np.random.default_rng(0).normal(size=(1, 1, 56, 56, 2))
    found = decode(logits, np.zeros((1, 1, 4)))
    assert np.isfinite(found).all()
    np.testing.assert_array_equal(found[..., :2], 0.5)


def test_the_score_of_enormous_logits_is_at_most_one():
    rng = np.random.default_rng(0)
    logits = 1e4 * rng.normal(size=(1, 3, 56, 56, 2))
    found = decode(logits, [[[0, 0, 30, 40], [0, 0, 56, 56], [0, 0, 99, 99]]])
    assert np.isfinite(found).all()
    assert (found[..., 2] >= 0).all() and (found[..., 2] <= 1).all()


def smooth_maps(seed: int, count: int):
    """Return maps of two blobs of nearly one height each, plus noise."""
    rng = np.random.default_rng(seed)
    grid = np.arange(56)
    maps = rng.normal(0, 0.05, (1, count, 56, 56, 2))
    for row, keypoint in np.ndindex(count, 2):
        for height in (8.0, rng.uniform(6.0, 7.9)):
            x, y = rng.uniform(0, 56, 2)
            width = rng.uniform(1.5, 4)
            across = np.exp(-((grid - x) ** 2) / width**2)
            down = np.exp(-((grid - y) ** 2) / width**2)
            maps[0, row, :, :, keypoint] += height * np.outer(down, across)
    return maps.astype("float32")


@modes.every_mode
def test_small_boxes_decode_as_in_detectron2(mode):
    rng = np.random.default_rng(0)
    # Noise has its maximum anywhere; boxes of up to 56 pixels see it all.
    logits = rng.normal(size=(2, 6, 56, 56, 3)).astype("float32")
    boxes = rng.uniform(0, 300, (2, 6, 4)).astype("float32")
    boxes[..., 2:] = boxes[..., :2] + rng.uniform(1, 56, (2, 6, 2))
    boxes[0, 0, 2:] = boxes[0, 0, :2] + 0.4
    found = decode(logits, boxes, mode)
    expected = keypoints_reference.decode(logits, boxes)
    assert found.dtype == "float32"
    # Coordinates of some hundred in float32; scores sum 3136 terms.
    np.testing.assert_allclose(found[..., :2], expected[..., :2], atol=1e-4)
    np.testing.assert_allclose(found[..., 2], expected[..., 2], rtol=1e-4)


@pytest.mark.parametrize("side", [57.3, 431.7])
def test_large_boxes_decode_as_in_detectron2(side):
    logits = smooth_maps(int(side), 6)
    boxes = np.tile(np.float32([20, 10, 20 + side, 10 + 0.7 * side]), (1, 6, 1))
    found = decode(logits, boxes)
    expected = keypoints_reference.decode(logits, boxes)
    # Coordinates of up to 450 in float32.
    same = np.abs(found[..., :2] - expected[..., :2]).max(-1) < 1e-3
    assert same.mean() > 0.9  # where the two blobs are not equally high
    # And there the one found is nearly as high.
    assert (found[..., 2] > 0.75 * expected[..., 2]).all()
    np.testing.assert_allclose(
        found[..., 2][same], expected[..., 2][same], rtol=1e-4
    )


def test_the_centre_of_a_heatmap_cell_goes_round_trip():
    rng = np.random.default_rng(0)
    boxes = np.float32([[[30, 40, 30 + 224, 40 + 168]]])
    cells = rng.integers(0, 56, (17, 2))
    logits = np.zeros((1, 1, 56, 56, 17), "float32")
    logits[0, 0, cells[:, 1], cells[:, 0], np.arange(17)] = 9.0
    found = decode(logits, boxes)
    found = found + [0, 0, 2]
    encoded = encode(*found[0, 0], box=boxes, size=56)
    np.testing.assert_array_equal(encoded, cells[:, 1] * 56 + cells[:, 0])
