"""COCO's instance annotations: one json and a folder of images.

Everything is checked while reading, so that a fault costs a message and not
a NaN hours later. Needs no TensorFlow.
"""

import collections
import contextlib
import dataclasses
import io
import json
import os

import numpy as np
from absl import logging
from pycocotools import coco as pycoco

from keras_fair.config import DataConfig
from keras_fair.data import rle

# Boxes may stick out of the image by so many pixels and are clipped: tools
# that count pixels from 1 or round up are off by one at either end. COCO
# itself stays inside.
BOX_TOLERANCE = 2.0
MIN_SIDE = 0.01  # pixels; a thinner box has no area that float32 can hold
MAX_LOGGED = 20  # bad records that are logged one by one


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects, without crowd regions.

    Attributes:
        path: of the image file.
        image_id: COCO's id.
        height: pixels, as stored in the file.
        width: pixels.
        boxes: float32 [n, 4], xyxy in the image's pixels.
        labels: int32 [n], contiguous.
        masks: n times int32 [runs] (see rle.py), or None: box without mask.
    """

    path: str
    image_id: int
    height: int
    width: int
    boxes: np.ndarray
    labels: np.ndarray
    masks: tuple


class CocoDataset:
    """The records of one annotation file.

    Labels number the categories by ascending id; `category_ids[label]` is
    the file's own id and `class_names[label]` its name.

    Args:
        annotations: path of an instances json.
        images: folder of the image files.
        with_masks: also read the segmentations.
        on_bad_record: "error" stops at the first fault; "skip" leaves bad
            images, annotations and categories out, logs and counts them.
        max_images: 0 is all; otherwise the first so many of the file.

    Attributes:
        records: list of `Record`, in the order of the file.
        category_ids: tuple of the K ids, ascending.
        class_names: tuple of the K names.
        skipped: Counter of bad "category", "image" and "annotation" records;
            the pipeline adds images that cannot be decoded.

    Raises:
        FileNotFoundError: no such annotation file, folder or image.
        ValueError: the json is damaged or a record is bad. Every message
            names the file and the record's id.
    """

    def __init__(
        self,
        annotations: str,
        images: str,
        *,
        with_masks: bool = False,
        on_bad_record: str = "error",
        max_images: int = 0,
    ):
        if on_bad_record not in ("error", "skip"):
            raise ValueError(
                'Expected on_bad_record "error" or "skip". '
                f"Received: {on_bad_record!r}."
            )
        self.path = annotations
        self.images_folder = images
        self.with_masks = with_masks
        self.on_bad_record = on_bad_record
        self.skipped = collections.Counter()
        self._bad_annotations = set()
        content = _read_json(annotations)
        if not os.path.isdir(images):
            raise FileNotFoundError(
                f"No folder {images} for the images of {annotations}."
            )
        self._read_categories(content["categories"])
        kept = self._read_images(content["images"], max_images)
        objects = self._read_annotations(content, kept)
        self.records = [
            self._record(image, objects.get(image_id, []))
            for image_id, image in kept.items()
        ]
        if self.skipped:
            logging.warning("%s: skipped %s", self.path, dict(self.skipped))

    @classmethod
    def from_config(cls, config: DataConfig, split: str) -> "CocoDataset":
        """Read the "train" or "val" split that the config names."""
        if split not in ("train", "val"):
            raise ValueError(
                f'Expected split "train" or "val". Received: {split!r}.'
            )
        return cls(
            os.path.join(config.root, getattr(config, f"{split}_annotations")),
            os.path.join(config.root, getattr(config, f"{split}_images")),
            with_masks=config.with_masks,
            on_bad_record=config.on_bad_record,
            max_images=config.max_images,
        )

    def to_coco(self) -> pycoco.COCO:
        """Return the file as pycocotools' object, without what was skipped.

        Crowd regions are in it; the evaluator needs them. The file is read
        anew, so that training does not carry it along.
        """
        content = _read_json(self.path)
        image_ids = {record.image_id for record in self.records}
        bad = self._bad_annotations
        ids = dict.fromkeys(self.category_ids)
        coco = pycoco.COCO()
        coco.dataset = {
            "images": _unique(content["images"], image_ids),
            "annotations": [
                _complete(annotation)
                for index, annotation in enumerate(content["annotations"])
                if index not in bad and annotation["image_id"] in image_ids
            ],
            "categories": _unique(content["categories"], ids),
        }
        with contextlib.redirect_stdout(io.StringIO()):
            coco.createIndex()
        return coco

    def log_skip(self, kind: str, message: str) -> None:
        """Count and log a bad record."""
        self.skipped[kind] += 1
        if sum(self.skipped.values()) <= MAX_LOGGED:
            logging.warning("Skipped: %s", message)

    def _refuse(self, kind: str, record, fault: str, error=ValueError) -> None:
        record_id = record.get("id") if isinstance(record, dict) else record
        message = f"{self.path}: {kind} {record_id!r}: {fault}."
        if self.on_bad_record == "error":
            raise error(
                f'{message} Mend it, or set on_bad_record="skip" to leave '
                "such records out."
            )
        self.log_skip(kind, message)

    def _read_categories(self, categories: list) -> None:
        names = {}
        for category in categories:
            fault = _id_fault(category, names)
            if fault is None and not isinstance(category.get("name"), str):
                fault = "expected a name"
            if fault:
                self._refuse("category", category, fault)
            else:
                names[category["id"]] = category["name"]
        self.category_ids = tuple(sorted(names))
        self.class_names = tuple(names[i] for i in self.category_ids)
        self._labels = {i: k for k, i in enumerate(self.category_ids)}

    def _read_images(self, images: list, max_images: int) -> dict:
        kept = {}
        self._known_images = set()
        for image in images:
            fault = _id_fault(image, self._known_images) or _image_fault(image)
            error = ValueError
            if fault is None and (not max_images or len(kept) < max_images):
                path = os.path.join(self.images_folder, image["file_name"])
                if not os.path.isfile(path):
                    fault, error = f"no file {path}", FileNotFoundError
                else:
                    kept[image["id"]] = image
            if isinstance(image, dict) and type(image.get("id")) is int:
                self._known_images.add(image["id"])
            if fault:
                self._refuse("image", image, fault, error)
        return kept

    def _read_annotations(self, content: dict, kept: dict) -> dict:
        """Return {image id: [(box, label, mask), ...]} without crowds."""
        objects, seen = {}, set()
        for index, annotation in enumerate(content["annotations"]):
            fault = _id_fault(annotation, seen) or self._fault(annotation)
            image = None
            if fault is None:
                seen.add(annotation["id"])
                image = kept.get(annotation["image_id"])
                if image is None:  # skipped, or beyond max_images
                    continue
                try:
                    item = self._object(annotation, image)
                except ValueError as error:
                    fault = str(error)
            if fault:
                self._bad_annotations.add(index)
                self._refuse("annotation", annotation, fault)
            elif not annotation.get("iscrowd"):
                objects.setdefault(image["id"], []).append(item)
        return objects

    def _fault(self, annotation: dict) -> str | None:
        image_id = annotation.get("image_id")
        category_id = annotation.get("category_id")
        if type(image_id) is not int or image_id not in self._known_images:
            return f"no image has the id {image_id!r}"
        if type(category_id) is not int or category_id not in self._labels:
            return (
                f"unknown category {category_id!r}; the file has "
                f"{len(self._labels)}, from {self.category_ids[:1]} to "
                f"{self.category_ids[-1:]}"
            )
        return None

    def _object(self, annotation: dict, image: dict):
        height, width = image["height"], image["width"]
        box = read_box(annotation.get("bbox"), height, width)
        mask = None
        if self.with_masks:
            mask = rle.read_segmentation(
                annotation.get("segmentation"), height, width
            )
        return box, self._labels[annotation["category_id"]], mask

    def _record(self, image: dict, objects: list) -> Record:
        boxes = [box for box, _, _ in objects]
        return Record(
            path=os.path.join(self.images_folder, image["file_name"]),
            image_id=image["id"],
            height=image["height"],
            width=image["width"],
            boxes=np.asarray(boxes, np.float32).reshape(-1, 4),
            labels=np.asarray([label for _, label, _ in objects], np.int32),
            masks=tuple(mask for _, _, mask in objects),
        )


def read_box(bbox, height: int, width: int) -> tuple:
    """Turn COCO's (x, y, width, height) into xyxy within the image.

    Args:
        bbox: four numbers, pixels.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        Four floats.

    Raises:
        ValueError: not four finite numbers, no area, or further outside of
            the image than `BOX_TOLERANCE`.
    """
    if (
        not isinstance(bbox, (list, tuple))
        or len(bbox) != 4
        or not all(type(number) in (int, float) for number in bbox)
    ):
        raise ValueError(
            f"expected bbox as 4 numbers (x, y, width, height): {bbox!r}"
        )
    if not np.isfinite(bbox).all():
        raise ValueError(f"expected a finite bbox: {bbox}")
    x, y, box_width, box_height = bbox
    if box_width < 0 or box_height < 0:
        raise ValueError(
            f"expected bbox as (x, y, width, height), not inverted: {bbox}"
        )
    outside = max(-x, -y, x + box_width - width, y + box_height - height)
    if outside > BOX_TOLERANCE:
        raise ValueError(
            f"bbox {bbox} reaches {outside:g} pixels out of the image of "
            f"{width} x {height} (width x height)"
        )
    box = (
        max(x, 0.0),
        max(y, 0.0),
        min(x + box_width, float(width)),
        min(y + box_height, float(height)),
    )
    if box[2] - box[0] < MIN_SIDE or box[3] - box[1] < MIN_SIDE:
        raise ValueError(f"bbox {bbox} has no area in the image")
    return box


def _read_json(path: str) -> dict:
    if not os.path.isfile(path):
        raise FileNotFoundError(f"No annotation file {path}.")
    try:
        with open(path, encoding="utf-8") as file:
            content = json.load(file)
    except ValueError as error:
        raise ValueError(
            f"{path} is not complete JSON ({error}). Download or write it "
            "again."
        ) from error
    keys = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(
        isinstance(content.get(key), list) for key in keys
    ):
        raise ValueError(
            f"Expected the lists {', '.join(keys)} in {path}, COCO's "
            "instances format."
        )
    return content


def _id_fault(record, seen) -> str | None:
    """Say what is wrong with the record's id, None if nothing is."""
    if not isinstance(record, dict):
        return "expected a dict"
    if type(record.get("id")) is not int:
        return "expected an integer id"
    return "duplicate id" if record["id"] in seen else None


def _image_fault(image: dict) -> str | None:
    if not isinstance(image.get("file_name"), str):
        return "expected a file_name"
    for key in ("height", "width"):
        if type(image.get(key)) is not int or image[key] < 1:
            return f"expected {key} as a positive integer"
    return None


def _unique(records: list, ids) -> list:
    """Return the first record of each wanted id."""
    wanted = dict.fromkeys(ids)
    for record in reversed(records):
        if isinstance(record, dict) and record.get("id") in wanted:
            wanted[record["id"]] = record
    return list(wanted.values())


def _complete(annotation: dict) -> dict:
    """Add the area and crowd flag that pycocotools cannot do without."""
    _, _, width, height = annotation["bbox"]
    return {"area": width * height, "iscrowd": 0, **annotation}
