"""Test-time augmentation on tiny detectors with random weights."""

import numpy as np
import pytest

from keras_fair import contract
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.models import test_time as views
from keras_fair.training import test_time
from tests.models import tiny

IDS = np.array([7, 3])  # not ascending
SHAPE = np.array([[60, 80], [60, 80]], "int32")  # of 64 x 96 pixels
SMALL = SHAPE // 2


@pytest.fixture(scope="module")
def detector():
    return test_time.AugmentedDetector(tiny.mask_rcnn(), batch_size=2)


@pytest.fixture(scope="module")
def boxes_detector():
    # Scores of random weights stay near the prior.
    model = tiny.retinanet(prior=0.2)
    return test_time.AugmentedDetector(model, batch_size=2)


@pytest.fixture(scope="module")
def images():
    """uint8 [2, 60, 80, 3]: noise with bright boxes in it."""
    return tiny.batch()[0]["images"][:, :60, :80]


def batch(images, rows=(0, 1)):
    """Return x and y of those rows, padded to the canvas."""
    rows = list(rows)
    height, width = images.shape[1:3]
    canvas = np.zeros((len(rows), tiny.HEIGHT, tiny.WIDTH, 3), "uint8")
    canvas[:, :height, :width] = images[rows]
    shape = np.tile(np.array([height, width], "int32"), (len(rows), 1))
    x = {"images": canvas, "image_shape": shape}
    return x, {"image_id": IDS[rows], "original_shape": 2 * SHAPE[rows]}


def mirrored(boxes, width):
    """Return boxes [.., 4] as the mirrored image shows them."""
    x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
    return np.stack([width - x2, y1, width - x1, y2], axis=-1)


def test_one_variant_is_plain_detection(detector, images):
    x, y = batch(images)

    found = detector.detect([test_time.Variant([(x, y)])])

    plain = detector.model.predict_on_batch(x)
    assert plain["num_detections"].min() > 3
    np.testing.assert_array_equal(found.image_id, [3, 7])
    np.testing.assert_array_equal(found.image_shape, SHAPE)
    np.testing.assert_array_equal(found.original_shape, 2 * SHAPE)
    for key in contract.DETECTION_KEYS:
        np.testing.assert_array_equal(found.detections[key], plain[key][::-1])
    # The masks come from another graph, which may add in another order.
    masks = plain["masks"][::-1]
    np.testing.assert_allclose(found.detections["masks"], masks, atol=1e-5)


def test_a_symmetric_image_gives_a_mirrored_answer(detector, images):
    symmetric = np.maximum(images, images[:, :, ::-1])
    batches = [batch(symmetric)]

    plain = detector.detect([test_time.Variant(batches)]).detections
    found = detector.detect([test_time.Variant(batches, True)]).detections

    contract.check_detections(found)
    valid = plain["labels"] >= 0
    np.testing.assert_array_equal(found["labels"], plain["labels"])
    np.testing.assert_array_equal(found["scores"], plain["scores"])
    np.testing.assert_allclose(
        # 80 - x rounds at a millionth of a pixel's order.
        found["boxes"][valid],
        mirrored(plain["boxes"], 80)[valid],
        atol=1e-4,
    )
    np.testing.assert_allclose(
        found["masks"], plain["masks"][..., ::-1], atol=1e-4
    )


def test_masks_are_the_average_over_the_unflipped_views(detector, images):
    small = images[:, ::2, ::2]
    # The second variant comes one by one and in another order.
    backwards = [batch(small, [1]), batch(small, [0])]
    variants = [
        test_time.Variant([batch(images)]),
        test_time.Variant(backwards, is_flipped=True),
    ]

    found = detector.detect(variants)

    united = found.detections
    contract.check_detections(united)
    predictor = views.MaskPredictor(detector.model)
    truth = {"boxes": united["boxes"], "labels": united["labels"]}
    large = predictor.predict_on_batch({**batch(images, [1, 0])[0], **truth})
    boxes = mirrored(united["boxes"] / 2, 40)
    x, _ = batch(small[:, :, ::-1], [1, 0])
    half = predictor.predict_on_batch({**x, **truth, "boxes": boxes})
    wanted = (large + half[..., ::-1]) / 2
    # Halves and mirrored corners round at 1e-5 pixels.
    np.testing.assert_allclose(united["masks"], wanted, atol=1e-4)
    np.testing.assert_array_equal(found.image_shape, SHAPE)


def test_both_views_contribute_to_what_is_found(boxes_detector, images):
    variants = [test_time.Variant([batch(images)], f) for f in (False, True)]

    alone = [
        boxes_detector.detect([variant]).detections for variant in variants
    ]
    united = boxes_detector.detect(variants).detections

    for one in alone:
        # The best of all views is certainly kept.
        assert (united["scores"][:, 0] >= one["scores"][:, 0]).all()
    scores = np.concatenate([one["scores"] for one in alone], axis=1)
    assert all(np.isin(united["scores"][n], scores[n]).all() for n in (0, 1))
    assert not np.array_equal(alone[0]["scores"], alone[1]["scores"])


def test_a_detector_without_masks_gives_boxes(boxes_detector, images):
    variants = [test_time.Variant([batch(images)], f) for f in (False, True)]

    found = boxes_detector.detect(variants)

    contract.check_detections(found.detections)
    assert set(found.detections) == set(contract.DETECTION_KEYS)
    assert (found.detections["boxes"][..., 2] <= 80).all()


def test_mask_proposals_are_refused():
    with pytest.raises(ValueError, match="Received: MaskProposalNetwork"):
        test_time.AugmentedDetector(tiny.mask_proposals(), batch_size=1)


def test_variants_of_other_images_are_an_error(boxes_detector, images):
    variants = [
        test_time.Variant([batch(images)]),
        test_time.Variant([batch(images, [0])]),
    ]

    with pytest.raises(ValueError, match=r"2 and 1 images.*\[3\]"):
        boxes_detector.detect(variants)


def test_a_variant_without_images_is_an_error(boxes_detector):
    with pytest.raises(ValueError, match="at least one image"):
        boxes_detector.detect([test_time.Variant([])])


def test_evaluation_scores_boxes_and_masks_of_all_parts(
    detector, images, capsys
):
    parts = [
        [test_time.Variant([batch(images, [n])], f) for f in (False, True)]
        for n in (0, 1)
    ]
    evaluator = CocoEvaluator(truth())

    report = test_time.evaluate(detector, parts, evaluator, num_views=4)

    assert report["num_images"] == 2
    assert 0 <= report["AP"] <= 1
    assert report["masks"]["iou_type"] == "segm"
    # Two images in two variants, for boxes and for masks.
    assert "8/8" in capsys.readouterr().out


def truth() -> dict:
    """Return one object in the first of the two images."""
    images = [
        {"id": int(n), "height": 120, "width": 160, "file_name": ""}
        for n in IDS
    ]
    annotation = {
        "id": 1,
        "image_id": 7,
        "category_id": 1,
        "bbox": [8, 12, 52, 60],
        "area": 52 * 60,
        "iscrowd": 0,
        "segmentation": [[8, 12, 60, 12, 60, 72, 8, 72]],
    }
    categories = [{"id": n, "name": f"class {n}"} for n in (1, 2, 3)]
    return {
        "images": images,
        "annotations": [annotation],
        "categories": categories,
    }
