"""Draw the faults that can be seen."""

import io
import warnings

import numpy as np
from PIL import Image

from keras_fair.data import file_parts, rle
from keras_fair.doctor import examination, image_files, masks
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import survey as survey_lib
from keras_fair.visualization import draw_detections

LONG_SIDE = 400  # pixels of a picture, without its margin
MARGIN = 0.25  # most that is shown beside an image, of its longer side
MARGIN_COLOR = (190, 190, 190)
GRID = 112  # side of a drawn mask
# What is shown on all sides of an object: as much as itself, or so many
# pixels if that is more; and of grey beyond one that reaches out.
AROUND, MIN_AROUND, EDGE = 1.0, 32, 4


def draw(
    found: examination.Examination, example: findings_lib.Example
) -> Image.Image | None:
    """Return a picture of an example, or None where there is none.

    What reaches out of the image is drawn on a grey margin. A box is red and
    the box around its mask another colour; the numbers are the record's.

    Args:
        found: the examination that gave the example.
        example: of a finding.
    """
    picture = _open(found.images, example.image)
    if picture is None:
        return None
    annotation = _find(found, example)
    rows = [] if annotation is None else _rows(annotation, picture.size)
    if not rows:
        picture.thumbnail((LONG_SIDE, LONG_SIDE))
        return picture
    boxes = np.array([box for box, _, _ in rows])
    low, high = _window(boxes, picture.size)
    sheet = Image.new("RGB", tuple((high - low).tolist()), MARGIN_COLOR)
    sheet.paste(picture, tuple((-low).tolist()))
    scale = LONG_SIDE / max(sheet.size)
    sheet = sheet.resize([max(1, round(side * scale)) for side in sheet.size])
    objects = {
        "boxes": (boxes - np.tile(low, 2)) * scale,
        "labels": np.arange(len(rows)),
        "masks": np.stack([mask for _, mask, _ in rows]),
        "has_mask": np.array([mask.any() for _, mask, _ in rows]),
    }
    return draw_detections(sheet, objects, [text for _, _, text in rows])


def _window(boxes, size: tuple):
    """Return the left top and right bottom, int [2], of what is shown.

    The boxes with their surroundings, of the image and, where they reach out
    of it, of a margin.
    """
    start, end = boxes[:, :2].min(0), boxes[:, 2:].max(0)
    room = MARGIN * max(size)
    first = np.minimum(np.maximum(start - EDGE, -room), 0)
    last = np.maximum(np.minimum(end + EDGE, np.add(size, room)), size)
    around = max(AROUND * (end - start).max(), MIN_AROUND)
    low = np.clip(start - around, first, np.subtract(size, 1))
    high = np.clip(end + around, low + 1, last)
    return np.floor(low).astype(int), np.ceil(high).astype(int)


def _open(folder: str, name: str) -> Image.Image | None:
    """Return the image as training sees it: without its EXIF rotation."""
    try:
        content = io.BytesIO(file_parts.read(image_files.find(folder, name)))
        with warnings.catch_warnings(), Image.open(content) as image:
            warnings.simplefilter("ignore")  # of decompression bombs
            return image.convert("RGB")
    # Pillow raises whatever it likes on damaged files.
    except Exception:
        return None


def _find(found, example: findings_lib.Example) -> dict | None:
    """Return the annotation of an example."""
    if example.annotation is None:
        return None
    for each in found.survey.objects:
        if each.annotation.get("id") == example.annotation:
            return each.annotation
    return None


def _rows(annotation: dict, size: tuple) -> list[tuple]:
    """Return (box, mask, text) of what can be drawn of an annotation."""
    rows = []
    numbers = survey_lib.to_floats(annotation.get("bbox"))
    # Far beyond the picture there is nothing to see.
    if numbers and len(numbers) == 4 and np.abs(numbers).max() < 1e6:
        x, y, width, height = numbers
        x1, x2 = sorted((x, x + width))
        y1, y2 = sorted((y, y + height))
        empty = np.zeros((GRID, GRID), np.uint8)
        rows.append(((x1, y1, x2, y2), empty, "box"))
    segmentation = survey_lib.segmentation_of(annotation)
    if segmentation is None:
        return rows
    shape = size[::-1]
    try:
        counts = rle.read_segmentation(segmentation, *shape)
    except ValueError:
        return rows
    if counts is not None:
        box = masks.around(counts, shape[0])
        rows.append((box, _box_frame(counts, box, shape), "mask"))
    return rows


def _box_frame(counts, box: tuple, shape: tuple):
    """Return uint8 [GRID, GRID], the mask in the frame of its box."""
    values = np.arange(len(counts), dtype=np.uint8) % 2
    mask = np.repeat(values, counts).reshape(shape[::-1]).T
    left, top, right, bottom = (int(side) for side in box)
    part = Image.fromarray(mask[top:bottom, left:right] * 255)
    return np.asarray(part.resize((GRID, GRID), Image.NEAREST)) // 255
