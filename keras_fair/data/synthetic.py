"""A data set of coloured shapes in COCO's format, drawn on the spot.

`write_shapes` makes everything the real thing has (images, instance masks,
occlusion, several sizes), small enough to train on a CPU in minutes.
"""

import json
import math
import os
import pathlib
import shutil

import numpy as np
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

SHAPES = ("circle", "square", "triangle", "star")
# Diameter as a fraction of the shorter side: 31 to 77 of 128 pixels.
MIN_SIDE, MAX_SIDE = 0.24, 0.6
MIN_VISIBLE = 0.6  # of a shape's pixels, else the newcomer is placed anew
PLACEMENTS = 20  # attempts to place one shape
NOISE = 12.0  # standard deviation of the background, of 255


def write_shapes(
    folder: str,
    num_train: int,
    num_val: int,
    *,
    image_sizes: tuple[tuple[int, int], ...] = ((128, 128),),
    max_shapes: int = 5,
    classes: tuple[str, ...] = SHAPES[:3],
    seed: int = 0,
) -> None:
    """Write images and annotations, or keep those that are there.

    The layout is `train/*.png`, `val/*.png` and
    `annotations/instances_{train,val}.json`. The folder appears only when it
    is complete, and the same arguments give the same bytes.

    Args:
        folder: where to; its parent is created.
        num_train: images to train on.
        num_val: images to evaluate on.
        image_sizes: (height, width) pixels; one is drawn per image.
        max_shapes: an image holds 1 to so many.
        classes: names out of `SHAPES`; category ids count from 1.
        seed: of everything random.

    Raises:
        ValueError: an unknown class, or a size or number that is too small.
        FileExistsError: the folder holds something else.
    """
    recipe = {
        "num_train": num_train,
        "num_val": num_val,
        "image_sizes": [list(size) for size in image_sizes],
        "max_shapes": max_shapes,
        "classes": list(classes),
        "seed": seed,
    }
    _check(recipe)
    write(folder, recipe, _draw_image)


def write(folder: str, recipe: dict, draw_image) -> None:
    """Write a data set of drawn images; see `write_shapes`.

    Args:
        folder: where to.
        recipe: JSON values that decide everything, among them num_train,
            num_val, classes (names) and seed.
        draw_image: of (recipe, rng); gives uint8 [h, w, 3], the labels, and
            each object's visible part, bool [h, w].

    Raises:
        FileExistsError: the folder holds something else.
    """
    folder = pathlib.Path(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if _is_written(folder, recipe):
        return
    part = folder.with_name(f"{folder.name}.{os.getpid()}.part")
    shutil.rmtree(part, ignore_errors=True)
    for index, split in enumerate(("train", "val")):
        rng = np.random.default_rng((recipe["seed"], index))
        images = (
            draw_image(recipe, rng) for _ in range(recipe[f"num_{split}"])
        )
        _write_split(part, split, images, recipe["classes"])
    (part / "recipe.json").write_text(json.dumps(recipe))
    os.replace(part, folder)


def _check(recipe: dict) -> None:
    unknown = sorted(set(recipe["classes"]) - set(SHAPES))
    if unknown or not recipe["classes"]:
        raise ValueError(
            f"Expected classes out of {', '.join(SHAPES)}. "
            f"Received: {recipe['classes']}."
        )
    smallest = min(min(size) for size in recipe["image_sizes"])
    if smallest < 32:
        raise ValueError(
            "Expected image sizes of at least 32 pixels, so that a shape is "
            f"recognisable. Received: {recipe['image_sizes']}."
        )
    counts = [recipe[k] for k in ("num_train", "num_val", "max_shapes")]
    if min(counts) < 1:
        raise ValueError(
            "Expected at least one training image, validation image and "
            f"shape. Received: {counts}."
        )


def _is_written(folder: pathlib.Path, recipe: dict) -> bool:
    if not folder.exists():
        return False
    made_by = folder / "recipe.json"
    if made_by.is_file() and json.loads(made_by.read_text()) == recipe:
        return True
    raise FileExistsError(
        f"{folder} exists and was not written with these arguments. Remove "
        "it or give another folder."
    )


def _write_split(part, split: str, drawn, classes) -> None:
    (part / split).mkdir(parents=True)
    (part / "annotations").mkdir(exist_ok=True)
    images, annotations = [], []
    for image_id, (pixels, labels, masks) in enumerate(drawn, 1):
        name = f"{image_id:06d}.png"
        Image.fromarray(pixels).save(part / split / name, compress_level=1)
        height, width, _ = pixels.shape
        images.append(
            {
                "id": image_id,
                "file_name": name,
                "height": height,
                "width": width,
            }
        )
        annotations += [
            dict(image_id=image_id, category_id=label + 1, **_describe(mask))
            for label, mask in zip(labels, masks)
        ]
    for index, annotation in enumerate(annotations):
        annotation["id"] = index + 1
    names = enumerate(classes)
    categories = [{"id": index + 1, "name": name} for index, name in names]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": categories,
    }
    path = part / "annotations" / f"instances_{split}.json"
    path.write_text(json.dumps(content))


