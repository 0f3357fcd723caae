"""Check boxes, and whether all of them are of another format than COCO's."""

from collections.abc import Callable

import numpy as np

from keras_fair.data.annotations import BOX_TOLERANCE, MIN_SIDE
from keras_fair.doctor import survey as survey_lib
from keras_fair.doctor.reading import show

MIN_MASK_IOU = 0.8  # of a box and the one around its mask
# Below, rounding alone makes the IoU small.
MASK_TOLERANCE = 2.0  # pixels
SANE = 1e9  # pixels; what is beyond, or NaN, is of no format
# Another format is likely where it fits nearly all boxes and COCO's does not.
MIN_BOXES, FITS, DOES_NOT_FIT = 3, 0.95, 0.8  # and parts of the boxes


def check(
    annotation: dict, image: survey_lib.Image, report: Callable
) -> tuple | None:
    """Check a box.

    Args:
        annotation: COCO's dict.
        image: its image.
        report: of (code, detail).

    Returns:
        Four floats, xyxy pixels in the image, or None where it is faulty.
    """
    bbox = annotation.get("bbox")
    numbers = survey_lib.to_floats(bbox)
    if numbers is None or len(numbers) != 4:
        report("box-type", show(bbox))
        return None
    if not np.isfinite(numbers).all():
        report("box-not-finite", show(bbox))
        return None
    x, y, width, height = numbers
    if width < 0 or height < 0:
        report("box-inverted", show(bbox))
        return None
    if image.shape is None:
        return None
    return _clip((x, y, x + width, y + height), image.shape, bbox, report)


def _clip(box: tuple, shape: tuple, bbox, report) -> tuple | None:
    """Return the box within its image."""
    # Without NumPy, which is slow on four numbers.
    limits = shape[::-1] * 2
    clipped = tuple(min(max(n, 0.0), high) for n, high in zip(box, limits))
    outside = max(abs(old - new) for old, new in zip(box, clipped))
    left, top, right, bottom = clipped
    thinner = min(right - left, bottom - top)
    if outside == 0 and thinner >= 1:
        return clipped
    detail = f"{show(bbox)} in {shape[1]} x {shape[0]}"
    if outside > BOX_TOLERANCE:
        report("box-outside", f"{detail}: {outside:g} pixels")
        return None
    if thinner < MIN_SIDE:
        report("box-empty", detail)
        return None
    if outside:
        report("box-clipped", detail)
    if thinner < 1:
        report("box-thin", detail)
    return clipped


def compare(box: tuple, mask_box: tuple, report: Callable) -> None:
    """Report a box that is not the one around its mask."""
    apart = max(abs(one - other) for one, other in zip(box, mask_box))
    if apart <= MASK_TOLERANCE:
        return
    iou = overlap(np.array([box]), np.array([mask_box])).item()
    if iou < MIN_MASK_IOU:
        around = [round(number, 1) for number in mask_box]
        report(
            "box-off-mask",
            f"IoU {iou:.2f}: box {[round(n, 1) for n in box]}, around the "
            f"mask {around}",
        )


def overlap(boxes, others):
    """Return the IoU of each pair of rows, float [n].

    Args:
        boxes: float [n, 4], xyxy.
        others: float [n, 4], xyxy.
    """
    start = np.maximum(boxes[:, :2], others[:, :2])
    end = np.minimum(boxes[:, 2:], others[:, 2:])
    both = np.maximum(end - start, 0).prod(1)
    areas = [(b[:, 2:] - b[:, :2]).prod(1) for b in (boxes, others)]
    return both / np.maximum(areas[0] + areas[1] - both, 1e-9)


# From four numbers to xyxy, pixels, all float [n]; see `Formats`.
FORMATS = {
    "": lambda a, b, c, d: (a, b, a + c, b + d),
    "boxes-corners": lambda a, b, c, d: (a, b, c, d),
    "boxes-transposed": lambda a, b, c, d: (b, a, b + d, a + c),
    "boxes-centred": lambda a, b, c, d: (
        a - c / 2,
        b - d / 2,
        a + c / 2,
        b + d / 2,
    ),
}


class Formats:
    """Collects boxes and tells whether another format explains them better.

    A box fits where it lies in its image and has an area; where there is a
    mask, it also has to be the box around it.
    """

    def __init__(self):
        self._rows = []  # four numbers, height, width, mask's box or NaN

    def add(
        self, annotation: dict, image: survey_lib.Image, mask_box: tuple | None
    ) -> None:
        numbers = survey_lib.to_floats(annotation.get("bbox"))
        if numbers and len(numbers) == 4 and image.shape:
            around = mask_box or (np.nan,) * 4
            self._rows.append((*numbers, *image.shape, *around))

    def report(self, findings) -> None:
        rows = np.array(self._rows, np.float64).reshape(-1, 10)
        rows = rows[(np.abs(rows[:, :4]) < SANE).all(1)]
        if len(rows) < MIN_BOXES:
            return
        largest = rows[:, :4].max(1)
        if (largest <= 1).mean() >= FITS and (rows[:, 4:6] > 2).all():
            findings.add("boxes-normalised", f"the largest: {largest.max():g}")
            return
        fits = {name: _fits(name, rows) for name in FORMATS}
        best = max(fits, key=fits.get)  # the first of equal ones
        if fits[""] < DOES_NOT_FIT and fits[best] >= FITS:
            detail = (
                f"{fits[best]:.0%} of {len(rows)} boxes fit so, "
                f"{fits['']:.0%} as (x, y, width, height)"
            )
            findings.add(best, detail)


def _fits(name: str, rows) -> float:
    boxes = np.stack(FORMATS[name](*rows[:, :4].T), 1)
    limit = rows[:, [5, 4, 5, 4]] + BOX_TOLERANCE
    fits = (boxes >= -BOX_TOLERANCE).all(1) & (boxes <= limit).all(1)
    fits &= (boxes[:, 2:] - boxes[:, :2] >= MIN_SIDE).all(1)
    masks = rows[:, 6:]
    has_mask = np.isfinite(masks).all(1)
    is_off = overlap(boxes, np.where(has_mask[:, None], masks, boxes))
    return float((fits & (is_off >= 0.5)).mean())
