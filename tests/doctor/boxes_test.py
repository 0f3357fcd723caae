import numpy as np
import pytest

from keras_fair.doctor import boxes, findings
from keras_fair.doctor import survey as survey_lib

IMAGE = survey_lib.Image("a.jpg", True, (40, 60))


def report_of(all_boxes, mask_boxes=None) -> list[str]:
    """Return what is said of all boxes together."""
    formats, found = boxes.Formats(), findings.Findings()
    for number, box in enumerate(all_boxes):
        mask_box = mask_boxes[number] if mask_boxes else None
        formats.add({"bbox": box}, IMAGE, mask_box)
    formats.report(found)
    return [each.code for each in found.listed()]


def test_good_boxes_are_of_no_other_format():
    assert not report_of([[5, 5, 20, 10], [0, 0, 60, 40], [30, 20, 9, 9]])


def test_boxes_that_fit_both_ways_are_left_alone():
    """Large objects at the left top are valid corners, too."""
    assert not report_of([[1, 1, 50, 30], [2, 3, 40, 30], [0, 5, 30, 30]])


def test_one_bad_box_of_many_is_no_other_format():
    good = [[5, 5, 20, 10]] * 9
    assert not report_of([*good, [30, 20, 50, 39]])


def test_two_boxes_say_nothing():
    assert not report_of([[30, 20, 50, 39], [40, 10, 55, 30]])


def test_masks_decide_where_corners_would_fit_the_image():
    """All lie in the image either way; the masks show what they are."""
    corners = [[5, 5, 30, 20], [10, 10, 40, 25], [8, 2, 50, 30]]
    masks = [tuple(map(float, box)) for box in corners]
    assert report_of(corners, masks) == ["boxes-corners"]
    assert not report_of(corners)


def test_overlap_is_the_iou_of_pairs():
    one = np.array([[0, 0, 10, 10], [0, 0, 10, 10], [0, 0, 1, 1]], float)
    two = np.array([[0, 0, 10, 5], [20, 0, 30, 9], [0, 0, 1, 1]], float)
    np.testing.assert_allclose(boxes.overlap(one, two), [0.5, 0, 1])


@pytest.mark.parametrize(
    ("box", "mask_box", "is_off"),
    [
        ((10, 10, 30, 30), (11, 11, 29, 29), False),  # IoU 0.81
        ((10, 10, 30, 30), (10, 10, 30, 20), True),
        ((10, 10, 13, 13), (10, 10, 12, 12), False),  # a pixel is nothing
    ],
)
def test_a_box_off_its_mask_is_reported(box, mask_box, is_off):
    codes = []
    boxes.compare(box, mask_box, lambda code, detail: codes.append(code))
    assert codes == ["box-off-mask"] * is_off
