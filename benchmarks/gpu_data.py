"""Images and boxes for gpu_train.py, and their AP; NumPy and pycocotools only.

H, W are the canvas of each image; n, its objects.
"""

import contextlib
import io
import os
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import coco, cocoeval

NUM_SHAPES, NUM_CLASSES, MASK_SIZE = 8, 80, 112


class Example(NamedTuple):
    image: np.ndarray  # uint8 [H, W, 3]
    boxes: np.ndarray  # float32 [n, 4], xyxy pixels
    labels: np.ndarray  # int32 [n], from 0
    masks: np.ndarray  # uint8 [n, H, W]


def draw_shapes(seed: int, canvas: tuple[int, int]) -> Example:
    """Draw rectangles; the label is the colour: there is something to learn."""
    height, width = canvas
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 60, (height, width, 3)).astype("uint8")
    corners = rng.uniform(0, 0.6, (NUM_SHAPES, 2)) * [width, height]
    sides = rng.uniform(0.1, 0.4, (NUM_SHAPES, 2)) * [width, height]
    boxes = np.concatenate([corners, corners + sides], -1).astype("int32")
    labels = rng.integers(0, 3, NUM_SHAPES).astype("int32")
    masks = np.zeros((NUM_SHAPES, height, width), "uint8")
    for mask, (x1, y1, x2, y2), label in zip(masks, boxes, labels):
        image[y1:y2, x1:x2, label] = 220
        mask[y1:y2, x1:x2] = 1
    return Example(image, boxes.astype("float32"), labels, masks)


def read_coco(folder: str, canvas: tuple[int, int]) -> list[Example]:
    """Read train2017, each image as large as the canvas holds it."""
    path = os.path.join(folder, "annotations", "instances_train2017.json")
    with contextlib.redirect_stdout(io.StringIO()):  # it prints
        truth = coco.COCO(path)
    label_of = {k: label for label, k in enumerate(sorted(truth.cats))}
    return [_read_image(folder, truth, i, label_of, canvas) for i in truth.imgs]


def _read_image(folder, truth, image_id, label_of, canvas) -> Example:
    path = os.path.join(folder, "train2017", truth.imgs[image_id]["file_name"])
    picture = Image.open(path).convert("RGB")
    scale = min(np.divide(canvas, picture.size[::-1]))
    size = tuple(max(1, int(scale * side)) for side in picture.size)

    def place(picture: Image.Image) -> np.ndarray:
        pixels = np.asarray(picture.resize(size, Image.Resampling.BILINEAR))
        placed = np.zeros((*canvas, *pixels.shape[2:]), "uint8")
        placed[: size[1], : size[0]] = pixels
        return placed

    objects = [
        each
        for each in truth.imgToAnns[image_id]
        if not each["iscrowd"] and min(each["bbox"][2:]) > 0
    ]
    boxes = np.float32([each["bbox"] for each in objects]).reshape(-1, 4)
    boxes = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    masks = [
        place(Image.fromarray(255 * truth.annToMask(each))) > 127
        for each in objects
    ]
    return Example(
        place(picture),
        boxes * np.float32(scale),
        np.int32([label_of[each["category_id"]] for each in objects]),
        np.uint8(masks).reshape(-1, *canvas),
    )


def average_precision(examples: list[Example], found: list) -> dict:
    """Return COCO's box AP and AP50 of (boxes, scores, labels) an image."""
    truth, objects, results = coco.COCO(), [], []
    for image_id, (example, (boxes, scores, labels)) in enumerate(
        zip(examples, found, strict=True)
    ):
        for box, label in zip(xywh(example.boxes), example.labels.tolist()):
            entry = {"image_id": image_id, "category_id": label, "bbox": box}
            entry |= {"area": box[2] * box[3], "iscrowd": 0}
            objects.append({"id": len(objects) + 1, **entry})
        for box, score, label in zip(xywh(boxes), scores, labels):
            entry = {"image_id": image_id, "category_id": int(label)}
            results.append({**entry, "bbox": box, "score": float(score)})
    truth.dataset = {
        "images": [{"id": i} for i in range(len(examples))],
        "annotations": objects,
        "categories": [{"id": i} for i in range(NUM_CLASSES)],
    }
    if not results:
        return {"AP": 0.0, "AP50": 0.0}
    with contextlib.redirect_stdout(io.StringIO()):  # they print
        truth.createIndex()
        scored = cocoeval.COCOeval(truth, truth.loadRes(results), "bbox")
        scored.evaluate()
        scored.accumulate()
        scored.summarize()
    return {"AP": float(scored.stats[0]), "AP50": float(scored.stats[1])}


def xywh(boxes) -> list:
    return np.concatenate(
        [boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], 1
    ).tolist()


def pad(example: Example, max_objects: int) -> dict:
    """Return the truth of one image as contract.py has it."""
    free = [(0, max_objects - len(example.labels))]
    masks = [
        np.asarray(
            Image.fromarray(255 * mask).resize(
                (MASK_SIZE, MASK_SIZE),
                Image.Resampling.BILINEAR,
                box=tuple(np.clip(box, 0, mask.shape[::-1] * 2)),
            )
        )
        > 127
        for mask, box in zip(example.masks, example.boxes)
    ]
    masks = np.uint8(masks).reshape(-1, MASK_SIZE, MASK_SIZE)
    return {
        "boxes": np.pad(example.boxes, [*free, (0, 0)]),
        "labels": np.pad(example.labels, free, constant_values=-1),
        "masks": np.pad(masks, [*free, (0, 0), (0, 0)]),
        "has_mask": np.pad(np.ones(len(masks), "bool"), free),
    }
