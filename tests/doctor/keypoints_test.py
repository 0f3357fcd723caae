"""The doctor and training draw the same line."""

import pytest

from keras_fair.data import keypoints as training
from keras_fair.doctor import keypoints, survey

IMAGE = survey.Image("a.jpg", has_name=True, shape=(40, 60))


def codes(points: list, names: tuple = ("nose",)) -> list[str]:
    found = []
    keypoints.check(
        {"keypoints": points},
        IMAGE,
        names,
        lambda code, detail: found.append(code),
    )
    return found


def is_refused(points: list) -> bool:
    try:
        training.read(points, 1, *IMAGE.shape)
    except ValueError:
        return True
    return False


# Two pixels out, from the pixel's middle.
@pytest.mark.parametrize("x", [-2.51, -2.5, -2.49, 61.49, 61.5, 61.51])
@pytest.mark.parametrize("visibility", [0, 1, 2])
def test_a_keypoint_may_be_as_far_out_as_in_training(x, visibility):
    points = [x, 5, visibility]
    is_far = visibility > 0 and not -2.5 <= x <= 61.5
    assert (codes(points) == ["keypoints-outside"]) == is_far
    assert is_refused(points) == is_far


def test_no_keypoints_are_no_fault():
    assert codes([], names=()) == []
    assert codes(None) == []
