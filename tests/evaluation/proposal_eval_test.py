import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools import coco, cocoeval

from keras_fair import evaluation
from keras_fair.evaluation import rle


def annotation(number, bbox, image_id=1, category_id=1, **more):
    x, y, width, height = bbox
    corners = [x, y, x + width, y, x + width, y + height, x, y + height]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": width * height,
        "iscrowd": 0,
        "segmentation": [corners],
        **more,
    }


def ground_truth(annotations=(), num_images=1):
    """Images of 128 x 160 (height x width), ids from 1, two classes."""
    return {
        "images": [
            {"id": 1 + i, "height": 128, "width": 160}
            for i in range(num_images)
        ],
        "annotations": list(annotations),
        "categories": [
            {"id": 1, "name": "cat"},
            {"id": 2, "name": "dog"},
        ],
    }


def update(evaluator, *images, masks=None):
    """Add images from id 1 on: of each, boxes by descending score."""
    count, slots = len(images), max(1, *map(len, images))
    boxes = np.zeros((count, slots, 4), "float32")
    valid = np.zeros((count, slots), bool)
    for image, rows in enumerate(images):
        boxes[image, : len(rows)] = np.reshape(rows, (-1, 4))
        valid[image, : len(rows)] = True
    falling = np.linspace(0.9, 0.1, slots, dtype="float32")
    shape = np.tile([[128, 160]], (count, 1))
    found = {
        "boxes": boxes,
        "scores": np.where(valid, falling, 0).astype("float32"),
        "labels": np.where(valid, 0, -1).astype("int32"),
        "num_detections": valid.sum(1).astype("int32"),
    }
    if masks is not None:
        found["masks"] = masks
    evaluator.update(found, np.arange(1, count + 1), shape, shape)
    return evaluator


FAR = [100.0, 100.0, 110.0, 110.0]
TWO = [  # the first small, the second of medium size
    annotation(1, [0, 0, 20, 20], category_id=1),
    annotation(2, [40, 40, 50, 50], category_id=2),
]


def test_recall_worked_out_by_hand():
    rows = [FAR] * 9 + [[0, 0, 20, 20]] + [FAR] * 5 + [[40, 40, 90, 80.5]]
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO))
    report = update(evaluator, rows).summarize()
    # The tenth finds the small object. The sixteenth has 81 % of the other:
    # 0.50, 0.55 .. 0.80 of ten thresholds.
    assert report["AR10"] == 0.5
    assert report["AR100"] == pytest.approx((1 + 0.7) / 2)
    assert report["AR1000"] == report["AR100"]
    assert (report["AR10s"], report["AR10m"]) == (1.0, 0.0)
    assert report["AR100m"] == pytest.approx(0.7)
    assert math.isnan(report["AR1000l"])
    assert (report["iou_type"], report["num_images"]) == ("bbox", 1)


def test_classes_do_not_count():
    of_both = [[0, 0, 20, 20], [40, 40, 90, 90]]
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO))
    # All proposals have label 0; the second object is of the other class.
    assert update(evaluator, of_both).summarize()["AR10"] == 1.0


def test_objects_of_a_crowd_need_not_be_found():
    crowd = annotation(3, [100, 0, 40, 40], iscrowd=1)
    evaluator = evaluation.ProposalEvaluator(ground_truth([*TWO, crowd]))
    found = [[0, 0, 20, 20], [40, 40, 90, 90]]
    assert update(evaluator, found).summarize()["AR10"] == 1.0


def test_nothing_found_and_nothing_to_find():
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO))
    assert update(evaluator, []).summarize()["AR1000"] == 0.0
    evaluator = evaluation.ProposalEvaluator(ground_truth())
    assert math.isnan(update(evaluator, [FAR]).summarize()["AR1000"])


def random_case():
    """Three images of many objects and 150 proposals each, with masks."""
    rng = np.random.default_rng(0)
    annotations, images = [], []
    for image_id in (1, 2, 3):
        sides = rng.uniform(6, 110, (12, 2))
        corners = rng.uniform(0, 1, (12, 2)) * ([160, 128] - sides)
        for number in range(12):
            box = [*corners[number].tolist(), *sides[number].tolist()]
            key = 100 * image_id + number
            kind = 1 + number % 2
            annotations.append(annotation(key, box, image_id, kind))
        truth = np.concatenate([corners, corners + sides], axis=1)
        rows = truth[rng.integers(0, 12, 150)] + rng.normal(0, 4, (150, 4))
        low, high = rows[:, :2], np.maximum(rows[:, 2:], rows[:, :2] + 2)
        images.append(np.concatenate([low, high], 1).clip(0, [160, 128] * 2))
    masks = (rng.random((3, 150, 6, 6)) > 0.1).astype("float32")
    return ground_truth(annotations, 3), images, masks


