import contextlib
import copy
import io
import json
import math
import pickle

import numpy as np
import pytest
from pycocotools import coco, cocoeval
from pycocotools import mask as coco_mask

from keras_fair import evaluation
from tests import shared

METRICS = list(evaluation.METRICS)


def annotation(number, image_id, category_id, bbox, **more):
    area = bbox[2] * bbox[3]
    return {
        "id": number,
        "image_id": image_id,
        "category_id": category_id,
        "bbox": bbox,
        "area": area,
        "iscrowd": 0,
        **more,
    }


def ground_truth(annotations=(), num_images=1):
    """Images of 100 x 200 (height x width), ids from 1."""
    return {
        "images": [
            {"id": 1 + i, "height": 100, "width": 200}
            for i in range(num_images)
        ],
        "annotations": list(annotations),
        "categories": [
            {"id": 7, "name": "square"},
            {"id": 3, "name": "circle"},
        ],
    }


def detections(*images):
    """A batch; each image is a list of (x1, y1, x2, y2, score, label)."""
    slots = max(2, *map(len, images)) if images else 2
    batch = {
        "boxes": np.zeros((len(images), slots, 4), "float32"),
        "scores": np.zeros((len(images), slots), "float32"),
        "labels": np.full((len(images), slots), -1, "int32"),
        "num_detections": np.array([len(i) for i in images], "int32"),
    }
    for image, rows in enumerate(images):
        for row, (*box, score, label) in enumerate(rows):
            batch["boxes"][image, row] = box
            batch["scores"][image, row] = score
            batch["labels"][image, row] = label
    return batch


def update(evaluator, *images, first_id=1, **more):
    """Add images from `first_id` on at their original size."""
    count = len(images)
    evaluator.update(
        detections(*images),
        np.arange(first_id, first_id + count),
        np.tile([[100, 200]], (count, 1)),
        np.tile([[100, 200]], (count, 1)),
        **more,
    )


# Label 0 is the lowest category id, 3 ("circle"); label 1 is 7 ("square").
CIRCLE, SQUARE = 0, 1
SQUARES = [
    annotation(1, 1, 7, [0, 0, 40, 40]),
    annotation(2, 1, 7, [60, 0, 40, 40]),
]


def test_masks_are_pasted_by_the_rule():
    batch = detections([(60, 0, 100, 40, 0.7, SQUARE)])
    batch["masks"] = np.ones((1, 2, 28, 28), "float32")
    size = np.array([[100, 200]])
    found = {}
    for paste in ("sampled", "integer"):
        evaluator = evaluation.CocoEvaluator(ground_truth(), paste=paste)
        evaluator.update(batch, np.array([1]), size, size)
        (found[paste],) = evaluator.results("segm")
    area = {
        paste: coco_mask.area(record["segmentation"])
        for paste, record in found.items()
    }
    # The grown box, cut to pixels 58 to 101 and -1 to 41, without its border
    # and what that takes of the four corners.
    assert area == {"sampled": 40 * 40, "integer": 42 * 41 - 4}


def test_an_unknown_rule_of_pasting_is_refused():
    with pytest.raises(ValueError, match="Expected paste as one of"):
        evaluation.CocoEvaluator(ground_truth(), paste="box")


def test_average_precision_worked_out_by_hand():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES))
    update(
        evaluator,
        [
            (0, 0, 40, 40, 0.9, SQUARE),  # hit: recall 1/2, precision 1
            (120, 0, 160, 40, 0.8, SQUARE),  # miss
            (60, 0, 100, 40, 0.7, SQUARE),  # hit: recall 1, precision 2/3
        ],
    )
    report = evaluator.summarize()
    # COCO reads the precision at recall 0, 0.01 .. 1: 51 points up to 1/2.
    expected = (51 * 1 + 50 * 2 / 3) / 101
    # pycocotools adds 2e-16 to a denominator.
    assert report["AP"] == pytest.approx(expected, abs=1e-12)
    assert report["AP50"] == pytest.approx(expected, abs=1e-12)
    assert (report["AR1"], report["AR10"], report["AR100"]) == (0.5, 1, 1)
    assert report["per_class"]["square"] == report["AP"]
    assert report["num_images"] == 1
    assert report["iou_type"] == "bbox"


