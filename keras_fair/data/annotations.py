"""Checks of single records of COCO's instances format.

Each raises ValueError with what is wrong; instances.py adds file and id.
"""

import json

import numpy as np

from keras_fair import files
from keras_fair.data import file_parts

# Boxes may stick out of the image by so many pixels and are clipped: tools
# that count pixels from 1 or round up are off by one at either end. COCO
# itself stays inside.
BOX_TOLERANCE = 2.0
MIN_SIDE = 0.01  # pixels; nothing is left of an object that is thinner
MAX_ID = 2**63  # TensorFlow's int64
MAX_PIXELS = 2**31  # masks number them in 32 bits
LISTS = ("images", "annotations", "categories")


def read_json(path: str) -> dict:
    """Read an instances file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is truncated, or without COCO's three lists.
    """
    if not files.is_file(path):
        raise FileNotFoundError(f"No annotation file {path}.")
    try:
        content = json.loads(file_parts.read(path).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} is not complete JSON ({error}). Download or write it "
            "again."
        ) from error
    if not isinstance(content, dict) or not all(
        isinstance(content.get(name), list) for name in LISTS
    ):
        raise ValueError(
            f"Expected the lists {', '.join(LISTS)} in {path}, COCO's "
            "instances format."
        )
    return content


def are_finite(numbers: list) -> bool:
    """Tell whether it is a flat list of numbers, none beyond a float's."""
    try:
        values = np.asarray(numbers)
    except (ValueError, OverflowError):
        return False
    # Text or a huge integer make another kind of array of them all.
    is_flat = values.ndim == 1 and values.dtype.kind in "iuf"
    return is_flat and bool(np.isfinite(values).all())


def check_id(record, seen) -> None:
    """Check that a record is a dict with a new integer id."""
    if not isinstance(record, dict):
        raise ValueError("expected a dict")
    if type(record.get("id")) is not int:
        raise ValueError("expected an integer id")
    if abs(record["id"]) >= MAX_ID:
        raise ValueError("expected an id of at most 63 bits")
    if record["id"] in seen:
        raise ValueError("duplicate id")


def check_category(category: dict) -> None:
    """Check a category's name, and the names of keypoints if it has any."""
    name = category.get("name")
    if not isinstance(name, str) or not name.strip():
        raise ValueError(f"expected a name: {name!r}")
    names = category.get("keypoints") or []
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in names
    ):
        raise ValueError(f"expected keypoints as a list of names: {names!r}")


def check_class_map(class_map, names, path: str) -> None:
    """Check that other names are for classes that there are."""
    unknown = sorted(set(class_map) - set(names))
    if unknown:
        raise ValueError(
            f"Expected a class_map from classes of {path}. Received: "
            f"{', '.join(unknown)}. The classes are: {', '.join(names)}."
        )


def check_image(image: dict) -> None:
    """Check an image's file name and size."""
    if not isinstance(image.get("file_name"), str):
        raise ValueError(f"expected a file_name: {image.get('file_name')!r}")
    for key in ("height", "width"):
        if type(image.get(key)) is not int or image[key] < 1:
            raise ValueError(
                f"expected {key} as a positive integer: {image.get(key)!r}"
            )
    if image["height"] * image["width"] >= MAX_PIXELS:
        raise ValueError("expected fewer than 2^31 pixels")


def check_links(annotation: dict, image_ids, category_ids) -> None:
    """Check that an annotation belongs to an image and a category."""
    image_id = annotation.get("image_id")
    if type(image_id) is not int or image_id not in image_ids:
        raise ValueError(f"no image has the id {image_id!r}")
    category_id = annotation.get("category_id")
    if type(category_id) is not int or category_id not in category_ids:
        raise ValueError(
            f"unknown category {category_id!r}; the file's categories are "
            f"{sorted(category_ids)}"
        )
    if annotation.get("iscrowd", 0) not in (0, 1):
        raise ValueError(f"expected iscrowd 0 or 1: {annotation['iscrowd']!r}")


def read_box(bbox, height: int, width: int) -> tuple:
    """Turn COCO's (x, y, width, height) into xyxy within the image.

    Args:
        bbox: four numbers, pixels.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        Four floats, pixels.

    Raises:
        ValueError: not four finite numbers, no area, or further outside of
            the image than `BOX_TOLERANCE`.
    """
    if (
        not isinstance(bbox, list)
        or len(bbox) != 4
        or not all(type(number) in (int, float) for number in bbox)
    ):
        raise ValueError(
            f"expected bbox as 4 numbers (x, y, width, height): {bbox!r}"
        )
    if not are_finite(bbox):
        raise ValueError(f"expected finite numbers in bbox: {bbox}")
    x, y, box_width, box_height = bbox
    if box_width < 0 or box_height < 0:
        raise ValueError(
            f"expected bbox as (x, y, width, height) with width and height "
            f"above 0: {bbox}"
        )
    right, bottom = x + box_width, y + box_height
    outside = max(-x, -y, right - width, bottom - height)
    if outside > BOX_TOLERANCE:
        raise ValueError(
            f"bbox {bbox} reaches {outside:g} pixels out of the image of "
            f"width {width} and height {height}"
        )
    left, top = max(x, 0.0), max(y, 0.0)
    right, bottom = min(right, width), min(bottom, height)
    if right - left < MIN_SIDE or bottom - top < MIN_SIDE:
        raise ValueError(f"bbox {bbox} has no area inside the image")
    return left, top, right, bottom
