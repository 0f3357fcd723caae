"""A model's anchors, as its config describes them."""

import numpy as np
import pytest

from keras_fair.config import PyramidConfig
from keras_fair.models import pyramid_anchors
from tests.models import tiny

PYRAMID = PyramidConfig(filters=8, min_level=2, max_level=6, coarse="pool")


def features():
    """Return the levels of a canvas of 64 x 96: P6 is rounded up."""
    sides = {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}
    sides["P6"] = (1, 2)
    return {n: np.zeros((2, *side, 8), "float32") for n, side in sides.items()}


def anchors(**changes):
    config = tiny.proposals(anchor_ratios=(1.0,), **changes)
    found = pyramid_anchors.anchor_boxes(features(), config)
    return {name: np.asarray(boxes) for name, boxes in found.items()}


def centres(boxes):
    return ((boxes[:, :2] + boxes[:, 2:]) / 2).tolist()


def test_every_level_has_its_own_size_and_stride():
    found = anchors()
    assert [len(boxes) for boxes in found.values()] == [384, 96, 24, 6, 2]
    assert found["P2"][0].tolist() == [-4, -4, 4, 4]
    assert found["P2"][25].tolist() == [0, 0, 8, 8]  # second row and column
    assert found["P6"].tolist() == [[-64, -64, 64, 64], [0, -64, 128, 64]]


def test_the_offset_moves_anchors_into_their_cells():
    assert centres(anchors(anchor_offset=0.5)["P6"]) == [[32, 32], [96, 32]]


def test_a_fitted_stride_is_the_canvas_by_the_cells():
    assert centres(anchors(anchor_stride="fitted")["P6"]) == [[0, 0], [48, 0]]
    assert centres(anchors(anchor_stride="fitted")["P5"])[-1] == [64, 32]


def test_rounded_anchors_have_whole_sides():
    ratios = {"anchor_ratios": (0.5,), "anchor_sizes": ((8.0,),) * 5}
    plain = pyramid_anchors.anchor_boxes(features(), tiny.proposals(**ratios))
    config = tiny.proposals(**ratios, anchor_rounding="box")
    rounded = pyramid_anchors.anchor_boxes(features(), config)
    half = 4 * 2**0.5
    expected = [-half, -half / 2, half, half / 2]
    np.testing.assert_allclose(plain["P2"][0], expected, rtol=1e-6)
    assert np.asarray(rounded["P2"])[0].tolist() == [-6, -3, 6, 3]


def test_a_cell_is_rounded_before_it_is_enlarged():
    config = tiny.proposals(
        anchor_ratios=(0.5,),
        anchor_sizes=((8.0,),) * 5,
        anchor_rounding="cell",
    )
    found = pyramid_anchors.anchor_boxes(features(), config)
    # 5.7 x 2.8 pixels on P2's cell of 4 x 4, 11.3 x 5.7 on P3's of 8 x 8.
    assert np.asarray(found["P2"])[0].tolist() == [-6, -3, 6, 3]
    assert np.asarray(found["P3"])[0].tolist() == [-5.5, -3, 5.5, 3]


def test_an_unknown_rounding_is_refused():
    config = tiny.proposals(anchor_rounding="up")
    with pytest.raises(ValueError, match='"box" or "cell". Received: \'up\''):
        pyramid_anchors.check_levels(PYRAMID, config)


def test_sizes_for_each_level_are_accepted():
    pyramid_anchors.check_levels(PYRAMID, tiny.proposals())


def test_sizes_for_another_number_of_levels_are_refused():
    config = tiny.proposals(anchor_sizes=((8.0,), (16.0,)))
    with pytest.raises(ValueError, match="P2, P3.*P6. Received: 2 tuples"):
        pyramid_anchors.check_levels(PYRAMID, config)


def test_an_unknown_rule_of_strides_is_refused():
    config = tiny.proposals(anchor_stride="exact")
    with pytest.raises(ValueError, match='"level" or "fitted".*\'exact\''):
        pyramid_anchors.check_levels(PYRAMID, config)
