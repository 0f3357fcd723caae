import numpy as np
import pytest

from keras_fair import contract


def inputs(**changes):
    return {
        "images": np.zeros((2, 64, 96, 3), np.uint8),
        "image_shape": np.array([[64, 96], [1, 1]], np.int32),
        **changes,
    }


def targets(**changes):
    """Two images: one with an object and a mask, one without objects."""
    masks = np.zeros((2, 3, 5, 5), np.uint8)
    masks[0, 0, 1:3] = 1
    return {
        "boxes": np.array(
            [[[1, 2, 5, 9]] + [[0] * 4] * 2, [[0] * 4] * 3]
        ).astype(np.float32),
        "labels": np.array([[0, -1, -1], [-1, -1, -1]], np.int32),
        "masks": masks,
        "has_mask": np.array([[True, False, False], [False] * 3]),
        **changes,
    }


def detections(**changes):
    return {
        "boxes": np.array([[[1, 2, 5, 9], [3, 3, 4, 4], [0] * 4]], np.float32),
        "scores": np.array([[0.9, 0.9, 0.0]], np.float32),
        "labels": np.array([[4, 0, -1]], np.int32),
        "num_detections": np.array([2], np.int32),
        "masks": np.zeros((1, 3, 28, 28), np.float32),
        **changes,
    }


def test_what_obeys_the_contract_passes():
    contract.check_inputs(inputs())
    contract.check_targets(targets(), 1)
    contract.check_detections(detections())


def test_masks_are_optional():
    y, found = targets(), detections()
    del y["masks"], y["has_mask"], found["masks"]
    contract.check_targets(y, 1)
    contract.check_detections(found)


def test_no_image_and_no_slot_are_ordinary():
    contract.check_targets(
        {
            "boxes": np.zeros((0, 0, 4), np.float32),
            "labels": np.zeros((0, 0), np.int32),
        },
        1,
    )


def test_has_mask_defaults_to_true():
    y = targets()
    del y["has_mask"]
    contract.check_targets(y, 1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"images": np.zeros((2, 64, 96, 3), np.float32)}, "as uint8"),
        ({"images": np.zeros((2, 64, 96, 1), np.uint8)}, "as uint8"),
        ({"images": np.zeros((64, 96, 3), np.uint8)}, "as uint8"),
        ({"images": np.zeros((2, 60, 97, 3), np.uint8)}, r"\(64, 128\)"),
        ({"image_shape": np.ones((2, 2), np.int64)}, "as int32"),
        ({"image_shape": np.ones((3, 2), np.int32)}, "as int32"),
        ({"image_shape": np.zeros((2, 2), np.int32)}, "within 1.."),
        ({"image_shape": np.array([[64, 97]] * 2, np.int32)}, "within 1.."),
    ],
)
def test_bad_inputs_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        contract.check_inputs(inputs(**changes))


def test_missing_key_lists_the_keys():
    x = inputs()
    del x["image_shape"]
    with pytest.raises(ValueError, match=r"'image_shape'. Received: \['im"):
        contract.check_inputs(x)


def box(*numbers):
    """Targets whose one box is replaced."""
    boxes = targets()["boxes"]
    boxes[0, 0] = numbers
    return {"boxes": boxes}


def padding_box():
    boxes = targets()["boxes"]
    boxes[1, 2] = [1, 1, 2, 2]
    return {"boxes": boxes}


def wrong_mask(row, value):
    masks = targets()["masks"]
    masks[0, row, 0, 0] = value
    return {"masks": masks}


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"labels": np.full((2, 3), 1, np.int32)}, r"\(padding\) to 0"),
        ({"labels": np.full((2, 3), -2, np.int32)}, r"\(padding\) to 0"),
        ({"labels": np.full((2, 3), 0, np.int64)}, "as int32"),
        ({"labels": np.full((2, 4), 0, np.int32)}, "as int32"),
        (box(1, 2, np.nan, 9), "image 0, row 0"),
        (box(1, 2, np.inf, 9), "image 0, row 0"),
        (box(5, 2, 1, 9), "image 0, row 0"),
        (box(1, 2, 1, 9), "image 0, row 0"),
        (padding_box(), "image 1, row 2"),
        (wrong_mask(0, 255), "masks of 0 and 1. Received: 255"),
        (wrong_mask(1, 1), "has_mask is False"),
        ({"has_mask": np.ones((2, 3), np.uint8)}, "as bool"),
        ({"has_mask": np.ones((2, 3), bool)}, "True in a padded row"),
        ({"masks": np.zeros((2, 3, 5, 6), np.uint8)}, "square"),
        ({"masks": np.zeros((2, 3, 5, 5), np.float32)}, "as uint8"),
    ],
)
def test_bad_targets_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        contract.check_targets(targets(**changes), 1)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"scores": np.array([[0.1, 0.9, 0]], np.float32)}, "descending"),
        ({"scores": np.array([[0.9, np.nan, 0]], np.float32)}, "finite"),
        ({"scores": np.array([[0.9, 0.8, 0.1]], np.float32)}, "zeros"),
        ({"labels": np.array([[4, -1, -1]], np.int32)}, "exactly in the rows"),
        ({"labels": np.array([[4, 0, 0]], np.int32)}, "exactly in the rows"),
        ({"num_detections": np.array([3], np.int32)}, "exactly in the rows"),
        ({"boxes": np.full((1, 3, 4), np.nan, np.float32)}, "finite"),
        ({"boxes": np.ones((1, 3, 4), np.float32)}, "zeros where padded"),
        ({"masks": np.zeros((1, 2, 28, 28), np.float32)}, "as float32"),
    ],
)
def test_bad_detections_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        contract.check_detections(detections(**changes))


KEYPOINTS = np.zeros((2, 3, 2, 3), np.float32)
KEYPOINTS[0, 0] = [[2, 3, 1], [0, 0, 0]]


def test_keypoints_that_obey_the_contract_pass():
    contract.check_targets(targets(keypoints=KEYPOINTS), 1)
    contract.check_detections(detections(keypoints=KEYPOINTS[:1]))


@pytest.mark.parametrize(
    ("where", "keypoint"),
    [
        ((0, 0, 1), [4, 5, 0]),  # not labelled
        ((0, 1, 0), [4, 5, 2]),  # a padded row
        ((0, 0, 0), [np.nan, 5, 2]),
        ((0, 0, 0), [4, 5, 3]),
    ],
)
def test_a_wrong_keypoint_is_named(where, keypoint):
    keypoints = KEYPOINTS.copy()
    keypoints[where] = keypoint
    with pytest.raises(
        ValueError, match=f"row {where[1]}, keypoint {where[2]}"
    ):
        contract.check_targets(targets(keypoints=keypoints), 1)


@pytest.mark.parametrize(("row", "value"), [(2, 1.0), (0, np.inf)])
def test_detected_keypoints_are_finite_and_zero_where_padded(row, value):
    keypoints = np.zeros((1, 3, 2, 3), np.float32)
    keypoints[0, row, 1, 0] = value
    with pytest.raises(ValueError, match="finite keypoints, zeros where pad"):
        contract.check_detections(detections(keypoints=keypoints))
