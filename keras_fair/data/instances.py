"""A data set of boxes, masks and keypoints, wherever it is read from.

Everything is checked while reading, so that a fault costs a message and not
a NaN hours later. Needs no TensorFlow.
"""

import collections
import contextlib
import io
from collections.abc import Mapping

from absl import logging
from pycocotools import coco as pycoco

from keras_fair import files
from keras_fair.data import annotations as checks
from keras_fair.data import class_splits, exports, keypoints, records, rle

EVERY_MASK = class_splits.MaskChoice()
MAX_LOGGED = 20  # bad records that are logged one by one


class SkippedRecords:
    """Counts and logs what is left out of a data set.

    Attributes:
        skipped: Counter of "category", "image" and "annotation" records, and
            the image files ("file") that proved unreadable while training or
            evaluating.
    """

    def __init__(self):
        self.skipped = collections.Counter()
        self._bad_files = set()  # paths

    def skip_file(self, path: str, fault: str) -> None:
        """Count and log an unreadable image file, once."""
        if path not in self._bad_files:
            self._bad_files.add(path)
            self.log_skip("file", f"{path}: {fault}.")

    def log_skip(self, kind: str, message: str) -> None:
        """Count a record; log it unless there were many."""
        self.skipped[kind] += 1
        if self.skipped.total() <= MAX_LOGGED:
            logging.warning("Skipped: %s", message)