def test_average_precision_counts_the_iou_thresholds_that_a_box_passes():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES[:1]))
    update(evaluator, [(0, 0, 40, 32.4, 0.9, SQUARE)])  # IoU 0.81
    report = evaluator.summarize()
    # 0.50, 0.55 .. 0.80 are passed, 0.85, 0.90 and 0.95 are not.
    assert report["AP"] == pytest.approx(0.7, abs=1e-12)
    assert report["AP75"] == pytest.approx(1.0, abs=1e-12)


def test_class_or_size_without_ground_truth_is_nan_and_not_in_the_mean():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES[:1]))
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE), (0, 0, 9, 9, 0.8, CIRCLE)])
    report = evaluator.summarize()
    assert math.isnan(report["per_class"]["circle"])
    assert math.isnan(report["APs"])  # 40 x 40 is medium
    assert report["AP"] == pytest.approx(1.0, abs=1e-12)


def test_no_detection_at_all_scores_zero():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES))
    update(evaluator, [])
    report = evaluator.summarize()
    assert report["AP"] == 0.0
    assert report["AR100"] == 0.0
    assert evaluator.results() == []


def test_ground_truth_without_objects_scores_nan():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)])
    assert math.isnan(evaluator.summarize()["AP"])


def test_empty_batch_adds_nothing():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES))
    update(evaluator)
    assert evaluator.image_ids == ()


def test_detections_in_an_image_without_objects_are_misses():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES[:1], 2))
    miss = (0, 0, 40, 40, 0.95, SQUARE)
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)], [miss])
    # The miss ranks first, so precision is 1/2 at every recall.
    assert evaluator.summarize()["AP"] == pytest.approx(0.5, abs=1e-12)


def test_objects_of_an_image_without_detections_count():
    objects = [SQUARES[0], annotation(2, 2, 7, [0, 0, 40, 40])]
    evaluator = evaluation.CocoEvaluator(ground_truth(objects, 2))
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)], [])
    report = evaluator.summarize()
    assert report["AR100"] == 0.5
    assert report["AP"] == pytest.approx(51 / 101, abs=1e-12)


def test_detections_in_a_crowd_are_neither_hits_nor_misses():
    crowd = annotation(2, 1, 7, [100, 0, 80, 80], iscrowd=1)
    evaluator = evaluation.CocoEvaluator(ground_truth([SQUARES[0], crowd]))
    inside = [(100 + 20 * i, 0, 120 + 20 * i, 40, 0.95, SQUARE) for i in (0, 1)]
    update(evaluator, [*inside, (0, 0, 40, 40, 0.9, SQUARE)])
    assert evaluator.summarize()["AP"] == pytest.approx(1.0, abs=1e-12)


def test_annotation_id_zero_is_found():
    # pycocotools alone takes id 0 for "no match".
    first = annotation(0, 1, 7, [0, 0, 40, 40])
    evaluator = evaluation.CocoEvaluator(ground_truth([first]))
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)])
    assert evaluator.summarize()["AP"] == pytest.approx(1.0, abs=1e-12)


def test_boxes_return_to_original_pixels_and_are_clipped():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    # The network saw 50 x 80 for 100 x 200: factors 2 down and 2.5 across.
    evaluator.update(
        detections([(8, 10, 40, 20, 0.9, CIRCLE), (-4, 30, 88, 60, 0.8, 1)]),
        np.array([1]),
        np.array([[50, 80]]),
        np.array([[100, 200]]),
    )
    first, second = evaluator.results()
    assert first["bbox"] == [20, 20, 80, 20]
    assert second["bbox"] == [0, 60, 200, 40]


def test_results_are_plain_python_for_json():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    update(evaluator, [(0, 0, 10, 10, 0.5, SQUARE)])
    (record,) = evaluator.results()
    assert record == {
        "image_id": 1,
        "category_id": 7,
        "bbox": [0.0, 0.0, 10.0, 10.0],
        "score": 0.5,
    }
    assert json.loads(json.dumps(record)) == record


def test_results_come_by_image_id_whatever_the_order_of_updates():
    evaluator = evaluation.CocoEvaluator(ground_truth(num_images=2))
    update(evaluator, [(0, 0, 10, 10, 0.5, 0)], first_id=2)
    update(evaluator, [(0, 0, 10, 10, 0.5, 0)], first_id=1)
    assert [r["image_id"] for r in evaluator.results()] == [1, 2]


