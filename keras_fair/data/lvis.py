"""LVIS's annotations: one json over COCO's images, 1203 classes in version 1.

Gupta, Dollár, Girshick: LVIS, CVPR 2019. Needs no TensorFlow.
"""

import os
from collections.abc import Callable

from pycocotools import coco as pycoco

from keras_fair import files
from keras_fair.data import annotations as checks
from keras_fair.data import instances, records

FEDERATED = ("neg_category_ids", "not_exhaustive_category_ids")


class LvisDataset(instances.InstanceDataset):
    """The records of one annotation file; see InstanceDataset.

    LVIS has no crowd regions. It is a federated data set: of a class that is
    neither annotated in an image nor among its `neg_category_ids`, nothing
    is known there, and of its `not_exhaustive_category_ids` some objects are
    not annotated. That is for the evaluation, which finds both in `to_coco`.
    Training takes what is not annotated as background, as LVIS's baselines.

    Args:
        annotations: path of a json such as lvis_v1_train.json.
        images: folder of COCO's train2017 and val2017, or one of them, or
            of all their files. (The training of LVIS has images of both.)
        options: InstanceDataset's; there are no keypoints.

    Attributes:
        frequencies: of each label, "r", "c" or "f" (rare: in up to 10
            images, common: up to 100, frequent), or "" where it is not said.
    """

    def __init__(self, annotations: str, images: str, **options):
        self.path = annotations
        self._frequency_of = {}  # category id: "r", "c" or "f"
        super().__init__(images, **options)
        self.frequencies = tuple(
            self._frequency_of.get(i, "") for i in self.category_ids
        )

    def read_content(self) -> records.Content:
        content = checks.read_json(self.path)
        images, faults = [], []
        for image in content["images"]:
            try:
                images.append(
                    with_file_name(image, self.images_folder, self.is_file)
                )
            except ValueError as error:
                faults.append(records.Fault("image", image, error))
        self._frequency_of = {
            each.get("id"): each.get("frequency", "")
            for each in content["categories"]
            if isinstance(each, dict) and type(each.get("id")) is int
        }
        self._federated = {
            image.get("id"): {key: image.get(key, []) for key in FEDERATED}
            for image in images
            if type(image.get("id")) is int
        }
        return records.Content(
            images, content["annotations"], content["categories"], faults
        )

    def to_coco(self) -> pycoco.COCO:
        """Return pycocotools' object, with what LVIS adds to COCO.

        Images have the two lists of category ids, categories the frequency.
        """
        coco = super().to_coco()
        for image_id, image in coco.imgs.items():
            image.update(self._federated[image_id])
        for category_id, category in coco.cats.items():
            category["frequency"] = self._frequency_of.get(category_id, "")
        return coco


def with_file_name(
    image,
    images_folder: str,
    is_file: Callable[[str], bool] = files.is_file,
) -> dict:
    """Add the file's name, which version 1 has in the address only.

    Args:
        image: COCO's dict.
        images_folder: of the files.
        is_file: says of a path if it is there.

    Raises:
        ValueError: it is no dict, or has neither.
    """
    if not isinstance(image, dict):
        raise ValueError("expected a dict")
    if "file_name" in image:
        return image
    parts = str(image.get("coco_url")).split("/")[-2:]
    if len(parts) < 2:
        raise ValueError(
            "expected a coco_url that ends in split and file: "
            f"{image.get('coco_url')!r}"
        )
    name = os.path.join(*parts)
    # COCO's files have other names in each split.
    if not is_file(os.path.join(images_folder, name)):
        name = parts[1]
    return {**image, "file_name": name}
