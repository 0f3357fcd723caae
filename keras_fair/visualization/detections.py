"""Draw one image's detections or ground truth.

N objects of one image, S the side of a box-frame mask, P keypoints.
"""

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from keras_fair import contract
from keras_fair.visualization import (
    colors,
    keypoints,
    labels,
    masks,
    pictures,
)

# Parts of the side of a square as large as the image.
LINE_WIDTH, FONT_SIZE = 1 / 300, 1 / 44
MIN_FONT_SIZE, MAX_FONT_SIZE = 9, 64  # pixels; 9 is the smallest legible


def draw_detections(
    image,
    objects: dict,
    class_names: Sequence[str] | None = None,
    score_threshold: float = 0.5,
) -> Image.Image:
    """Return a copy of the image with its detections or ground truth drawn.

    Labels are written in the order of rows; one without room is left out.

    Args:
        image: uint8 [H, W, 3], RGB, or an RGB Pillow image.
        objects: one image's part of the contract's detections or targets, as
            NumPy-convertible arrays: `boxes` [N, 4] xyxy pixels of `image`,
            `labels` [N] (-1 is padding and is not drawn), optionally `scores`
            [N], `masks` [N, S, S] in the box's frame (drawn from 0.5 on),
            `has_mask` [N] and `keypoints` [N, P, 3], x, y in pixels of
            `image` and visibility or score.
        class_names: name of each label; by default the label's number.
        score_threshold: detections with a lower score are not drawn.

    Raises:
        ValueError: arrays of other shapes, or a label without name.
        TypeError: an image that is not uint8.
    """
    picture = pictures.as_picture(image)
    objects = _visible(objects, score_threshold, picture.size)
    texts = _texts(objects, class_names)
    boxes = objects["boxes"].astype("float64")
    shades = [colors.class_color(label) for label in objects["labels"].tolist()]
    side = math.sqrt(picture.width * picture.height)
    width = max(1, round(side * LINE_WIDTH))
    # Small objects last, so that large ones do not cover them.
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    order = np.argsort(-areas, kind="stable").tolist()
    for row in order:
        if "masks" in objects and objects["has_mask"][row]:
            mask = objects["masks"][row]
            masks.draw_mask(picture, mask, boxes[row], shades[row], width)
    for row in order:
        _draw_box(picture, boxes[row], shades[row], width)
        if "keypoints" in objects:
            points = objects["keypoints"][row]
            keypoints.draw_keypoints(picture, points, shades[row], width)
    size = min(max(round(side * FONT_SIZE), MIN_FONT_SIZE), MAX_FONT_SIZE)
    labels.draw_labels(picture, boxes, texts, shades, size)
    return picture


def _visible(objects: dict, score_threshold: float, size: tuple) -> dict:
    """Return the arrays, checked, of the rows to draw in (width, height)."""
    names = ("boxes", "labels", "scores", "masks", "has_mask", "keypoints")
    arrays = {k: np.asarray(objects[k]) for k in names if k in objects}
    if not {"boxes", "labels"} <= set(arrays):
        raise ValueError(
            "Expected the keys 'boxes' and 'labels'. Received: "
            f"{sorted(objects)}."
        )
    count = arrays["labels"].size
    arrays.setdefault("has_mask", np.ones(count, "bool"))
    for name, array in arrays.items():
        sides = {
            "boxes": (4,),
            "masks": array.shape[-2:],
            "keypoints": (*array.shape[1:2], 3),
        }.get(name, ())
        if array.shape != (count, *sides):
            raise ValueError(
                f"Expected {name!r} of one image as {[count, *sides]}, a row "
                f"for each label. Received: {list(array.shape)}. From a batch "
                "take one image: {k: v[0] for k, v in batch.items()}."
            )
    keep = arrays["labels"] != contract.PADDING_LABEL
    for name in {"boxes", "keypoints"} & set(arrays):
        if not np.isfinite(arrays[name][keep]).all():
            raise ValueError(
                f"Expected finite {name}. Received: NaN or infinity."
            )
    boxes = arrays["boxes"]
    keep &= (boxes[:, :2] < size).all(1) & (boxes[:, 2:] > 0).all(1)
    if "scores" in arrays:
        keep &= arrays["scores"] >= score_threshold
    return {name: array[keep] for name, array in arrays.items()}


def _texts(objects: dict, class_names: Sequence[str] | None) -> list[list[str]]:
    """Return what may be written at each object, best first."""
    numbers = objects["labels"].tolist()
    if class_names is None:
        names = [str(number) for number in numbers]
    elif numbers and not 0 <= min(numbers) <= max(numbers) < len(class_names):
        raise ValueError(
            f"Expected labels below {len(class_names)}, the number of "
            f"class_names. Received: {sorted(set(numbers))}."
        )
    else:
        names = [class_names[number] for number in numbers]
    if "scores" not in objects:
        return [[name] for name in names]
    scores = objects["scores"].tolist()
    return [[f"{n} {s:.2f}", n] for n, s in zip(names, scores)]


def _draw_box(picture, box, color, width: int) -> None:
    """Outline the pixels that the box covers."""
    left, top, right, bottom = np.round(box).astype(int).tolist()
    left, top = max(left, 0), max(top, 0)
    right = min(max(right, left + 1), picture.width) - 1
    bottom = min(max(bottom, top + 1), picture.height) - 1
    if left <= right and top <= bottom:
        shape = (left, top, right, bottom)
        ImageDraw.Draw(picture).rectangle(shape, outline=color, width=width)