def test_save_writes_the_results_and_leaves_no_other_file(tmp_path):
    evaluator = evaluation.CocoEvaluator(ground_truth())
    update(evaluator, [(0, 0, 10, 10, 0.3, SQUARE)])
    evaluator.save(tmp_path / "results.json")
    written = json.loads((tmp_path / "results.json").read_text())
    assert written == evaluator.results()
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_category_ids_give_the_order_of_labels():
    evaluator = evaluation.CocoEvaluator(ground_truth(), category_ids=[7, 3])
    update(evaluator, [(0, 0, 9, 9, 0.5, 0), (0, 0, 9, 9, 0.5, 1)])
    assert [r["category_id"] for r in evaluator.results()] == [7, 3]


@pytest.mark.parametrize("category_ids", [[7, 7], [7, 8]])
def test_category_ids_that_repeat_or_are_unknown_are_refused(category_ids):
    with pytest.raises(ValueError, match="Expected category_ids to name"):
        evaluation.CocoEvaluator(ground_truth(), category_ids)


def test_the_given_ground_truth_stays_as_it_was():
    truth = ground_truth(SQUARES)
    before = copy.deepcopy(truth)
    evaluator = evaluation.CocoEvaluator(truth)
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)])
    evaluator.summarize()
    assert truth == before


def test_summarize_is_silent_and_repeatable(capsys):
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES))
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)])
    first = evaluator.summarize()
    second = evaluator.summarize()
    assert [first[m] for m in METRICS[:3]] == [second[m] for m in METRICS[:3]]
    assert capsys.readouterr().out == ""


def test_an_image_added_twice_is_named_and_changes_nothing():
    evaluator = evaluation.CocoEvaluator(ground_truth(num_images=3))
    update(evaluator, [], first_id=2)
    with pytest.raises(ValueError, match="Image id 2 was added twice"):
        update(evaluator, [], [], first_id=1)
    assert evaluator.image_ids == (2,)


def test_an_image_twice_in_one_batch_is_named():
    evaluator = evaluation.CocoEvaluator(ground_truth(num_images=2))
    sizes = np.array([[100, 200]] * 2)
    with pytest.raises(ValueError, match="Image id 2 was added twice"):
        evaluator.update(detections([], []), np.array([2, 2]), sizes, sizes)


def test_an_unknown_image_is_named():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    with pytest.raises(ValueError, match="Image id 9 is not in the ground"):
        update(evaluator, [], first_id=9)


def test_another_original_size_than_in_the_ground_truth_is_refused():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    with pytest.raises(ValueError, match=r"\[100, 200\] .* of image id 1"):
        evaluator.update(
            detections([]),
            np.array([1]),
            np.array([[100, 200]]),
            np.array([[200, 100]]),
        )


def test_missing_images_are_an_error_unless_partial():
    objects = [SQUARES[0], annotation(2, 2, 7, [0, 0, 40, 40])]
    evaluator = evaluation.CocoEvaluator(ground_truth(objects, 2))
    update(evaluator, [(0, 0, 40, 40, 0.9, SQUARE)])
    with pytest.raises(ValueError, match=r"1 of 2 images .* among them \[2\]"):
        evaluator.summarize()
    report = evaluator.summarize(partial=True)
    # The object of image 2 is left out, or recall would be 1/2.
    assert report["AR100"] == 1.0
    assert report["num_images"] == 1


def test_partial_without_any_image_is_an_error():
    evaluator = evaluation.CocoEvaluator(ground_truth())
    with pytest.raises(ValueError, match="at least one"):
        evaluator.summarize(partial=True)


def test_merged_shards_equal_one_evaluator():
    truth = ground_truth([SQUARES[0], annotation(2, 2, 7, [0, 0, 9, 9])], 2)
    hit, miss = (0, 0, 40, 40, 0.9, SQUARE), (50, 0, 90, 40, 0.9, SQUARE)
    whole, one, two = (evaluation.CocoEvaluator(truth) for _ in range(3))
    update(whole, [hit], [miss])
    update(one, [miss], first_id=2)
    update(two, [hit], first_id=1)
    one.merge(pickle.loads(pickle.dumps(two)))
    assert one.results() == whole.results()
    np.testing.assert_equal(one.summarize(), whole.summarize())


def test_merge_refuses_an_image_that_both_hold():
    one, two = (evaluation.CocoEvaluator(ground_truth()) for _ in range(2))
    update(one, [])
    update(two, [])
    with pytest.raises(ValueError, match="Image id 1 was added twice"):
        one.merge(two)


def test_merge_refuses_other_labels():
    one = evaluation.CocoEvaluator(ground_truth())
    two = evaluation.CocoEvaluator(ground_truth(), [7, 3])
    with pytest.raises(ValueError, match="the same category_ids"):
        one.merge(two)