def _describe(mask) -> dict:
    """Describe a bool [h, w] mask as COCO does: tight box, area, RLE."""
    rows = np.flatnonzero(mask.any(1))
    columns = np.flatnonzero(mask.any(0))
    left, top = int(columns[0]), int(rows[0])
    width = int(columns[-1]) + 1 - left
    height = int(rows[-1]) + 1 - top
    rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
    return {
        "bbox": [left, top, width, height],
        "area": int(mask.sum()),
        "iscrowd": 0,
        "segmentation": {
            "size": [int(side) for side in rle["size"]],
            "counts": rle["counts"].decode("ascii"),
        },
    }


def _draw_image(recipe: dict, rng):
    """Draw one image; see `write`."""
    size = recipe["image_sizes"][rng.integers(len(recipe["image_sizes"]))]
    pixels = background(size, rng)
    labels, visible, whole_areas = [], [], []
    for _ in range(rng.integers(1, recipe["max_shapes"] + 1)):
        label = int(rng.integers(len(recipe["classes"])))
        for _ in range(PLACEMENTS):
            mask = _shape_mask(recipe["classes"][label], size, rng)
            # The newcomer hides what it covers of the others.
            left_over = [other & ~mask for other in visible]
            if all(
                left.sum() >= MIN_VISIBLE * area
                for left, area in zip(left_over, whole_areas)
            ):
                labels.append(label)
                visible = [*left_over, mask]
                whole_areas.append(mask.sum())
                grain = rng.normal(0.0, NOISE / 2, (mask.sum(), 3))
                pixels[mask] = _colour(rng) + grain
                break
    return to_uint8(pixels), labels, visible


def to_uint8(pixels):
    return pixels.clip(0, 255).round().astype(np.uint8)


def background(size, rng):
    """Return float64 [h, w, 3]: grey, slowly varying, with noise."""
    height, width = size
    coarse = rng.uniform(70, 180, (4, 4)).astype(np.float32)
    smooth = Image.fromarray(coarse).resize((width, height), Image.BICUBIC)
    tint = rng.normal(0.0, 8.0, 3)
    noise = rng.normal(0.0, NOISE, (height, width, 3))
    return np.asarray(smooth)[..., None] + tint + noise


def _colour(rng):
    """Return float64 [3]: one channel high, one low, so never grey."""
    colour = np.array([rng.uniform(200, 255), rng.uniform(0, 55), 0.0])
    colour[2] = rng.uniform(0, 255)
    return rng.permutation(colour)


def _shape_mask(name: str, size, rng):
    """Return bool [h, w]: one shape, wholly inside the image."""
    height, width = size
    short = min(size)
    radius = rng.uniform(MIN_SIDE, MAX_SIDE) * short / 2
    x = rng.uniform(radius, width - radius)
    y = rng.uniform(radius, height - radius)
    canvas = Image.new("1", (width, height))
    draw = ImageDraw.Draw(canvas)
    if name == "circle":
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=1)
    else:
        draw.polygon(_corners(name, x, y, radius, rng), fill=1)
    return np.asarray(canvas).copy()


def _corners(name: str, x: float, y: float, radius: float, rng):
    """Return the corners of a regular polygon or a five-pointed star."""
    count = {"square": 4, "triangle": 3, "star": 10}[name]
    # A square stands on its side, a triangle and a star point upwards.
    start = {"square": 0.25 * math.pi}.get(name, -0.5 * math.pi)
    start += rng.uniform(-0.2, 0.2)  # radians
    corners = []
    for index in range(count):
        reach = radius * 0.45 if name == "star" and index % 2 else radius
        angle = start + 2 * math.pi * index / count
        corners.append(
            (x + reach * math.cos(angle), y + reach * math.sin(angle))
        )
    return corners
