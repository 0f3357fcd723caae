"""Reads COCO ground truth for pycocotools and refuses what it would misread.

pycocotools fails late or scores in silence what it should not: annotations
of unknown images, ids that occur twice, boxes that are not finite.
"""

import contextlib
import io
import json
import math
import os

from pycocotools import coco

ANNOTATION_KEYS = ("id", "image_id", "category_id", "bbox", "area")


def load(ground_truth: dict | str | os.PathLike) -> coco.COCO:
    """Return the ground truth indexed by pycocotools.

    Args:
        ground_truth: a COCO-format dict with `images`, `annotations` and
            `categories`, or the path of a JSON file of it. Left unchanged.

    Raises:
        TypeError: no COCO-format dict of lists.
        ValueError: a wrong record; the message shows it.
    """
    if not isinstance(ground_truth, dict):
        ground_truth = _read_json(ground_truth)
    for key in ("images", "annotations", "categories"):
        if not isinstance(ground_truth.get(key), list):
            raise TypeError(
                f"Expected COCO-format ground truth with the list {key!r}. "
                f"Received the keys: {sorted(ground_truth)}."
            )
    if not ground_truth["images"] or not ground_truth["categories"]:
        raise ValueError(
            "Expected ground truth with at least one image and one category. "
            f"Received: {len(ground_truth['images'])} images and "
            f"{len(ground_truth['categories'])} categories."
        )
    images = _unique(ground_truth["images"], "image", "id")
    categories = _unique(ground_truth["categories"], "category", "id")
    _unique(ground_truth["categories"], "category", "name")
    for annotation in ground_truth["annotations"]:
        _check_annotation(annotation, images, categories)
    _unique(ground_truth["annotations"], "annotation", "id")
    return _index(ground_truth)


def ignore_without_mask(truth: coco.COCO, image_ids) -> tuple[coco.COCO, int]:
    """Turn objects without a mask into crowd regions of their box.

    pycocotools needs a mask of every object. Of a crowd region it asks only
    which detections lie in it, and counts those neither way.

    Returns:
        The ground truth, and how many objects became so.

    Raises:
        ValueError: an image without size.
    """
    for image_id in image_ids:
        if not {"height", "width"} <= set(truth.imgs[image_id]):
            raise ValueError(
                "Expected height and width of every image, to score masks. "
                f"Image id {image_id} has none."
            )
    scored = set(image_ids)
    missing = [
        annotation
        for annotation in truth.dataset["annotations"]
        if annotation["image_id"] in scored
        and not annotation.get("segmentation")
    ]
    if not missing:
        return truth, 0
    replaced = {each["id"]: _box_crowd(each) for each in missing}
    changed = coco.COCO()
    changed.dataset = {
        **truth.dataset,
        "annotations": [
            replaced.get(annotation["id"], annotation)
            for annotation in truth.dataset["annotations"]
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        changed.createIndex()
    return changed, sum(not each["iscrowd"] for each in missing)


def _box_crowd(annotation: dict) -> dict:
    x, y, width, height = annotation["bbox"]
    right, bottom = x + width, y + height
    corners = [x, y, right, y, right, bottom, x, bottom]
    return {**annotation, "iscrowd": 1, "segmentation": [corners]}


def check_keypoints(truth: coco.COCO, image_ids, count: int) -> None:
    """Check that every object of these images can be scored by keypoints.

    Raises:
        ValueError: an annotation without so many keypoints.
    """
    for image_id in image_ids:
        for annotation in truth.imgToAnns[image_id]:
            size = len(annotation.get("keypoints") or ())
            if size != 3 * count or "num_keypoints" not in annotation:
                raise ValueError(
                    f"Expected {count} keypoints (one for each sigma), as x, "
                    "y and visibility, and num_keypoints in every annotation, "
                    f"to score keypoints. One of image id {image_id}, "
                    f"category id {annotation['category_id']}, has {size} "
                    "numbers."
                )


def _read_json(path) -> dict:
    with open(path, encoding="utf-8") as file:
        try:
            ground_truth = json.load(file)
        except ValueError as error:
            raise ValueError(
                f"Expected COCO-format JSON in {os.fspath(path)}. It does "
                f"not parse (is it truncated?): {error}."
            ) from error
    if not isinstance(ground_truth, dict):
        raise TypeError(
            f"Expected a COCO-format dict in {os.fspath(path)}. Received: a "
            f"{type(ground_truth).__name__}."
        )
    return ground_truth


def _unique(records: list, kind: str, key: str) -> set:
    expected = str if key == "name" else int
    values = set()
    for record in records:
        value = record.get(key)
        if type(value) is not expected or value in values:
            raise ValueError(
                f"Expected every {kind} to have its own {key!r}, an "
                f"{expected.__name__}. Received: {value!r} in {record}."
            )
        values.add(value)
    return values


def _check_annotation(annotation: dict, images: set, categories: set) -> None:
    missing = [key for key in ANNOTATION_KEYS if key not in annotation]
    if missing:
        raise ValueError(
            f"Expected {missing[0]!r} in every annotation. Received: "
            f"{annotation}."
        )
    if annotation["image_id"] not in images:
        raise ValueError(f"Annotation of an unknown image: {annotation}.")
    if annotation["category_id"] not in categories:
        raise ValueError(f"Annotation of an unknown category: {annotation}.")
    numbers = [*annotation["bbox"], annotation["area"]]
    finite = len(numbers) == 5 and all(map(math.isfinite, numbers))
    if not finite or min(numbers[2:]) < 0:
        raise ValueError(
            "Expected bbox as four finite numbers (x, y, width, height) and "
            "a finite area; width, height and area at least 0. Received: "
            f"{annotation}."
        )


def _index(ground_truth: dict) -> coco.COCO:
    truth = coco.COCO()
    truth.dataset = {
        **ground_truth,
        # Copies, since pycocotools writes into annotations. It takes the id
        # 0 for "no match" and has no other use of ids: number them from 1.
        "annotations": [
            {**annotation, "id": number, "iscrowd": _is_crowd(annotation)}
            for number, annotation in enumerate(ground_truth["annotations"], 1)
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
    return truth


def _is_crowd(annotation: dict) -> int:
    return int(annotation.get("iscrowd", 0))
