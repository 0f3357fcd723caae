"""A data set whose pixels tell whose they are.

Each object is painted in a colour of its own on black.
"""

import json
import pathlib

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from keras_fair.data import coco

SIZES = ((60, 90), (80, 50), (64, 64), (90, 60), (70, 71), (48, 96))
CLASSES = 4 * len(SIZES)  # one for each object

# Hues on a circle, equally bright: however others are mixed, and darkened,
# they do not give one of them.
TURNS = np.arange(CLASSES)[:, None] / CLASSES + np.arange(3) / 3
COLOURS = np.round(127 + 127 * np.cos(2 * np.pi * TURNS))


def draw_object(draw, kind, box):
    x1, y1, x2, y2 = box
    if kind == 0:
        draw.ellipse(box, fill=1)
    elif kind == 1:
        draw.rectangle(box, fill=1)
    elif kind == 2:  # a bar with an arm to the right
        draw.rectangle((x1, y1, (2 * x1 + x2) / 3, y2), fill=1)
        draw.rectangle((x1, (2 * y1 + y2) / 3, x2, (y1 + 2 * y2) / 3), fill=1)
    else:  # the tips are thin
        draw.polygon([(x1, y1), (x1, y2), (x2, y2)], fill=1)


def paint(size, image_index, rng):
    """Four objects, one in each quarter; the third has no mask."""
    height, width = size
    annotations = []
    for place in range(4):
        label = 4 * image_index + place
        left, top = width // 2 * (place % 2), height // 2 * (place // 2)
        side = rng.integers(16, (width // 2 - 2, height // 2 - 2), endpoint=1)
        room = (width // 2, height // 2) - side
        start = (left, top) + rng.integers(0, room)
        box = [*start.tolist(), *(start + side - 1).tolist()]
        shape = Image.new("1", (width, height))
        draw_object(ImageDraw.Draw(shape), (place + image_index) % 4, box)
        annotations.append((label, np.asarray(shape), place != 2))
    return annotations


def describe(label, mask, has_mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    # Pixels of the object: the middle one, and that of its lowest row.
    pixels = np.argwhere(mask)
    lowest = np.flatnonzero(mask[rows[-1]])
    points = [pixels[len(pixels) // 2], (rows[-1], lowest[len(lowest) // 2])]
    annotation = {
        "id": label + 1,
        "image_id": label // 4 + 1,
        "category_id": label + 1,
        "iscrowd": 0,
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "keypoints": [
            v for py, px in points for v in (int(px) + 0.5, int(py) + 0.5, 2)
        ],
        "num_keypoints": 2,
    }
    if has_mask:
        code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        annotation["segmentation"] = {
            "size": list(mask.shape),
            "counts": code["counts"].decode(),
        }
    return annotation


def write(folder: pathlib.Path) -> coco.CocoDataset:
    """Write the images and their objects, and read them."""
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index, size in enumerate(SIZES):
        pixels = np.zeros((*size, 3), np.uint8)
        for label, mask, has_mask in paint(size, index, rng):
            pixels[mask] = COLOURS[label]
            annotations.append(describe(label, mask, has_mask))
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        image = {"id": index + 1, "file_name": name}
        images.append({**image, "height": size[0], "width": size[1]})
    names = ["left_eye", "right_eye"]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": label + 1, "name": f"{label}", "keypoints": names}
            for label in range(CLASSES)
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return coco.CocoDataset(
        str(path), str(folder), with_masks=True, with_keypoints=True
    )
