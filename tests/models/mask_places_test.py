"""The paper's scales, worked out: FPN, section 6 and appendix A."""

import math

import numpy as np
import pytest
from keras import ops

from keras_fair.config import MaskProposalsConfig, PyramidConfig
from keras_fair.models import mask_places
from keras_fair.ops import matching

BOTH = MaskProposalsConfig(
    windows=(5, 7), object_sides=(8.0, 8.0 * math.sqrt(2.0))
)
# P2 to P6 of an image of 1024 pixels.
FEATURES = {
    f"P{k}": np.zeros((1, 1024 >> k, 1024 >> k, 1)) for k in range(2, 7)
}
IMAGE_SHAPE = np.int32([[1024, 1024]])


def test_canonical_scales_are_the_papers():
    groups = mask_places.groups(BOTH)
    assert [group.name for group in groups] == [
        f"{window}x{window}_P{level}"
        for window in (5, 7)
        for level in range(2, 7)
    ]
    assert [group.object_side for group in groups] == pytest.approx(
        [32, 64, 128, 256, 512, 45.3, 90.5, 181.0, 362.0, 724.1], abs=0.05
    )
    assert [group.stride for group in groups] == [4, 8, 16, 32, 64] * 2


def test_regions_are_the_papers():
    sides = []
    for group in mask_places.groups(BOTH):
        regions = mask_places.region_boxes(FEATURES, group, BOTH.padding)
        regions = ops.convert_to_numpy(regions)
        assert regions.shape == ((1024 // group.stride) ** 2, 4)
        # The second place is in the middle of the second cell.
        middle = (regions[1, :2] + regions[1, 2:]) / 2
        assert middle.tolist() == [1.5 * group.stride, 0.5 * group.stride]
        sides.append(float(regions[0, 2] - regions[0, 0]))
    assert sides == pytest.approx(
        [40, 80, 160, 320, 640, 56.6, 113.1, 226.3, 452.5, 905.1], abs=0.05
    )


def positives(boxes, config=BOTH, image_shape=IMAGE_SHAPE) -> dict:
    """Return by group the places (x, y) that are positive, pixels."""
    boxes = np.float32(boxes)[None]
    y = {"boxes": boxes, "labels": np.zeros(boxes.shape[:2], "int32")}
    found = {}
    for group in mask_places.groups(config):
        regions = mask_places.region_boxes(FEATURES, group, config.padding)
        inside = mask_places.is_inside(regions, group, image_shape)
        _, label = mask_places.label_group(group, regions, inside, y)
        regions, label = map(ops.convert_to_numpy, (regions, label))
        places = (regions[:, :2] + regions[:, 2:]) / 2
        chosen = places[label[0] == matching.POSITIVE]
        if len(chosen):
            found[group.name] = [tuple(place) for place in chosen.tolist()]
    return found


@pytest.mark.parametrize(
    ("side", "name"),
    [
        (3, "5x5_P2"),  # smaller than all
        (32, "5x5_P2"),
        (38, "5x5_P2"),  # 32 * 2 ** 0.25 = 38.05
        (39, "7x7_P2"),
        (45, "7x7_P2"),
        (64, "5x5_P3"),
        (150, "5x5_P4"),
        (180, "7x7_P4"),
        (512, "5x5_P6"),
        (700, "7x7_P6"),
        (1000, "7x7_P6"),  # larger than all
    ],
)
def test_an_object_is_predicted_by_the_nearest_scale_alone(side, name):
    # Its longer side counts, whichever that is.
    for width, height in ((side, side), (side, 2), (2, side)):
        box = [500 - width / 2, 500 - height / 2]
        box += [500 + width / 2, 500 + height / 2]
        assert list(positives([box])) == [name]


def test_one_head_takes_every_object():
    config = MaskProposalsConfig()
    found = [
        list(positives([[500, 500, 500 + side, 510]], config))
        for side in (45, 46, 90, 91)
    ]
    assert found == [["5x5_P2"], ["5x5_P3"], ["5x5_P3"], ["5x5_P4"]]


def test_places_within_a_stride_of_the_centre_are_positive():
    # Centre (505, 495), size 128, so P4: places at 8 + 16 n; 488 and 504 are
    # within 16 pixels of 495, 504 and 520 of 505.
    found = positives([[441, 475, 569, 515]])
    assert found == {"5x5_P4": [(504, 488), (520, 488), (504, 504), (520, 504)]}


def test_cells_outside_of_the_image_take_no_part():
    # 100 wide: of P4, the columns that begin at 0, 16, ... 96.
    (group,) = [g for g in mask_places.groups(BOTH) if g.name == "5x5_P4"]
    regions = mask_places.region_boxes(FEATURES, group, BOTH.padding)
    inside = mask_places.is_inside(regions, group, np.int32([[96, 100]]))
    inside = ops.convert_to_numpy(inside).reshape(64, 64)
    assert inside.any(0).sum() == 7
    assert inside.any(1).sum() == 6
    # Centre (98, 48): the places at 88 and 104 would be positive in a larger
    # image, and 104 is, as its cell begins at 96; not those at 120.
    box = [[97, 0, 99, 128]]
    found = positives(box, image_shape=np.int32([[128, 100]]))
    assert found["5x5_P4"] == [(88, 56), (104, 56), (88, 72), (104, 72)]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"windows": (5, 7)}, r"Received: \(8.0,\) and \(5, 7\)"),
        (
            {"windows": (5, 7), "object_sides": (8.0, 16.0)},
            r"another size.*\(8.0, 16.0\), which on P2 to P3 are \[32",
        ),
    ],
)
def test_scales_that_do_not_fit_are_refused(changes, message):
    config = MaskProposalsConfig(
        pyramid=PyramidConfig(min_level=2, max_level=3), **changes
    )
    with pytest.raises(ValueError, match=message):
        mask_places.groups(config)
