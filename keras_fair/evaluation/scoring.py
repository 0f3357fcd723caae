"""Runs COCOeval and turns its tables into a dict of metrics and into text."""

import contextlib
import copy
import io
import math

import numpy as np
from pycocotools import coco, cocoeval

METRICS = {  # in the order of COCOeval.stats: IoU, object size, detections
    "AP": ("0.50:0.95", "all", 100),
    "AP50": ("0.50", "all", 100),
    "AP75": ("0.75", "all", 100),
    "APs": ("0.50:0.95", "small", 100),
    "APm": ("0.50:0.95", "medium", 100),
    "APl": ("0.50:0.95", "large", 100),
    "AR1": ("0.50:0.95", "all", 1),
    "AR10": ("0.50:0.95", "all", 10),
    "AR100": ("0.50:0.95", "all", 100),
    "ARs": ("0.50:0.95", "small", 100),
    "ARm": ("0.50:0.95", "medium", 100),
    "ARl": ("0.50:0.95", "large", 100),
}
KEYPOINT_METRICS = {  # the same of COCOeval for "keypoints"
    "AP": ("0.50:0.95", "all", 20),
    "AP50": ("0.50", "all", 20),
    "AP75": ("0.75", "all", 20),
    "APm": ("0.50:0.95", "medium", 20),
    "APl": ("0.50:0.95", "large", 20),
    "AR": ("0.50:0.95", "all", 20),
    "AR50": ("0.50", "all", 20),
    "AR75": ("0.75", "all", 20),
    "ARm": ("0.50:0.95", "medium", 20),
    "ARl": ("0.50:0.95", "large", 20),
}
# Of proposals, whose classes do not count: FPN's AR@100, AR@1000, AR_s@1000.
PROPOSAL_METRICS = {
    f"AR{detections}{letter}": ("0.50:0.95", size, detections)
    for detections in (10, 100, 1000)
    for letter, size in zip(
        ("", "s", "m", "l"), ("all", "small", "medium", "large")
    )
}
# COCO's falloff of each of a person's 17 keypoints, of the object's size.
COCO_SIGMAS = tuple(cocoeval.Params("keypoints").kpt_oks_sigmas.tolist())
# Of a partly supervised training, and what logs call them.
MASK_SUBSETS = {
    "classes with masks in training": "with_masks",
    "classes without": "without_masks",
}
TABLE_WIDTH = 79  # characters


def score(
    truth: coco.COCO,
    records: list,
    image_ids: list,
    iou_type: str,
    sigmas: tuple[float, ...] = COCO_SIGMAS,
) -> cocoeval.COCOeval:
    """Match COCO result records with the truth of these images, in silence.

    Args:
        truth: ground truth, see annotations.load.
        records: COCO result records; none is an ordinary case.
        image_ids: the images to score, at least one.
        iou_type: "bbox", "segm" or "keypoints".
        sigmas: of "keypoints", the falloff of each.

    Returns:
        The COCOeval, accumulated.
    """
    scored = prepare(truth, records, image_ids, iou_type)
    scored.params.kpt_oks_sigmas = np.array(sigmas)
    run(scored)
    return scored


def prepare(
    truth: coco.COCO, records: list, image_ids: list, iou_type: str
) -> cocoeval.COCOeval:
    """Return a COCOeval whose `params` may still be changed; see `score`."""
    with contextlib.redirect_stdout(io.StringIO()):
        if records:
            found = truth.loadRes(records)
        else:  # loadRes looks at the first record.
            found = coco.COCO()
            found.dataset = {**truth.dataset, "annotations": []}
            found.createIndex()
        scored = cocoeval.COCOeval(truth, found, iou_type)
    scored.params.imgIds = list(image_ids)
    return scored


def run(scored: cocoeval.COCOeval) -> None:
    """Match and accumulate, in silence."""
    with contextlib.redirect_stdout(io.StringIO()):
        scored.evaluate()
        scored.accumulate()


