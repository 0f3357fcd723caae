import numpy as np
import pytest

from keras_fair import visualization
from keras_fair.visualization import keypoints
from tests.visualization.drawn import RED, changed, grey, objects, pixels

# Without a label's text near the points.
BOX = (0, 0, 200, 200)
# A person facing the camera, in COCO's order; its left is our right.
PERSON = [
    *((100, 40), (104, 36), (96, 36), (109, 39), (91, 39)),
    *((120, 65), (80, 65), (133, 95), (67, 95), (133, 122), (67, 122)),
    *((112, 120), (88, 120), (114, 155), (86, 155), (116, 190), (84, 190)),
]


def person(third=2.0):
    points = np.zeros((1, 17, 3), "float32")
    points[0, :, :2] = np.add(PERSON, 0.5)  # the middles of pixels
    points[0, :, 2] = third
    return points


def drawn(points, **more):
    found = objects(BOX, keypoints=points, **more)
    return visualization.draw_detections(grey(220, 220), found)


def without():
    found = objects(BOX)
    return visualization.draw_detections(grey(220, 220), found)


def dots(*places):
    return np.array([[(*place, 1.0) for place in places]], "float32")


def test_a_dot_is_centred_on_the_pixel_that_it_names():
    # 50.5 is the middle of pixel 50.
    where = changed(drawn(dots((50.5, 60.5))), pixels(without()))
    rows, columns = np.nonzero(where)
    assert (rows.min(), rows.max()) == (58, 62)
    assert (columns.min(), columns.max()) == (48, 52)


def test_each_dot_has_the_colour_of_its_keypoint():
    picture = pixels(drawn(dots((50.5, 60.5), (90.5, 60.5))))
    assert tuple(picture[60, 50]) == visualization.class_color(0)
    assert tuple(picture[60, 90]) == visualization.class_color(1)
    assert tuple(picture[60, 70]) == (128, 128, 128)  # nothing joins them


def test_the_limbs_of_coco_are_drawn_in_the_colour_of_the_object():
    picture = pixels(drawn(person()))
    assert tuple(picture[107, 133]) == RED  # left forearm
    assert tuple(picture[120, 100]) == RED  # from hip to hip
    assert tuple(picture[92, 100]) == (128, 128, 128)  # within the trunk


@pytest.mark.parametrize("third", [0.0, keypoints.SCORE_THRESHOLD])
def test_what_is_not_labelled_or_too_unsure_is_not_drawn(third):
    assert np.array_equal(drawn(person(third)), without())


def test_a_limb_needs_both_of_its_ends():
    points = person()
    points[0, 9, 2] = 0  # left wrist
    where = changed(drawn(points), pixels(without()))
    assert not where[107, 133] and not where[122, 133]
    assert where[95, 133]  # the elbow
    assert where[107, 67]  # the right forearm


def test_every_limb_joins_two_of_the_17_once():
    limbs = {tuple(sorted(limb)) for limb in keypoints.SKELETON}
    assert len(limbs) == len(keypoints.SKELETON) == 19
    assert {end for limb in limbs for end in limb} == set(range(17))


def test_points_outside_the_picture_or_of_padding_are_no_fault():
    points = np.concatenate([person(), person(0)])
    points[0, :, 0] -= 150
    found = objects(BOX, (0, 0, 0, 0), keypoints=points)
    found["labels"][1] = -1
    visualization.draw_detections(grey(220, 220), found)


def test_keypoints_that_are_not_finite_are_refused():
    points = person()
    points[0, 3, 0] = np.nan
    with pytest.raises(ValueError, match="Expected finite keypoints"):
        drawn(points)
