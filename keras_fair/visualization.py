"""Draws boxes, labels, scores and instance masks on images, with Pillow.

N objects of one image, S the side of a box-frame mask.
"""

import colorsys
import math
import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_fair import contract

MASK_OPACITY = 0.4  # of a mask's fill; its outline is opaque
LABEL_OPACITY = 0.8  # of the ground behind the text
MAX_COVERED = 0.05  # part of a label that may lie over earlier ones
GOLDEN_RATIO = 0.618034  # steps of hue by it never come close to each other
# (saturation, value): neighbours in hue differ in these.
SHADES = ((0.85, 0.95), (0.60, 1.00), (1.00, 0.75))
# Parts of the side of a square as large as the image.
LINE_WIDTH, FONT_SIZE = 1 / 300, 1 / 44
MIN_FONT_SIZE, MAX_FONT_SIZE = 9, 64  # pixels; 9 is the smallest legible
GAP = 4  # pixels between the cells of a grid


def class_color(label: int) -> tuple[int, int, int]:
    """Return the RGB colour of that class, the same in every picture."""
    hue = (label * GOLDEN_RATIO) % 1.0
    saturation, value = SHADES[label % len(SHADES)]
    rgb = colorsys.hsv_to_rgb(hue, saturation, value)
    return tuple(round(255 * channel) for channel in rgb)


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
            [N], `masks` [N, S, S] in the box's frame (drawn from 0.5 on) and
            `has_mask` [N].
        class_names: name of each label; by default the label's number.
        score_threshold: detections with a lower score are not drawn.

    Raises:
        ValueError: arrays of other shapes, or a label without name.
        TypeError: an image that is not uint8.
    """
    picture = _picture(image)
    objects = _visible(objects, score_threshold, picture.size)
    texts = _texts(objects, class_names)
    boxes = objects["boxes"].astype("float64")
    colors = [class_color(label) for label in objects["labels"].tolist()]
    side = math.sqrt(picture.width * picture.height)
    width = max(1, round(side * LINE_WIDTH))
    # Small objects last, so that large ones do not cover them.
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    order = np.argsort(-areas, kind="stable").tolist()
    for row in order:
        if "masks" in objects and objects["has_mask"][row]:
            mask = objects["masks"][row]
            _draw_mask(picture, mask, boxes[row], colors[row], width)
    for row in order:
        _draw_box(picture, boxes[row], colors[row], width)
    size = min(max(round(side * FONT_SIZE), MIN_FONT_SIZE), MAX_FONT_SIZE)
    _draw_labels(picture, boxes, texts, colors, size)
    return picture


def draw_grid(images: Sequence, columns: int) -> Image.Image:
    """Return the images side by side on a white sheet, row by row.

    Args:
        images: uint8 [H, W, 3] arrays or RGB Pillow images, of any sizes;
            each is centred in a cell of the largest.
        columns: images in a row.

    Raises:
        ValueError: no images, or less than one column.
    """
    pictures = [_picture(image) for image in images]
    if not pictures or columns < 1:
        raise ValueError(
            "Expected at least one image and one column. Received: "
            f"{len(pictures)} images, {columns} columns."
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    largest = np.max([picture.size for picture in pictures], axis=0)
    width, height = (largest + GAP).tolist()
    size = (columns * width + GAP, rows * height + GAP)
    sheet = Image.new("RGB", size, "white")
    for cell, picture in enumerate(pictures):
        row, column = divmod(cell, columns)
        left = GAP + column * width + (width - GAP - picture.width) // 2
        top = GAP + row * height + (height - GAP - picture.height) // 2
        sheet.paste(picture, (left, top))
    return sheet


def save_image(image, path: str | os.PathLike) -> None:
    """Write the image in the format of the path's suffix, atomically.

    Args:
        image: uint8 [H, W, 3], RGB, or an RGB Pillow image.
        path: in an existing folder; the suffix is .png, .jpg or the like.

    Raises:
        ValueError: a suffix that Pillow does not know.
    """
    path = pathlib.Path(path)
    image_format = Image.registered_extensions().get(path.suffix.lower())
    if image_format not in Image.SAVE:
        raise ValueError(
            "Expected a path that ends in .png, .jpg or another format that "
            f"Pillow writes. Received: {str(path)!r}."
        )
    temporary = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        _picture(image).save(temporary, image_format)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _picture(image) -> Image.Image:
    """Return a new RGB Pillow image of the array or picture."""
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise TypeError(
            "Expected a uint8 image with values 0..255. Received: "
            f"{array.dtype}. Scale to 0..255 and use .astype('uint8')."
        )
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(
            "Expected one RGB image [height, width, 3]. Received: "
            f"{list(array.shape)}. For a grey image [height, width] use "
            "np.stack([image] * 3, axis=-1); for RGBA drop the last channel."
        )
    return Image.fromarray(np.array(array))


def _visible(objects: dict, score_threshold: float, size: tuple) -> dict:
    """Return the arrays, checked, of the rows to draw in (width, height)."""
    names = ("boxes", "labels", "scores", "masks", "has_mask")
    arrays = {k: np.asarray(objects[k]) for k in names if k in objects}
    if not {"boxes", "labels"} <= set(arrays):
        raise ValueError(
            "Expected the keys 'boxes' and 'labels'. Received: "
            f"{sorted(objects)}."
        )
    count = arrays["labels"].size
    arrays.setdefault("has_mask", np.ones(count, "bool"))
    for name, array in arrays.items():
        sides = {"boxes": (4,), "masks": array.shape[-2:]}.get(name, ())
        if array.shape != (count, *sides):
            raise ValueError(
                f"Expected {name!r} of one image as {[count, *sides]}, a row "
                f"for each label. Received: {list(array.shape)}. From a batch "
                "take one image: {k: v[0] for k, v in batch.items()}."
            )
    keep = arrays["labels"] != contract.PADDING_LABEL
    boxes = arrays["boxes"]
    if not np.isfinite(boxes[keep]).all():
        raise ValueError("Expected finite boxes. Received: NaN or infinity.")
    keep &= (boxes[:, :2] < size).all(1) & (boxes[:, 2:] > 0).all(1)
    if "scores" in arrays:
        keep &= arrays["scores"] >= score_threshold
    return {name: array[keep] for name, array in arrays.items()}


def _texts(objects: dict, class_names: Sequence[str] | None) -> list[list[str]]:
    """Return what may be written at each object, best first."""
    labels = objects["labels"].tolist()
    if class_names is None:
        names = [str(label) for label in labels]
    elif labels and not 0 <= min(labels) <= max(labels) < len(class_names):
        raise ValueError(
            f"Expected labels below {len(class_names)}, the number of "
            f"class_names. Received: {sorted(set(labels))}."
        )
    else:
        names = [class_names[label] for label in labels]
    if "scores" not in objects:
        return [[name] for name in names]
    scores = objects["scores"].tolist()
    return [[f"{n} {s:.2f}", n] for n, s in zip(names, scores)]


def _draw_mask(picture, mask, box, color, width: int) -> None:
    """Paste a box-frame mask, translucent with an opaque outline."""
    margin = width + 1  # so that the outline closes at the box
    limit = (picture.width, picture.height)
    start = np.maximum(np.floor(box[:2]).astype(int) - margin, 0)
    size = np.minimum(np.ceil(box[2:]).astype(int) + margin, limit) - start
    if (size <= 0).any() or (box[2:] <= box[:2]).any():
        return
    inside = _paste_mask(mask, box, start, size)
    opacity = np.where(_erode(inside, width), MASK_OPACITY, inside)
    stencil = Image.fromarray((opacity * 255).astype("uint8"))
    picture.paste(color, tuple(start.tolist()), stencil)


def _paste_mask(mask, box, start, size):
    """Return bool [h, w]: the mask covers the centre of a window's pixel."""
    scale = np.array(mask.shape[::-1]) / (box[2:] - box[:2])
    # Mask position of the window's pixel (x, y); Pillow adds the half pixels.
    shift = (start - box[:2]) * scale
    sampled = Image.fromarray(mask.astype("float32")).transform(
        tuple(size.tolist()),
        Image.Transform.AFFINE,
        (scale[0], 0.0, shift[0], 0.0, scale[1], shift[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(sampled) >= 0.5


def _erode(inside, reach: int):
    """Take off what is less than `reach` pixels from the outside."""
    height, width = inside.shape
    # Beyond the picture goes on what is at its edge: no outline there.
    padded = np.pad(inside, reach, mode="edge")
    core = np.ones((height, width + 2 * reach), "bool")
    for shift in range(2 * reach + 1):
        core &= padded[shift : shift + height]
    inside = np.ones((height, width), "bool")
    for shift in range(2 * reach + 1):
        inside &= core[:, shift : shift + width]
    return inside


def _draw_box(picture, box, color, width: int) -> None:
    """Outline the pixels that the box covers."""
    left, top, right, bottom = np.round(box).astype(int).tolist()
    left, top = max(left, 0), max(top, 0)
    right = min(max(right, left + 1), picture.width) - 1
    bottom = min(max(bottom, top + 1), picture.height) - 1
    if left <= right and top <= bottom:
        shape = (left, top, right, bottom)
        ImageDraw.Draw(picture).rectangle(shape, outline=color, width=width)


def _draw_labels(picture, boxes, texts, colors, size: int) -> None:
    font = ImageFont.load_default(size)
    pad = max(1, size // 6)
    height = sum(font.getmetrics()) + pad
    placed = []
    for box, choices, color in zip(boxes, texts, colors):
        for text in choices:
            label_size = (math.ceil(font.getlength(text)) + 2 * pad, height)
            corner = _place(box, label_size, picture.size, placed)
            if corner is not None:
                break
        else:
            continue
        placed.append([*corner, *np.add(corner, label_size).tolist()])
        backdrop = Image.new("L", label_size, round(LABEL_OPACITY * 255))
        picture.paste(color, corner, backdrop)
        start = (corner[0] + pad, corner[1] + pad // 2)
        ImageDraw.Draw(picture).text(start, text, _ink(color), font)


def _place(box, label_size: tuple, picture_size: tuple, placed: list):
    """Return the left top of a label, or None where there is no room."""
    x1, y1, x2, y2 = np.round(box).astype(int).tolist()
    width, height = label_size
    room = np.subtract(picture_size, label_size)
    if (room < 0).any():
        return None
    # Above the box, in it, below it; then the same at its other corners.
    corners = [(x1, y1 - height), (x1, y1), (x1, y2)]
    corners += [(x2 - width, y1 - height), (x1, y2 - height), (x2 - width, y2)]
    corners = np.clip(corners, 0, room)  # [6, 2]
    others = np.array(placed).reshape(-1, 4)
    start = np.maximum(corners[:, None], others[:, :2])  # [6, labels, 2]
    end = np.minimum(corners[:, None] + label_size, others[:, 2:])
    covered = np.maximum(end - start, 0).prod(axis=2).sum(axis=1)
    best = np.argmin(covered)
    if covered[best] > MAX_COVERED * width * height:
        return None
    return tuple(corners[best].tolist())


def _ink(color: tuple) -> str:
    """Return black or white, whichever reads better on the colour."""
    red, green, blue = color
    return "black" if 299 * red + 587 * green + 114 * blue > 128e3 else "white"
