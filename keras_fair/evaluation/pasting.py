"""Which pixels of the image a box-frame mask covers; NumPy only.

Only the pixels of the box are ever computed. One of two rules:

* "sampled", Detectron2's, as in ops.masks.paste_masks: a pixel belongs to the
  object if the mask, interpolated at the pixel's centre and 0 outside its box,
  is at least the threshold.
* "integer", torchvision's and Detectron's, as in
  ops.masks.paste_integer_probabilities: the mask with a border of one zero
  cell is resized to whole pixels, the box grown as much and cut towards zero,
  both ends included; and is above the threshold.

S the side of a mask, h x w the image.
"""

import numpy as np

RULES = ("sampled", "integer")


def check(rule: str) -> None:
    """Check that there is such a rule.

    Raises:
        ValueError: there is none.
    """
    if rule not in RULES:
        raise ValueError(
            f"Expected paste as one of {', '.join(RULES)}. Received: {rule!r}."
        )


def paste_crop(
    mask,
    box,
    height: int,
    width: int,
    *,
    rule: str = "sampled",
    threshold: float = 0.5,
):
    """Return the mask's pixels around its box, and where they begin.

    Columns come first because COCO's RLE runs down the columns.

    Args:
        mask: float32 [S, S], probabilities in the frame of the box.
        box: float [4], xyxy pixels of the image.
        height: h.
        width: w.
        rule: one of `RULES`.
        threshold: of the probability.

    Returns:
        bool [columns, rows], left and top; of no pixel outside the image.

    Raises:
        ValueError: an unknown rule.
    """
    check(rule)
    places = _integer_places if rule == "integer" else _sampled_places
    x1, y1, x2, y2 = (float(side) for side in box)
    left, columns = places(x1, x2, width, len(mask))
    top, rows = places(y1, y2, height, len(mask))
    if not len(columns) or not len(rows):
        return np.zeros((0, 0), bool), 0, 0
    padded = np.pad(np.asarray(mask, np.float32), 1)
    by_row = _interpolate(padded, rows)  # [rows, S + 2]
    image = _interpolate(np.ascontiguousarray(by_row.T), columns)
    limit = np.float32(threshold)
    return (image > limit if rule == "integer" else image >= limit), left, top


def _sampled_places(first: float, last: float, length: int, size: int):
    """Return the first pixel that the box touches, and each one's place.

    Args:
        first: of the box, pixels.
        last: of the box, pixels.
        length: of the image, pixels.
        size: S.

    Returns:
        int, and float32 [pixels], in cells of the padded mask, 0 to S + 1;
        empty where there is none.
    """
    if not last > first:
        return 0, np.zeros(0, np.float32)
    # A pixel more on each side: the mask fades out half a cell outside.
    start = max(int(np.floor(max(first, 0.0))) - 1, 0)
    stop = int(np.ceil(min(last + 1.0, length)))
    pixels = np.arange(start, stop, dtype=np.float32) + np.float32(0.5)
    cell = (pixels - np.float32(first)) / np.float32(last - first)
    return start, np.clip(
        cell * np.float32(size) + np.float32(0.5), 0, size + 1
    )


def _integer_places(first: float, last: float, length: int, size: int):
    """Do as `_sampled_places` by the other rule."""
    # In float32, as where the rule comes from: whole pixels hang on it.
    first, last = np.float32(first), np.float32(last)
    half = (last - first) * np.float32(0.5) * np.float32((size + 2) / size)
    centre = (last + first) * np.float32(0.5)
    start, end = int(centre - half), int(centre + half)  # towards zero
    extent = max(end - start + 1, 1)
    pixels = np.arange(max(start, 0), min(start + extent, length))
    offset = (pixels - start).astype(np.float32) + np.float32(0.5)
    cell = offset * np.float32((size + 2) / extent) - np.float32(0.5)
    return max(start, 0), np.clip(cell, 0, size + 1)


def _interpolate(padded, places):
    """Return the rows of a padded mask at those places, in cells."""
    low = np.minimum(places.astype(np.int32), len(padded) - 2)
    share = (places - low).astype(np.float32)[:, None]
    below = padded[low]
    # Two interpolations rather than a matrix product: BLAS would wake its
    # threads for each little mask.
    return below + (padded[low + 1] - below) * share
