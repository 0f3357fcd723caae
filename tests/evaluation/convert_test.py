import numpy as np
import pytest
from pycocotools import mask as coco_mask

from keras_fair.evaluation import convert, rle

SIZE = np.array([[100, 200]])


def detections(boxes=((0, 0, 8, 4),), scores=(0.9,), labels=(0,)):
    """One image."""
    return {
        "boxes": np.array([boxes], "float32"),
        "scores": np.array([scores], "float32"),
        "labels": np.array([labels], "int32"),
        "num_detections": np.array([len(scores)], "int32"),
    }


def split(image_shape=SIZE, original_shape=SIZE, rles=None, **changes):
    batch = convert.check_batch(
        detections(**changes), np.array([5]), image_shape, original_shape
    )
    (image,) = convert.split(batch, [3, 7], rles)
    return image


def test_boxes_scale_by_original_over_network_size_each_way():
    image = split(np.array([[50, 400]]), boxes=[(10, 20, 30, 45)])
    # Twice as high, half as wide, as x, y, width, height.
    np.testing.assert_array_equal(image.boxes, [[5, 40, 10, 50]])


def test_boxes_are_clipped_to_the_original_image():
    image = split(boxes=[(-5, 90, 250, 130)])
    np.testing.assert_array_equal(image.boxes, [[0, 90, 200, 10]])


def test_a_box_in_the_padding_keeps_its_row_without_area():
    image = split(boxes=[(210, 10, 250, 20)])
    np.testing.assert_array_equal(image.boxes, [[200, 10, 0, 10]])
    assert len(image.scores) == 1


def test_labels_become_category_ids_and_padding_goes():
    batch = detections(
        boxes=[(0, 0, 8, 4)] * 2 + [(0, 0, 0, 0)],
        scores=(0.9, 0.8, 0.0),
        labels=(1, 0, -1),
    )
    batch["num_detections"] = np.array([2], "int32")
    checked = convert.check_batch(batch, np.array([5]), SIZE, SIZE)
    (image,) = convert.split(checked, [3, 7], None)
    np.testing.assert_array_equal(image.category_ids, [7, 3])
    np.testing.assert_array_equal(image.scores, np.float32([0.9, 0.8]))


def test_masks_keep_their_runs_with_text_counts():
    rle = coco_mask.encode(np.ones((100, 200), "uint8", order="F"))
    image = split(rles=[[rle]])
    counts = rle["counts"].decode("ascii")
    assert image.rles == [{"size": [100, 200], "counts": counts}]


def test_masks_are_pasted_by_the_rule():
    batch = detections(boxes=[(3, 5, 20, 30)])
    batch["masks"] = np.ones((1, 1, 28, 28), "float32")
    checked = convert.check_batch(batch, np.array([5]), SIZE, 2 * SIZE)
    for paste in ("sampled", "integer"):
        (image,) = convert.split(checked, [3, 7], None, paste)
        (expected,) = rle.encode_masks(
            batch["masks"][0], [[6, 10, 40, 60]], 200, 400, paste=paste
        )
        assert image.rles[0]["counts"] == expected["counts"].decode("ascii")
    (sampled,) = convert.split(checked, [3, 7], None)
    assert sampled.rles != image.rles


def test_a_label_without_category_id_is_refused():
    with pytest.raises(ValueError, match="labels below 2.*Received: 2"):
        split(labels=(2,))


def test_a_batch_that_breaks_the_contract_is_refused():
    batch = detections()
    batch["boxes"] = batch["boxes"].astype("float64")
    with pytest.raises(ValueError, match="Expected 'boxes' as float32"):
        convert.check_batch(batch, np.array([5]), SIZE, SIZE)


def test_an_inverted_box_is_refused():
    with pytest.raises(ValueError, match="Expected boxes .* image id 5"):
        split(boxes=[(8, 0, 0, 4)])


def test_a_nan_score_is_refused():
    with pytest.raises(ValueError, match="Expected finite boxes and scores"):
        split(scores=(np.nan,))


@pytest.mark.parametrize("image_id", [np.array([5.0]), np.array([5, 6]), 5])
def test_ids_that_are_not_one_integer_an_image_are_refused(image_id):
    with pytest.raises(ValueError, match="Expected image_id as integers"):
        convert.check_batch(detections(), image_id, SIZE, SIZE)


def test_an_image_without_size_is_refused():
    with pytest.raises(ValueError, match="image_shape of at least 1 x 1"):
        split(image_shape=np.array([[0, 200]]))


def test_another_number_of_masks_than_detections_is_refused():
    with pytest.raises(ValueError, match=r"Expected \[1\] rles"):
        split(rles=[[]])


@pytest.mark.parametrize(
    "rle",
    [
        {"size": [200, 100], "counts": b"PPYo0"},
        {"size": [100, 200], "counts": [20_000]},
    ],
)
def test_a_mask_of_another_size_or_not_compressed_is_refused(rle):
    with pytest.raises(ValueError, match="compressed RLE"):
        split(rles=[[rle]])
