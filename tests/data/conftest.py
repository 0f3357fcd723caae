"""A small data set in COCO's format, to be spoilt by the tests."""

import copy
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
from PIL import Image

HEIGHT, WIDTH = 40, 60
CONTENT = {
    "categories": [{"id": 7, "name": "dog"}, {"id": 3, "name": "cat"}],
    "images": [
        {"id": 11, "file_name": "a.png", "height": HEIGHT, "width": WIDTH},
        {"id": 10, "file_name": "b.png", "height": WIDTH, "width": HEIGHT},
        {"id": 12, "file_name": "c.png", "height": HEIGHT, "width": WIDTH},
    ],
    "annotations": [
        {
            "id": 1,
            "image_id": 11,
            "category_id": 7,
            "bbox": [10, 5, 20, 10],
            "area": 200,
            "iscrowd": 0,
            "segmentation": [[10, 5, 30, 5, 30, 15, 10, 15]],
        },
        {
            "id": 2,
            "image_id": 11,
            "category_id": 3,
            "bbox": [0.5, 30, 4, 6.5],
            "area": 26,
            "iscrowd": 0,
        },
        {
            "id": 3,
            "image_id": 10,
            "category_id": 3,
            "bbox": [1, 2, 30, 40],
            "area": 1200,
            "iscrowd": 0,
            "segmentation": {"size": [60, 40], "counts": [62, 30, 2308]},
        },
        {
            "id": 4,
            "image_id": 10,
            "category_id": 7,
            "bbox": [0, 0, 40, 60],
            "area": 2400,
            "iscrowd": 1,
            "segmentation": {"size": [60, 40], "counts": [0, 2400]},
        },
    ],
}


class Files:
    """A copy of the content to change, and where to write it."""

    def __init__(self, folder: pathlib.Path):
        self.content = copy.deepcopy(CONTENT)
        self.images_folder = str(folder / "images")
        self.annotations_path = str(folder / "instances.json")
        rng = np.random.default_rng(0)
        (folder / "images").mkdir()
        for image in self.content["images"]:
            shape = (image["height"], image["width"], 3)
            pixels = rng.integers(0, 256, shape, np.uint8)
            path = folder / "images" / image["file_name"]
            Image.fromarray(pixels).save(path)

    def add_keypoints(self) -> None:
        """Give cats a nose and two eyes; the second of them is unlabelled."""
        names = ["nose", "left_eye", "right_eye"]
        self.content["categories"][1]["keypoints"] = names
        second, third = self.content["annotations"][1:3]
        second["keypoints"] = [0] * 9
        third["keypoints"] = [10, 20, 2, 5, 15, 1, 0, 0, 0]

    def write(self) -> tuple[str, str]:
        """Write the json; return its path and the image folder."""
        with open(self.annotations_path, "w") as file:
            json.dump(self.content, file)
        return self.annotations_path, self.images_folder


@pytest.fixture
def coco_files(tmp_path):
    return Files(tmp_path)


@pytest.fixture
def to_memory():
    """Move a folder to TensorFlow's file system in memory."""
    gfile = pytest.importorskip("tensorflow").io.gfile

    def move(folder) -> str:
        for parent, _, names in os.walk(folder):
            gfile.makedirs(f"ram://{parent}")
            for name in names:
                path = os.path.join(parent, name)
                gfile.copy(path, f"ram://{path}")
        shutil.rmtree(folder)
        return f"ram://{folder}"

    return move