def metrics(scored: cocoeval.COCOeval, category_ids: list) -> dict:
    """Return `METRICS`, or `KEYPOINT_METRICS`, over these categories alone.

    COCOeval treats each category on its own and averages over all of them in
    `summarize`, so a summary of a part of its tables is exactly what COCOeval
    says of a data set with no other categories.

    Args:
        scored: from `score`.
        category_ids: ids of the ground truth, at least one.

    Returns:
        {metric: float}; NaN where there is no such object in the ground
        truth, where COCOeval says -1.
    """
    order = list(scored.params.catIds)
    rows = sorted(order.index(category_id) for category_id in category_ids)
    part = copy.copy(scored)
    part.eval = {
        "precision": scored.eval["precision"][:, :, rows],
        "recall": scored.eval["recall"][:, rows],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        part.summarize()
    names = _metrics(scored.params.iouType)
    return {
        name: math.nan if value == -1 else float(value)
        for name, value in zip(names, part.stats, strict=True)
    }


def _metrics(iou_type: str) -> dict:
    return KEYPOINT_METRICS if iou_type == "keypoints" else METRICS


def mask_subsets(with_masks: tuple, class_names: tuple) -> dict:
    """Return the classes that had masks in training and the others.

    Args:
        with_masks: names of those that had; all, if the training withheld
            none.
        class_names: all names.

    Returns:
        Subsets for a `CocoEvaluator`, none if all classes had masks.
    """
    without = tuple(name for name in class_names if name not in with_masks)
    both = dict(zip(MASK_SUBSETS, (with_masks, without)))
    return both if without else {}


def format_report(report: dict, per_class: bool = True) -> str:
    """Return a report of an evaluator's `summarize` as aligned text.

    Subsets follow the metrics as one row each; the AP of each class comes
    last. A metric without any object in the ground truth reads "n/a".
    """
    metrics, title = _metrics(report["iou_type"]), "COCO evaluation"
    if "AR1000" in report:
        metrics, title = PROPOSAL_METRICS, "Recall of proposals"
    lines = [
        f"{title}: {report['iou_type']}, {report['num_images']} images",
        "",
        f"{'metric':<8}{'value':>6}  {'IoU':<11}{'objects':<9}detections",
    ]
    for name, (iou, size, detections) in metrics.items():
        value = _number(report[name])
        lines.append(f"{name:<8}{value:>6}  {iou:<11}{size:<9}{detections}")
    if report["subsets"]:
        lines += ["", *_subset_table({**report["subsets"], "all": report})]
    if report.get("num_without_mask"):
        count = report["num_without_mask"]
        lines += ["", f"{count} objects without a mask are ignored."]
    if per_class and report["per_class"]:
        lines += ["", "AP of each class", *_class_table(report["per_class"])]
    for part in ("masks", "keypoints"):
        if part in report:
            lines += ["", format_report(report[part], per_class)]
    return "\n".join(lines)


def _number(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"


def _subset_table(subsets: dict) -> list[str]:
    some = next(iter(subsets.values()))
    names = [name for name in some if name.startswith("AP")]
    width = max(len("subset"), *map(len, subsets))
    heads = "".join(f"{name:>8}" for name in names)
    lines = [f"{'subset':<{width}}{heads}"]
    for subset, values in subsets.items():
        row = "".join(f"{_number(values[name]):>8}" for name in names)
        lines.append(f"{subset:<{width}}{row}")
    return lines


def _class_table(per_class: dict) -> list[str]:
    """Lay the classes out in columns, read downwards."""
    width = max(map(len, per_class))
    cells = [
        f"{name:<{width}} {_number(value):>6}"
        for name, value in per_class.items()
    ]
    columns = max(1, (TABLE_WIDTH + 3) // (width + 7 + 3))
    height = -(-len(cells) // columns)
    return ["   ".join(cells[row::height]) for row in range(height)]