@pytest.mark.parametrize("classes", [["triangle"], []])
def test_a_subset_of_unknown_or_no_classes_is_refused(classes):
    with pytest.raises(ValueError, match="Expected subset 'masked'"):
        evaluation.CocoEvaluator(ground_truth(), subsets={"masked": classes})


@pytest.mark.parametrize("iou_type", ["segm", "keypoints"])
def test_a_type_that_was_not_gathered_is_refused(iou_type):
    evaluator = evaluation.CocoEvaluator(ground_truth())
    update(evaluator, [])
    with pytest.raises(ValueError, match="Expected iou_type"):
        evaluator.summarize(iou_type)


def test_masks_in_some_images_only_are_refused():
    evaluator = evaluation.CocoEvaluator(ground_truth(num_images=2))
    update(evaluator, [], rles=[[]])
    with pytest.raises(ValueError, match="rles for every image or for none"):
        update(evaluator, [], first_id=2)


def test_an_object_without_mask_is_ignored_in_mask_ap_alone():
    mask = np.zeros((100, 200), "uint8", order="F")
    mask[:40, :40] = 1
    with_mask = annotation(
        1, 1, 7, [0, 0, 40, 40], segmentation=[[0, 0, 40, 0, 40, 40, 0, 40]]
    )
    without = annotation(2, 1, 7, [100, 0, 40, 40])
    evaluator = evaluation.CocoEvaluator(ground_truth([with_mask, without]))
    rles = [coco_mask.encode(np.roll(mask, 100, 1)), coco_mask.encode(mask)]
    update(
        evaluator,
        [(100, 0, 140, 40, 0.9, SQUARE), (0, 0, 40, 40, 0.8, SQUARE)],
        rles=[rles],
    )
    report = evaluator.summarize("segm")
    # The better scored one would halve the precision.
    assert report["AP"] == pytest.approx(1.0, abs=1e-12)
    assert report["num_without_mask"] == 1
    boxes = evaluator.summarize()
    assert boxes["AP"] == pytest.approx(1.0, abs=1e-12)
    assert boxes["num_without_mask"] == 0


def test_mask_ap_of_boxes_alone_is_not_a_number():
    evaluator = evaluation.CocoEvaluator(ground_truth(SQUARES))
    update(evaluator, [], rles=[[]])
    report = evaluator.summarize("segm")
    assert math.isnan(report["AP"])
    assert report["num_without_mask"] == len(SQUARES)


def test_mask_and_box_are_scored_apart():
    mask = np.zeros((100, 200), "uint8", order="F")
    mask[:40, :40] = 1
    truth = annotation(
        1, 1, 7, [0, 0, 40, 40], segmentation=[[0, 0, 40, 0, 40, 40, 0, 40]]
    )
    evaluator = evaluation.CocoEvaluator(ground_truth([truth]))
    update(
        evaluator,
        [(0, 0, 40, 24, 0.9, SQUARE)],  # box IoU 0.6, mask IoU 1
        rles=[[coco_mask.encode(mask)]],
    )
    assert evaluator.iou_types == ("bbox", "segm")
    # 0.50, 0.55 and 0.60 are passed.
    assert evaluator.summarize("bbox")["AP"] == pytest.approx(0.3, abs=1e-12)
    assert evaluator.summarize("segm")["AP"] == pytest.approx(1.0, abs=1e-12)
    (record,) = evaluator.results("segm")
    assert "bbox" not in record
    assert json.loads(json.dumps(record)) == record


# Real images: coco_tiny.


def coco_tiny_path():
    return shared.coco_tiny() / "annotations" / "instances_val2017.json"


def silent_coco(path):
    with contextlib.redirect_stdout(io.StringIO()):
        return coco.COCO(str(path))


