"""COCO's masks as run-length counts, in NumPy.

Counts are the lengths of alternating runs of 0 and 1, zeros first, over the
pixels in column-major order (down the first column, then the second). They
sum to height x width. The compressed string is pycocotools' own code.
"""

import numpy as np
from pycocotools import mask as coco_mask

from keras_fair.data import annotations

# pycocotools needs memory for each pixel of an outline, and may crash.
MAX_COORDINATE = 1e6  # pixels
MAX_DIGITS = 7  # of 5 bits: enough for 32-bit counts


def read_segmentation(segmentation, height: int, width: int):
    """Read any segmentation that COCO's format allows.

    Args:
        segmentation: polygons (a list of flat x, y lists), a dict of size
            and counts (list or compressed string).
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        int32 [runs] counts, or None where it covers no pixel (the polygon of
        a speck).

    Raises:
        ValueError: it is malformed or of another size; the message says how.
    """
    if isinstance(segmentation, list):
        counts = _polygon_counts(segmentation, height, width)
    elif isinstance(segmentation, dict):
        counts = _rle_counts(segmentation, height, width)
    else:
        raise ValueError(
            "expected a segmentation of polygons or RLE. Received: "
            f"{type(segmentation).__name__}"
        )
    return counts if counts[1::2].any() else None


def decode_counts(counts: bytes):
    """Undo COCO's compression of the counts.

    Each count is written in digits of 5 bits, lowest first, as character
    48 + digit; bit 5 says that more follow, bit 4 of the last is the sign.
    From the fourth on it is the difference to the last but one count.

    Args:
        counts: the compressed string.

    Returns:
        int64 [runs].
    """
    digits = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    # The last one ends a count.
    if not digits.size or not 0 <= digits[-1] < 0x20:
        raise ValueError("the RLE string is cut off")
    if ((digits < 0) | (digits > 0x3F)).any():
        raise ValueError("the RLE string has characters that are not of it")
    is_last = digits & 0x20 == 0
    starts = np.flatnonzero(np.concatenate([[True], is_last[:-1]]))
    lengths = np.diff(np.append(starts, len(digits)))
    if lengths.max() > MAX_DIGITS:
        raise ValueError("the RLE string has a number beyond 32 bits")
    place = np.arange(len(digits)) - np.repeat(starts, lengths)
    values = np.add.reduceat((digits & 0x1F) << (5 * place), starts)
    is_negative = digits[is_last] & 0x10 != 0
    values -= np.where(is_negative, np.int64(1) << (5 * lengths), 0)
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values


def _polygon_counts(polygons: list, height: int, width: int):
    for polygon in polygons:
        if not isinstance(polygon, list) or len(polygon) % 2:
            raise ValueError("expected polygons as flat lists [x, y, x, y, …]")
        if len(polygon) < 6:
            raise ValueError(
                "expected polygons of at least 3 points. Received: "
                f"{len(polygon) // 2}"
            )
        if not annotations.are_finite(polygon):
            raise ValueError("expected finite numbers in a polygon")
        if np.abs(np.asarray(polygon, np.float64)).max() > MAX_COORDINATE:
            raise ValueError(
                f"expected polygons within {MAX_COORDINATE:g} pixels"
            )
    parts = coco_mask.frPyObjects(polygons, height, width)
    merged = coco_mask.merge(parts)["counts"]
    return decode_counts(merged).astype(np.int32)


def _rle_counts(rle: dict, height: int, width: int):
    size, counts = rle.get("size"), rle.get("counts")
    if size != [height, width]:
        raise ValueError(
            f"expected an RLE of size {[height, width]}, the image's. "
            f"Received: {size}"
        )
    if isinstance(counts, str):
        if not counts.isascii():
            raise ValueError("the RLE string has characters that are not of it")
        counts = decode_counts(counts.encode("ascii")).tolist()
    elif not isinstance(counts, list) or not all(
        type(count) is int for count in counts
    ):
        raise ValueError("expected RLE counts as a string or a list of ints")
    total = sum(counts)  # in Python, where no integer is too large
    if total != height * width or min(counts) < 0:
        raise ValueError(
            f"expected RLE counts that sum to {height * width} pixels. "
            f"Received: {total}"
        )
    return np.asarray(counts, np.int32)