@pytest.mark.parametrize("iou_type", ["bbox", "segm"])
def test_recall_is_what_pycocotools_prints(iou_type):
    truth, images, masks = random_case()
    evaluator = evaluation.ProposalEvaluator(truth)
    report = update(evaluator, *images, masks=masks).summarize(iou_type)

    records = []
    for image_id, boxes in enumerate(images, 1):
        boxes = np.float32(boxes)
        rles = rle.encode_masks(masks[image_id - 1], boxes, 128, 160)
        scores = np.linspace(0.9, 0.1, 150, dtype="float32").tolist()
        for box, score, each in zip(boxes.tolist(), scores, rles):
            x1, y1, x2, y2 = box
            record = {"image_id": image_id, "category_id": 2, "score": score}
            record["bbox"] = [x1, y1, x2 - x1, y2 - y1]
            if iou_type == "segm":
                record.pop("bbox")
                record["segmentation"] = each
            records.append(record)
    with contextlib.redirect_stdout(io.StringIO()):
        expected = coco.COCO()
        expected.dataset = truth
        expected.createIndex()
        scored = cocoeval.COCOeval(
            expected, expected.loadRes(records), iou_type
        )
        scored.params.useCats = 0
        scored.params.maxDets = [10, 100, 1000]
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    names = ("AR10", "AR100", "AR1000", "AR1000s", "AR1000m", "AR1000l")
    found = [report[name] for name in names]
    np.testing.assert_allclose(found, scored.stats[6:], rtol=1e-12)
    assert 0.1 < report["AR10"] < report["AR100"] < report["AR1000"] < 1.0
    # Of sizes, pycocotools prints what all of the proposals find; fewer find
    # less or the same.
    for letter in "sml":
        found = [report[f"AR{limit}{letter}"] for limit in (10, 100, 1000)]
        assert found == sorted(found) and found[2] > 0.0


def test_masks_are_scored_beside_boxes():
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO))
    rows = [[0, 0, 20, 20], [40, 40, 90, 90]]
    masks = np.ones((1, 2, 4, 4), "float32")
    masks[0, 0, :, 3:] = 0  # three quarters of the first object
    update(evaluator, rows, masks=masks)
    assert evaluator.iou_types == ("bbox", "segm")
    report = evaluator.summarize("segm")
    # Three quarters pass 0.50, 0.55 .. 0.70; a corner's pixel may be lost.
    assert report["AR10s"] == pytest.approx(0.5, abs=0.1)
    assert report["AR10m"] == 1.0
    assert evaluator.summarize("bbox")["AR10"] == 1.0


def test_objects_without_a_mask_are_ignored_and_counted():
    bare = {k: v for k, v in TWO[0].items() if k != "segmentation"}
    evaluator = evaluation.ProposalEvaluator(ground_truth([bare, TWO[1]]))
    masks = np.ones((1, 1, 4, 4), "float32")
    update(evaluator, [[40, 40, 90, 90]], masks=masks)
    report = evaluator.summarize("segm")
    assert (report["AR10"], report["num_without_mask"]) == (1.0, 1)


def test_images_that_were_not_added_are_an_error():
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO, num_images=2))
    update(evaluator, [FAR])
    with pytest.raises(ValueError, match="1 of 2 images were not added"):
        evaluator.summarize()
    assert evaluator.summarize(partial=True)["num_images"] == 1


def test_a_report_has_a_row_for_each_recall():
    evaluator = evaluation.ProposalEvaluator(ground_truth(TWO))
    report = update(evaluator, [[0, 0, 20, 20]]).summarize()
    lines = evaluation.format_report(report).splitlines()
    assert lines[0] == "Recall of proposals: bbox, 1 images"
    assert lines[3:] == [
        "AR10     0.500  0.50:0.95  all      10",
        "AR10s    1.000  0.50:0.95  small    10",
        "AR10m    0.000  0.50:0.95  medium   10",
        "AR10l      n/a  0.50:0.95  large    10",
        "AR100    0.500  0.50:0.95  all      100",
        "AR100s   1.000  0.50:0.95  small    100",
        "AR100m   0.000  0.50:0.95  medium   100",
        "AR100l     n/a  0.50:0.95  large    100",
        "AR1000   0.500  0.50:0.95  all      1000",
        "AR1000s  1.000  0.50:0.95  small    1000",
        "AR1000m  0.000  0.50:0.95  medium   1000",
        "AR1000l    n/a  0.50:0.95  large    1000",
    ]
