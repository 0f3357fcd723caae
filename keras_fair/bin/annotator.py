"""Masks for boxes of an image, given or detected, as COCO's dicts."""

import numpy as np
from pycocotools import mask as coco_mask

from keras_fair.data import annotations as checks
from keras_fair.data import image_files, transforms
from keras_fair.evaluation import rle
from keras_fair.models import MaskRCNN
from keras_fair.models.test_time import MaskPredictor


def class_names(config) -> tuple[str, ...]:
    """Return the names of a model's classes.

    Raises:
        ValueError: it has none.
    """
    if not config.class_names:
        raise ValueError(
            f"Expected a model with the names of its {config.num_classes} "
            "classes. Received one without. Write them, in the order of its "
            'labels, as "class_names" into the config.json of its preset.'
        )
    return config.class_names


class Annotator:
    """Segments given objects, or detects them, in one image at a time.

    Args:
        model: a MaskRCNN.
        categories: COCO's dicts; they are the model's classes by name.

    Raises:
        ValueError: a model without masks, or categories that it does not
            know, as it has no names of its classes, for instance.
    """

    def __init__(self, model, categories: list):
        if not isinstance(model, MaskRCNN):
            raise ValueError(
                "Expected a MaskRCNN or MaskXRCNN. Received: "
                f"{type(model).__name__}."
            )
        self.model = model
        self.predictor = MaskPredictor(model)
        names = {name: i for i, name in enumerate(model.config.class_names)}
        self.label_of = {c["id"]: names.get(c["name"]) for c in categories}
        unknown = [c["name"] for c in categories if c["name"] not in names]
        # A class-agnostic mask is the same for every class.
        if unknown and model.config.masks != "agnostic":
            class_names(model.config)  # refuses none
            raise ValueError(
                "Expected categories of the model's classes. It does not know "
                f"{', '.join(unknown)}. Its classes are: {', '.join(names)}."
            )

    def segment(self, file: image_files.ImageFile, objects: list) -> list:
        """Return a COCO mask, or None where it has no pixel, of each object.

        Args:
            file: the image.
            objects: COCO's annotations of it.
        """
        height, width = file.pixels.shape[:2]
        boxes = np.float32(
            [checks.read_box(each["bbox"], height, width) for each in objects]
        )
        labels = np.int32(
            [self.label_of[each["category_id"]] or 0 for each in objects]
        )
        at_a_time = self.model.config.max_detections
        return [
            mask
            for first in range(0, len(objects), at_a_time)
            for mask in self._segment(
                file,
                boxes[first : first + at_a_time],
                labels[first : first + at_a_time],
            )
        ]

    def _segment(self, file, boxes, labels) -> list:
        shape = file.pixels.shape[:2]
        missing = self.model.config.max_detections - len(boxes)
        network = transforms.to_original(boxes, shape, file.x["image_shape"][0])
        # Always as many, so that nothing is compiled anew.
        network = np.pad(network, [[0, missing], [0, 0]])[None]
        labels = np.pad(labels, [0, missing], constant_values=-1)[None]
        masks = self.predictor.predict_on_batch(
            {**file.x, "boxes": network, "labels": labels}
        )
        return self._encode(masks[0, : len(boxes)], boxes, shape)

    def detect(self, file: image_files.ImageFile, min_score: float) -> list:
        """Return COCO's annotations, without ids, of what the model finds.

        What is of none of the categories is left out.

        Raises:
            ValueError: the model has no class names.
        """
        class_names(self.model.config)
        category_of = {label: i for i, label in self.label_of.items()}
        shape = file.pixels.shape[:2]
        found = self.model.predict_on_batch(file.x)
        found = {name: np.asarray(value)[0] for name, value in found.items()}
        boxes = transforms.to_original(
            found["boxes"], file.x["image_shape"][0], shape
        )
        # Of a thinner box nothing could be read again.
        is_solid = (boxes[:, 2:] - boxes[:, :2]).min(-1) >= checks.MIN_SIDE
        rows = [
            row
            for row in range(int(found["num_detections"]))
            if is_solid[row]
            and found["scores"][row] >= min_score
            and int(found["labels"][row]) in category_of
        ]
        masks = self._encode(found["masks"][rows], boxes[rows], shape)
        return [
            {
                "category_id": category_of[int(found["labels"][row])],
                "bbox": _to_coco(boxes[row]),
                "area": area(mask),
                "iscrowd": 0,
                "segmentation": mask,
                "score": float(found["scores"][row]),
            }
            for row, mask in zip(rows, masks)
            if mask
        ]

    def _encode(self, masks, boxes, shape) -> list:
        """Return COCO's compressed masks; None for one without a pixel."""
        paste = self.model.config.paste
        encoded = []
        for mask in rle.encode_masks(masks, boxes, *shape, paste=paste):
            mask["counts"] = mask["counts"].decode("ascii")
            encoded.append(mask if area(mask) else None)
        return encoded


def area(mask: dict | None) -> int:
    """Return the pixels of a COCO mask; 0 for None."""
    return 0 if mask is None else int(coco_mask.area(mask))


def _to_coco(box) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
