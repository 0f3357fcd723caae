import numpy as np

from keras_fair.models import test_time
from tests.models import tiny


def detections(*rows):
    """One image's detections from rows (box, score, label)."""
    boxes, scores, labels = zip(*rows)
    labels = np.array([labels], "int32")
    return {
        "boxes": np.array([boxes], "float32"),
        "scores": np.array([scores], "float32"),
        "labels": labels,
        "num_detections": np.sum(labels >= 0, axis=1, dtype="int32"),
    }


def view(height, width, is_flipped):
    return test_time.View(np.array([[height, width]], "int32"), is_flipped)


PADDING = ((0, 0, 0, 0), 0.0, -1)
FIRST = detections(((0, 0, 10, 10), 0.9, 0), ((0, 0, 10, 10), 0.8, 1), PADDING)
# Its first box overlaps class 0 of the other by 0.8, its second nothing.
SECOND = detections(
    ((0, 0, 10, 8), 0.95, 0), ((20, 0, 30, 10), 0.5, 0), PADDING
)


def test_an_image_is_mirrored_within_its_valid_part():
    images = np.zeros((1, 3, 4, 3), "uint8")
    images[0, :2, :3, 0] = [[1, 2, 3], [4, 5, 6]]

    flipped = test_time.flip_images(images, np.array([[2, 3]], "int32"))

    wanted = [[3, 2, 1, 0], [6, 5, 4, 0], [0, 0, 0, 0]]
    np.testing.assert_array_equal(flipped[0, ..., 0], wanted)
    assert flipped.dtype == "uint8"


def test_boxes_of_a_mirrored_half_size_are_found_again():
    found = detections(((10, 5, 30, 25), 0.9, 2), PADDING)

    moved = test_time.move(found, view(50, 100, True), view(100, 200, False))

    # Twice as large: 20 to 60 of 200, seen from the right 140 to 180.
    wanted = [[[140, 10, 180, 50], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(moved["boxes"], wanted)
    np.testing.assert_array_equal(moved["labels"], found["labels"])
    assert moved["boxes"].dtype == "float32"


def test_moving_there_and_back_changes_nothing():
    source, target = view(50, 100, True), view(100, 200, False)
    found = detections(((10, 5, 30, 25), 0.9, 2), PADDING)

    moved = test_time.move(found, source, target)

    back = test_time.move(moved, target, source)
    np.testing.assert_array_equal(back["boxes"], found["boxes"])


def test_a_moved_box_stays_within_the_image():
    found = detections(((0, 0, 100, 101), 0.9, 0))

    moved = test_time.move(found, view(100, 100, False), view(333, 333, False))

    np.testing.assert_array_equal(moved["boxes"], [[[0, 0, 333, 333]]])


def test_the_better_of_two_views_wins_within_a_class():
    config = tiny.config(nms_iou=0.5, max_detections=5)

    united = test_time.unite([FIRST, SECOND], config)

    boxes = [[0, 0, 10, 8], [0, 0, 10, 10], [20, 0, 30, 10]]
    padding = [[0, 0, 0, 0]] * 2
    np.testing.assert_array_equal(united["boxes"], [boxes + padding])
    scores = np.array([[0.95, 0.8, 0.5, 0, 0]], "float32")
    np.testing.assert_array_equal(united["scores"], scores)
    np.testing.assert_array_equal(united["labels"], [[0, 1, 0, -1, -1]])
    np.testing.assert_array_equal(united["num_detections"], [3])


def test_uniting_obeys_the_threshold_and_the_limit_of_the_config():
    config = tiny.config(nms_iou=0.85, max_detections=2)

    united = test_time.unite([FIRST, SECOND], config)

    # An overlap of 0.8 is allowed now; the third and fourth find no room.
    np.testing.assert_allclose(united["scores"], [[0.95, 0.9]])
    np.testing.assert_array_equal(united["labels"], [[0, 0]])


def test_proposals_unite_by_the_settings_of_the_first_stage():
    proposals = tiny.proposals(nms_iou=0.7, max_proposals=2)
    labels = np.zeros((1, 3), "int32")
    both = [{**found, "labels": labels} for found in (FIRST, SECOND)]

    united = test_time.unite(both, tiny.rpn_config(proposals=proposals))

    np.testing.assert_allclose(united["scores"], [[0.95, 0.5]])


def test_a_single_view_is_not_suppressed_again():
    config = tiny.config(nms_iou=0.0)

    assert test_time.unite([FIRST], config) is FIRST


def test_the_mask_predictor_gives_masks_of_objects_alone():
    model = tiny.mask_rcnn()
    x, y = tiny.batch()

    masks = test_time.MaskPredictor(model).predict_on_batch(
        {**x, "boxes": y["boxes"], "labels": y["labels"]}
    )

    # tests/training/test_time_test.py compares them with the model's own.
    assert masks.shape == (*y["labels"].shape, 28, 28)
    assert masks[y["labels"] >= 0].min() > 0
    assert not masks[y["labels"] < 0].any()
