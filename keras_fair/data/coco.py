"""COCO's instance annotations: one json and a folder of images.

Everything is checked while reading, so that a fault costs a message and not
a NaN hours later. Needs no TensorFlow.
"""

import collections
import contextlib
import dataclasses
import io
import os

import numpy as np
from absl import logging
from pycocotools import coco as pycoco

from keras_fair.config import DataConfig
from keras_fair.data import annotations as checks
from keras_fair.data import keypoints, rle

MAX_LOGGED = 20  # bad records that are logged one by one


@dataclasses.dataclass(frozen=True, eq=False)
class Record:
    """One image and its objects, without crowd regions.

    Attributes:
        path: of the image file.
        image_id: COCO's id.
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


class CocoDataset:
    """The records of one annotation file.

    Labels number the categories by ascending id: `category_ids[label]` is
    the file's own id and `class_names[label]` its name.

    Args:
        annotations: path of an instances json.
        images: folder of the image files.
        with_masks: also read the segmentations.
        with_keypoints: also read the keypoints, of a person_keypoints json.
        on_bad_record: "error" stops at the first fault; "skip" leaves bad
            images, annotations and categories out, logs and counts them.
        max_images: 0 is all; otherwise the first so many of the file.

    Attributes:
        records: list of `Record`, in the order of the file.
        category_ids: tuple of the K ids, ascending.
        class_names: tuple of the K names.
        keypoint_names: tuple of the P names; empty where they are not read.
        skipped: Counter of what was left out: "category", "image" and
            "annotation" records, and the image files ("file") that proved
            unreadable while training or evaluating.
        num_empty_masks: segmentations that cover no pixel; such an object is
            a box without a mask.

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
        with_keypoints: bool = False,
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
        self.with_keypoints = with_keypoints
        self.on_bad_record = on_bad_record
        self.skipped = collections.Counter()
        self.num_empty_masks = 0
        self._bad_annotations = set()  # positions in the file's list
        self._bad_files = set()  # paths
        content = checks.read_json(annotations)
        if not os.path.isdir(images):
            raise FileNotFoundError(
                f"No folder {images} for the images of {annotations}."
            )
        self._read_categories(content["categories"])
        self._read_images(content["images"], max_images)
        self._read_annotations(content["annotations"])
        if self.skipped or self.num_empty_masks:
            logging.warning(
                "%s: skipped %s; %d segmentations cover no pixel.",
                annotations,
                dict(self.skipped) or "nothing",
                self.num_empty_masks,
            )

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
            with_keypoints=config.with_keypoints,
            on_bad_record=config.on_bad_record,
            max_images=config.max_images,
        )

    def to_coco(self) -> pycoco.COCO:
        """Return pycocotools' object of these records.

        Crowd regions are in it, as the evaluator needs them; what was
        skipped is not. The file is read anew, so that training does not
        carry it along.
        """
        sizes = {r.image_id: (r.height, r.width) for r in self.records}
        content = checks.read_json(self.path)
        coco = pycoco.COCO()
        coco.dataset = {
            "images": [
                {"id": image_id, "height": height, "width": width}
                for image_id, (height, width) in sizes.items()
            ],
            "annotations": [
                _complete(annotation, len(self.keypoint_names))
                for position, annotation in enumerate(content["annotations"])
                if position not in self._bad_annotations
                and annotation["image_id"] in sizes
            ],
            "categories": [
                {"id": category_id, "name": name}
                for category_id, name in zip(
                    self.category_ids, self.class_names
                )
            ],
        }
        with contextlib.redirect_stdout(io.StringIO()):  # it prints
            coco.createIndex()
        return coco

    def skip_file(self, path: str, fault: str) -> None:
        """Count and log an unreadable image file, once."""
        if path not in self._bad_files:
            self._bad_files.add(path)
            self._log_skip("file", f"{path}: {fault}.")

    def _refuse(self, kind: str, record, fault: Exception) -> None:
        record_id = record.get("id") if isinstance(record, dict) else record
        message = f"{self.path}: {kind} {record_id!r}: {fault}."
        if self.on_bad_record == "error":
            raise type(fault)(
                f'{message} Mend it, or set on_bad_record="skip" to leave '
                "such records out."
            ) from None
        self._log_skip(kind, message)

    def _log_skip(self, kind: str, message: str) -> None:
        self.skipped[kind] += 1
        if self.skipped.total() <= MAX_LOGGED:
            logging.warning("Skipped: %s", message)

    def _read_categories(self, categories: list) -> None:
        known = {}
        for category in categories:
            try:
                checks.check_id(category, known)
                checks.check_category(category)
                known[category["id"]] = category
            except ValueError as fault:
                self._refuse("category", category, fault)
        self.category_ids = tuple(sorted(known))
        self.class_names = tuple(known[i]["name"] for i in self.category_ids)
        self.keypoint_names = ()
        if self.with_keypoints:
            self.keypoint_names = keypoints.read_names(known.values())

    def _read_images(self, images: list, max_images: int) -> None:
        """Fill in the records, without objects, and the known ids."""
        self.records = []
        self._known_images = set()
        for image in images:
            try:
                checks.check_id(image, self._known_images)
                self._known_images.add(image["id"])
                checks.check_image(image)
                if not max_images or len(self.records) < max_images:
                    self.records.append(self._empty_record(image))
            except (ValueError, FileNotFoundError) as fault:
                self._refuse("image", image, fault)

    def _empty_record(self, image: dict) -> Record:
        path = os.path.join(self.images_folder, image["file_name"])
        if not os.path.isfile(path):
            raise FileNotFoundError(f"no image file {path}")
        return Record(
            path=path,
            image_id=image["id"],
            height=image["height"],
            width=image["width"],
            boxes=np.zeros((0, 4), np.float32),
            labels=np.zeros(0, np.int32),
            masks=(),
            keypoints=np.zeros((0, len(self.keypoint_names), 3), np.float32),
        )

    def _read_annotations(self, annotations: list) -> None:
        """Put the objects into the records."""
        records = {record.image_id: record for record in self.records}
        label_of = {k: label for label, k in enumerate(self.category_ids)}
        objects, seen = collections.defaultdict(list), set()
        for position, annotation in enumerate(annotations):
            try:
                checks.check_id(annotation, seen)
                seen.add(annotation["id"])
                checks.check_links(annotation, self._known_images, label_of)
                # None: the image was skipped or is beyond max_images.
                record = records.get(annotation["image_id"])
                if record is not None:
                    box, *parts = self._read_object(annotation, record)
                    if not annotation.get("iscrowd"):
                        label = label_of[annotation["category_id"]]
                        objects[record.image_id].append((box, label, *parts))
            except ValueError as fault:
                self._bad_annotations.add(position)
                self._refuse("annotation", annotation, fault)
        self.records = [
            _with_objects(record, objects[record.image_id])
            for record in self.records
        ]

    def _read_object(self, annotation: dict, record: Record) -> tuple:
        """Return an object's box, mask and keypoints."""
        height, width = record.height, record.width
        box = checks.read_box(annotation.get("bbox"), height, width)
        points = keypoints.read(
            annotation.get("keypoints") if self.with_keypoints else None,
            len(self.keypoint_names),
            height,
            width,
        )
        segmentation = annotation.get("segmentation")
        if not self.with_masks or not segmentation:
            return box, None, points
        mask = rle.read_segmentation(segmentation, height, width)
        self.num_empty_masks += mask is None
        return box, mask, points


def _with_objects(record: Record, objects: list) -> Record:
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


def _complete(annotation: dict, num_keypoints: int) -> dict:
    """Add what pycocotools cannot do without."""
    _, _, width, height = annotation["bbox"]
    full = {"area": width * height, "iscrowd": 0, **annotation}
    if num_keypoints:
        full["keypoints"] = full.get("keypoints") or [0, 0, 0] * num_keypoints
        labelled = sum(v > 0 for v in full["keypoints"][2::3])
        full.setdefault("num_keypoints", labelled)
    return full