def direct_stats(path, results, iou_type, category_ids=None, image_ids=None):
    """What pycocotools says by itself about that file of results."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = coco.COCO(str(path))
        direct = cocoeval.COCOeval(truth, truth.loadRes(str(results)), iou_type)
        direct.params.catIds = category_ids or direct.params.catIds
        direct.params.imgIds = image_ids or direct.params.imgIds
        direct.evaluate()
        direct.accumulate()
        direct.summarize()
    return [math.nan if s == -1 else s for s in direct.stats.tolist()]


def perturbed(truth, image, random):
    """Jittered objects, some dropped, and false alarms, best first."""
    objects = truth.imgToAnns[image["id"]]
    ids = sorted(truth.cats)
    rows = []
    for one in objects:
        x, y, width, height = one["bbox"]
        jitter = random.normal(0, 0.08, 4) * [width, height, width, height]
        x1, y1, x2, y2 = jitter + [x, y, x + width, y + height]
        label = ids.index(one["category_id"])
        if random.random() < 0.8:
            rows.append((x1, y1, max(x1, x2), max(y1, y2), label))
    for _ in range(random.integers(0, 9)):
        x, y = random.uniform(0, [image["width"], image["height"]])
        width, height = random.uniform(4, 200, 2)
        rows.append((x, y, x + width, y + height, random.integers(len(ids))))
    # Two decimals, so that scores tie.
    scores = np.sort(random.random(len(rows)).round(2))[::-1]
    return [(*row[:4], s, row[4]) for row, s in zip(rows, scores, strict=True)]


FOUR = ["person", "zebra", "bus", "chair"]


def perturbed_evaluator(num_images):
    truth = silent_coco(coco_tiny_path())
    evaluator = evaluation.CocoEvaluator(
        coco_tiny_path(), subsets={"four": FOUR}
    )
    random = np.random.default_rng(0)
    image_ids = sorted(truth.imgs)[:num_images]
    for image_id in random.permutation(image_ids):
        image = truth.imgs[image_id]
        size = np.array([[image["height"], image["width"]]])
        batch = detections(perturbed(truth, image, random))
        batch["boxes"] *= 1.5
        evaluator.update(
            batch, np.array([image_id]), (size * 1.5).astype("int32"), size
        )
    return evaluator, image_ids


@pytest.fixture(scope="module")
def perturbed_report(tmp_path_factory):
    """The report on all images, and the file of results it is about."""
    evaluator, _ = perturbed_evaluator(num_images=80)
    results = tmp_path_factory.mktemp("perturbed") / "results.json"
    evaluator.save(results)
    return evaluator.summarize(), results


def test_real_images_equal_pycocotools_to_the_last_digit(perturbed_report):
    report, results = perturbed_report
    expected = direct_stats(coco_tiny_path(), results, "bbox")
    assert 0.1 < report["AP"] < 0.9
    np.testing.assert_array_equal([report[m] for m in METRICS], expected)


def test_subset_equals_pycocotools_on_those_classes_alone(perturbed_report):
    report, results = perturbed_report
    ids = silent_coco(coco_tiny_path()).getCatIds(catNms=FOUR)
    expected = direct_stats(coco_tiny_path(), results, "bbox", ids)
    subset = [report["subsets"]["four"][m] for m in METRICS]
    np.testing.assert_array_equal(subset, expected)


@pytest.mark.parametrize("name", ["zebra", "person"])
def test_class_equals_pycocotools_on_that_class_alone(name, perturbed_report):
    report, results = perturbed_report
    ids = silent_coco(coco_tiny_path()).getCatIds(catNms=[name])
    expected = direct_stats(coco_tiny_path(), results, "bbox", ids)
    assert report["per_class"][name] == expected[0]


def test_partial_equals_pycocotools_on_those_images_alone(tmp_path):
    evaluator, image_ids = perturbed_evaluator(num_images=20)
    results = tmp_path / "results.json"
    evaluator.save(results)
    report = evaluator.summarize(partial=True)
    expected = direct_stats(
        coco_tiny_path(), results, "bbox", image_ids=image_ids
    )
    np.testing.assert_array_equal([report[m] for m in METRICS], expected)


def test_the_masks_of_the_ground_truth_score_one(tmp_path):
    truth = silent_coco(coco_tiny_path())
    evaluator = evaluation.CocoEvaluator(coco_tiny_path())
    ids = sorted(truth.cats)
    image_ids = sorted(truth.imgs)[:40]  # 5 of them have crowd regions
    for image_id in image_ids:
        image = truth.imgs[image_id]
        objects = [a for a in truth.imgToAnns[image_id] if not a["iscrowd"]]
        corners = [coco_mask.toBbox(truth.annToRLE(a)) for a in objects]
        rows = [
            (x, y, x + w, y + h, 0.9, ids.index(a["category_id"]))
            for (x, y, w, h), a in zip(corners, objects, strict=True)
        ]
        size = np.array([[image["height"], image["width"]]])
        rles = [[truth.annToRLE(a) for a in objects]]
        evaluator.update(
            detections(rows), np.array([image_id]), size, size, rles
        )
    report = evaluator.summarize("segm", partial=True)
    assert report["AP"] == pytest.approx(1.0, abs=1e-9)
    present = [v for v in report["per_class"].values() if not math.isnan(v)]
    assert present == pytest.approx([1.0] * len(present), abs=1e-9)
    results = tmp_path / "masks.json"
    evaluator.save(results, "segm")
    expected = direct_stats(
        coco_tiny_path(), results, "segm", image_ids=image_ids
    )
    np.testing.assert_array_equal([report[m] for m in METRICS], expected)


POSE = np.array([[30.0, 20, 2], [50, 20, 1], [40, 60, 2]])


def people(keypoints=POSE):
    """One person of 60 x 80 in image 1, a crowd in image 2."""
    person = annotation(1, 1, 7, [10, 10, 60, 80], num_keypoints=3)
    crowd = annotation(2, 2, 7, [10, 10, 60, 80], num_keypoints=0)
    person["keypoints"] = keypoints.ravel().tolist()
    crowd.update(keypoints=[0] * 9, iscrowd=1)
    return ground_truth([person, crowd], num_images=2)


def find_people(evaluator, shift=0.0, scale=2):
    """Add the person of both images, found at `scale` times the size."""
    found = detections([(10, 10, 70, 90, 0.9, SQUARE)], [])
    found["boxes"] *= scale
    points = np.zeros((2, 2, 3, 3), "float32")
    # Pixel 0 of COCO is our 0.5.
    points[0, 0, :, :2] = (POSE[:, :2] + shift + 0.5) * scale
    points[0, 0, :, 2] = 0.7
    shapes = np.tile([[100, 200]], (2, 1))
    evaluator.update(
        {**found, "keypoints": points}, [1, 2], shapes * scale, shapes
    )


def test_the_true_keypoints_score_one():
    evaluator = evaluation.CocoEvaluator(people(), keypoint_sigmas=[0.05] * 3)
    find_people(evaluator)
    assert evaluator.iou_types == ("bbox", "keypoints")
    report = evaluator.summarize("keypoints")
    # pycocotools adds 2e-16 to a denominator.
    assert report["AP"] == pytest.approx(1.0, abs=1e-12)
    assert report["per_class"]["square"] == report["AP"]
    assert (report["AR"], report["ARm"]) == (1.0, 1.0)
    assert math.isnan(report["APl"])  # 60 x 80 is medium
    record = evaluator.results("keypoints")[0]
    assert sorted(record) == ["category_id", "image_id", "keypoints", "score"]
    np.testing.assert_allclose(
        np.reshape(record["keypoints"], (3, 3)),
        np.c_[POSE[:, :2], [0.7] * 3],
        rtol=1e-6,
    )
    assert "keypoints, 2 images" in evaluation.format_report(report)
    json.dumps(record)


def test_keypoints_that_are_off_pass_as_many_thresholds_as_oks_says():
    sigma, shift = 0.05, 4.0
    evaluator = evaluation.CocoEvaluator(people(), keypoint_sigmas=[sigma] * 3)
    find_people(evaluator, shift=shift)
    # COCO's object keypoint similarity of a shift in x and y.
    similarity = np.exp(-2 * shift**2 / (2 * (2 * sigma) ** 2 * 60 * 80))
    expected = np.mean(np.linspace(0.5, 0.95, 10) <= similarity)
    assert 0 < expected < 1
    report = evaluator.summarize("keypoints")
    assert report["AP"] == pytest.approx(expected, abs=1e-12)


def test_the_seventeen_keypoints_of_coco_are_the_default():
    evaluator = evaluation.CocoEvaluator(people())
    assert len(evaluator.keypoint_sigmas) == 17
    find_people(evaluator)
    with pytest.raises(ValueError, match="Expected 17 keypoints.*has 9 numb"):
        evaluator.summarize("keypoints")


def test_no_person_found_scores_zero():
    evaluator = evaluation.CocoEvaluator(people(), keypoint_sigmas=[0.05] * 3)
    found = {**detections([], []), "keypoints": np.zeros((2, 2, 3, 3), "f4")}
    shapes = np.tile([[100, 200]], (2, 1))
    evaluator.update(found, [1, 2], shapes, shapes)
    assert evaluator.summarize("keypoints")["AP"] == 0.0


def test_keypoints_in_only_some_images_are_refused():
    evaluator = evaluation.CocoEvaluator(ground_truth(num_images=3))
    find_people(evaluator)
    with pytest.raises(ValueError, match="and so keypoints"):
        update(evaluator, [], first_id=3)
    with pytest.raises(ValueError, match='"segm" needs masks in every'):
        evaluator.summarize("segm")
