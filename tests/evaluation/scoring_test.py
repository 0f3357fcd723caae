import math

import pytest

from keras_fair.evaluation import annotations, scoring


def truth():
    """One 40 x 40 square; the class circle has no object."""
    square = {
        "id": 1,
        "image_id": 1,
        "category_id": 7,
        "bbox": [0, 0, 40, 40],
        "area": 1600,
    }
    return annotations.load(
        {
            "images": [{"id": 1}],
            "annotations": [square],
            "categories": [
                {"id": 7, "name": "square"},
                {"id": 3, "name": "circle"},
            ],
        }
    )


def found(width):
    box = {"image_id": 1, "category_id": 7, "bbox": [0, 0, width, 40]}
    return [{**box, "score": 0.9}]


def test_a_perfect_box_scores_one():
    scored = scoring.score(truth(), found(40), [1], "bbox")
    values = scoring.metrics(scored, [3, 7])
    assert list(values) == list(scoring.METRICS)
    # pycocotools adds 2e-16 to a denominator.
    assert values["AP"] == pytest.approx(1.0, abs=1e-12)
    assert values["ARm"] == 1.0


def test_categories_are_scored_alone_and_in_any_order():
    scored = scoring.score(truth(), found(40), [1], "bbox")
    one_way, other_way = ([7, 3], [3, 7])
    first = scoring.metrics(scored, one_way)
    assert first["AP"] == scoring.metrics(scored, other_way)["AP"]
    assert math.isnan(scoring.metrics(scored, [3])["AP"])


def test_no_records_score_zero_in_silence(capsys):
    scored = scoring.score(truth(), [], [1], "bbox")
    assert scoring.metrics(scored, [7])["AP"] == 0.0
    assert capsys.readouterr().out == ""


def report(**changes):
    values = dict.fromkeys(scoring.METRICS, 0.5)
    return {
        **values,
        "APs": math.nan,
        "per_class": {"square": 0.25, "circle": math.nan, "ellipse": 1.0},
        "subsets": {},
        "iou_type": "bbox",
        "num_images": 8,
        **changes,
    }


def test_report_lines_up():
    text = scoring.format_report(report())
    assert text.splitlines()[:7] == [
        "COCO evaluation: bbox, 8 images",
        "",
        "metric   value  IoU        objects  detections",
        "AP       0.500  0.50:0.95  all      100",
        "AP50     0.500  0.50       all      100",
        "AP75     0.500  0.75       all      100",
        "APs        n/a  0.50:0.95  small    100",
    ]
    assert text.splitlines()[-3:] == [
        "",
        "AP of each class",
        "square   0.250   circle     n/a   ellipse  1.000",
    ]


def test_report_shows_subsets_in_rows():
    values = dict.fromkeys(scoring.METRICS, 0.125)
    text = scoring.format_report(report(subsets={"with masks": values}))
    row = next(r for r in text.splitlines() if r.startswith("with masks"))
    assert row.split() == ["with", "masks", *["0.125"] * 6]
    row = next(r for r in text.splitlines() if r.startswith("all "))
    assert row.split() == ["all", *["0.500"] * 3, "n/a", *["0.500"] * 2]


def test_report_leaves_the_classes_out_of_every_part():
    whole = report(masks=report(iou_type="segm"))
    assert scoring.format_report(whole).count("AP of each class") == 2
    text = scoring.format_report(whole, per_class=False)
    assert "AP of each class" not in text and "square" not in text


def test_report_counts_objects_without_a_mask():
    text = scoring.format_report(report(num_without_mask=3))
    assert "3 objects without a mask are ignored." in text


def test_classes_with_masks_and_the_others_are_subsets():
    subsets = scoring.mask_subsets(("cat",), ("bus", "cat", "dog"))
    assert subsets == {
        "classes with masks in training": ("cat",),
        "classes without": ("bus", "dog"),
    }
    assert scoring.mask_subsets(("cat", "dog"), ("cat", "dog")) == {}


def test_report_of_many_classes_stays_within_a_terminal():
    names = {f"a class of long name {i}": 0.5 for i in range(80)}
    text = scoring.format_report(report(per_class=names))
    assert max(map(len, text.splitlines())) <= 79
    assert all(name in text for name in names)


def test_report_of_keypoints_has_their_metrics():
    values = dict.fromkeys(scoring.KEYPOINT_METRICS, 0.125)
    keypoints = report(iou_type="keypoints", **values)
    keypoints["subsets"] = {"tall": values}
    lines = scoring.format_report(report(keypoints=keypoints)).splitlines()
    start = lines.index("COCO evaluation: keypoints, 8 images")
    assert lines[start + 3 : start + 7] == [
        "AP       0.125  0.50:0.95  all      20",
        "AP50     0.125  0.50       all      20",
        "AP75     0.125  0.75       all      20",
        "APm      0.125  0.50:0.95  medium   20",
    ]
    assert ["tall", *["0.125"] * 5] in [line.split() for line in lines]