class InstanceDataset(SkippedRecords):
    """The records of one source, which a subclass reads from its `path`.

    Labels number the categories by ascending id: `category_ids[label]` is
    the source's own id and `class_names[label]` its name.

    Args:
        images: folder of the image files.
        with_masks: also read the segmentations.
        with_keypoints: also read the keypoints, of a person_keypoints json.
        on_bad_record: "error" stops at the first fault; "skip" leaves bad
            images, annotations and categories out, logs and counts them.
        max_images: 0 is all; otherwise the first so many of the source.
        mask_choice: the objects whose masks are read; the others are boxes
            without masks.
        class_map: other names for classes: {theirs: ours}.

    Attributes:
        path: of the annotations; a subclass sets it first of all.
        records: list of `Record`, in the order of the source.
        category_ids: tuple of the K ids, ascending.
        class_names: tuple of the K names.
        keypoint_names: tuple of the P names; empty where they are not read.
        num_empty_masks: segmentations that cover no pixel; such an object is
            a box without a mask.

    Raises:
        FileNotFoundError: no such annotation file, folder or image.
        ValueError: the annotations are damaged or a record is bad. Every
            message names the file and the record's id.
    """

    def __init__(
        self,
        images: str,
        *,
        with_masks: bool = False,
        with_keypoints: bool = False,
        on_bad_record: str = "error",
        max_images: int = 0,
        mask_choice: class_splits.MaskChoice = EVERY_MASK,
        class_map: Mapping[str, str] | None = None,
    ):
        super().__init__()
        if on_bad_record not in ("error", "skip"):
            raise ValueError(
                'Expected on_bad_record "error" or "skip". '
                f"Received: {on_bad_record!r}."
            )
        self.images_folder = images
        self.with_masks = with_masks
        self.with_keypoints = with_keypoints
        self.on_bad_record = on_bad_record
        self.mask_choice = mask_choice
        self.num_empty_masks = 0
        self._bad_annotations = set()  # positions in the source's list
        self._listings = {}  # of remote folders
        content = self.read_content()
        if not files.system(images).isdir(images):
            raise FileNotFoundError(
                f"No folder {images} for the images of {self.path}."
            )
        for fault in content.faults:
            self._refuse(*fault)
        self._read_categories(content.categories, class_map or {})
        self._read_images(content.images, max_images)
        self._read_annotations(content.annotations)
        if self.skipped or self.num_empty_masks:
            logging.warning(
                "%s: skipped %s; %d segmentations cover no pixel.",
                self.path,
                dict(self.skipped) or "nothing",
                self.num_empty_masks,
            )

    def read_content(self) -> records.Content:
        """Read the source; a subclass says how."""
        raise NotImplementedError

    def is_file(self, path: str) -> bool:
        """Say if one of many files is there; see files.py."""
        return files.is_file(path, self._listings)

    def to_coco(self) -> pycoco.COCO:
        """Return pycocotools' object of these records.

        Crowd regions are in it, as the evaluator needs them; what was
        skipped is not. The source is read anew, so that training does not
        carry it along.
        """
        sizes = {r.image_id: (r.height, r.width) for r in self.records}
        content = self.read_content()
        return index_coco(
            [
                {"id": image_id, "height": height, "width": width}
                for image_id, (height, width) in sizes.items()
            ],
            [
                records.complete(annotation, len(self.keypoint_names))
                for position, annotation in enumerate(content.annotations)
                if position not in self._bad_annotations
                and annotation["image_id"] in sizes
            ],
            dict(zip(self.category_ids, self.class_names)),
        )

    def _refuse(self, kind: str, record, fault: Exception) -> None:
        record_id = record
        if isinstance(record, dict):
            record_id = record.get("source", record.get("id"))
        message = f"{self.path}: {kind} {record_id!r}: {fault}."
        # A lone surrogate, of a file name, say, can be written nowhere.
        message = message.encode("utf-8", "backslashreplace").decode("utf-8")
        if self.on_bad_record == "error":
            raise type(fault)(
                f'{message} Mend it, or set on_bad_record="skip" to leave '
                "such records out."
            ) from None
        self.log_skip(kind, message)

    def _read_categories(self, categories: list, class_map: Mapping) -> None:
        known = {}
        for category in categories:
            try:
                checks.check_id(category, known)
                checks.check_category(category)
                known[category["id"]] = category
            except ValueError as fault:
                self._refuse("category", category, fault)
        self.category_ids = tuple(sorted(known))
        names = tuple(known[i]["name"] for i in self.category_ids)
        checks.check_class_map(class_map, names, self.path)
        self.class_names = tuple(class_map.get(name, name) for name in names)
        self.keypoint_names = ()
        if self.with_keypoints:
            self.keypoint_names = keypoints.read_names(
                known.values(), self.path
            )

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

    def _empty_record(self, image: dict) -> records.Record:
        path = exports.find_image(
            self.images_folder, image["file_name"], self.is_file
        )
        return records.empty_record(path, image, len(self.keypoint_names))

    def _read_annotations(self, annotations: list) -> None:
        """Put the objects into the records."""
        empty = {record.image_id: record for record in self.records}
        label_of = {k: label for label, k in enumerate(self.category_ids)}
        objects, seen = collections.defaultdict(list), set()
        for position, annotation in enumerate(annotations):
            try:
                checks.check_id(annotation, seen)
                seen.add(annotation["id"])
                checks.check_links(annotation, self._known_images, label_of)
                # None: the image was skipped or is beyond max_images.
                record = empty.get(annotation["image_id"])
                if record is not None:
                    label = label_of[annotation["category_id"]]
                    box, *parts = self._read_object(annotation, label, record)
                    if not annotation.get("iscrowd"):
                        objects[record.image_id].append((box, label, *parts))
            except ValueError as fault:
                self._bad_annotations.add(position)
                self._refuse("annotation", annotation, fault)
        self.records = [
            records.with_objects(record, objects[record.image_id])
            for record in self.records
        ]

    def _read_object(self, annotation: dict, label: int, record) -> tuple:
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
        if (
            not self.with_masks
            or not segmentation
            or segmentation == [[]]
            or not self.mask_choice.keeps(
                self.class_names[label], annotation["id"]
            )
        ):
            return box, None, points
        mask = rle.read_segmentation(segmentation, height, width)
        self.num_empty_masks += mask is None
        return box, mask, points


def index_coco(
    images: list, annotations: list, class_names: dict
) -> pycoco.COCO:
    """Return pycocotools' object of COCO's lists, in silence.

    Args:
        images: dicts with id, height and width.
        annotations: dicts, complete.
        class_names: {category id: name}.
    """
    coco = pycoco.COCO()
    coco.dataset = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": category_id, "name": name}
            for category_id, name in class_names.items()
        ],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        coco.createIndex()
    return coco
