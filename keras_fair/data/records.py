"""What a data set is made of: records, and the content they are read from."""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects, without crowd regions.

    Attributes:
        path: of the image file, or of a part of one (see file_parts.py).
        image_id: the data set's own id.
        height: pixels, of the image as it is stored (before any EXIF
            rotation), which is the frame of COCO's annotations.
        width: pixels.
        boxes: float32 [n, 4], xyxy in the image's pixels.
        labels: int32 [n], 0..K-1.
        masks: n times int32 [runs] (see rle.py), or None: box without mask.
        keypoints: float32 [n, P, 3], see keypoints.py; P is 0 where they are
            not read.
    """

    path: str
    image_id: int
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    masks: tuple
    keypoints: np.ndarray


class Fault(NamedTuple):
    """What a reader could not turn into content."""

    kind: str  # "category", "image" or "annotation"
    record: object  # its name, or a dict with an id
    error: Exception


class Content(NamedTuple):
    """A data set as COCO's instances format has it: lists of dicts.

    Whatever its source, it is checked as COCO's own files are. The same
    files give the same lists, each time they are read.
    """

    images: list
    annotations: list
    categories: list
    faults: Sequence[Fault] = ()


def empty_record(path: str, image: dict, num_keypoints: int) -> Record:
    """Return the record of COCO's image dict, without objects."""
    return Record(
        path=path,
        image_id=image["id"],
        height=image["height"],
        width=image["width"],
        boxes=np.zeros((0, 4), np.float32),
        labels=np.zeros(0, np.int32),
        masks=(),
        keypoints=np.zeros((0, num_keypoints, 3), np.float32),
    )


def with_objects(record: Record, objects: list) -> Record:
    """Return the record with objects of (box, label, mask, keypoints)."""
    if not objects:
        return record
    boxes, labels, masks, points = zip(*objects)
    return dataclasses.replace(
        record,
        boxes=np.asarray(boxes, np.float32),
        labels=np.asarray(labels, np.int32),
        masks=masks,
        keypoints=np.stack(points),
    )


def complete(annotation: dict, num_keypoints: int) -> dict:
    """Add to COCO's dict what pycocotools cannot do without.

    An area that is absent, or not above 0, becomes the box's.
    """
    _, _, width, height = annotation["bbox"]
    full = {"iscrowd": 0, **annotation}
    area = annotation.get("area")
    if type(area) not in (int, float) or not area > 0:
        full["area"] = width * height
    if num_keypoints:
        full["keypoints"] = full.get("keypoints") or [0, 0, 0] * num_keypoints
        labelled = sum(v > 0 for v in full["keypoints"][2::3])
        full.setdefault("num_keypoints", labelled)
    return full
