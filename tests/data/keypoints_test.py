import numpy as np
import pytest

from keras_fair.data import keypoints

NAMES = ("nose", "left_eye", "right_eye")


def test_names_are_those_of_the_categories_that_have_keypoints():
    person = {"name": "person", "keypoints": list(NAMES)}
    assert keypoints.read_names([{"name": "dog"}, person, person], "a") == NAMES


@pytest.mark.parametrize(
    ("lists", "count"), [([], 0), ([["nose"], ["tail"]], 2)]
)
def test_no_or_several_lists_of_names_are_refused(lists, count):
    categories = [{"keypoints": names} for names in lists]
    with pytest.raises(ValueError, match=f"people.json.* {count} different"):
        keypoints.read_names(categories, "people.json")


def test_left_and_right_change_places():
    assert keypoints.flip_order(NAMES) == (0, 2, 1)
    assert keypoints.flip_order(()) == ()


@pytest.mark.parametrize(
    ("name", "other"), [("left_ear", "right_ear"), ("right_ear", "left_ear")]
)
def test_a_side_without_the_other_is_refused(name, other):
    with pytest.raises(ValueError, match=f"'{other}' beside '{name}'"):
        keypoints.flip_order(("nose", name))


def read(points):
    return keypoints.read(points, 2, height=40, width=60)


def test_indices_of_pixels_become_their_centres():
    found = read([0, 0, 2, 59, 39, 1])
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, [[0.5, 0.5, 2], [59.5, 39.5, 1]])


def test_what_is_not_labelled_is_zero():
    np.testing.assert_array_equal(
        read([7, 8, 0, 3, 4.5, 2]), [[0, 0, 0], [3.5, 5, 2]]
    )
    np.testing.assert_array_equal(read(None), np.zeros((2, 3)))


def test_a_keypoint_just_outside_moves_to_the_edge():
    np.testing.assert_array_equal(read([-2, 5, 2, 61, 5, 2])[:, 0], [0, 60])


@pytest.mark.parametrize(
    ("points", "message"),
    [
        ("left", "expected keypoints as numbers"),
        ([1, 2, "3", 4, 5, 2], "expected keypoints as numbers"),
        ([1, 2, 2], "3 finite numbers for each of 2 keypoints"),
        ([1, float("nan"), 2, 4, 5, 2], "3 finite numbers"),
        ([1, 2, 3, 4, 5, 2], "expected visibilities 0, 1 or 2"),
        ([1, 2, 2, 70, 5, 2], "reaches 10.5 pixels out of the image"),
    ],
)
def test_a_wrong_list_is_refused(points, message):
    with pytest.raises(ValueError, match=message):
        read(points)
