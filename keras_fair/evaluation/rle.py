"""Box-frame masks into the image, COCO's RLE and polygons; NumPy only.

Which pixels are the object's, pasting.py says.

D detections, S the side of a mask, h x w the image.
"""

from collections.abc import Iterator

import numpy as np

from keras_fair.evaluation import pasting


def encode_masks(
    masks,
    boxes,
    height: int,
    width: int,
    *,
    paste: str = "sampled",
    threshold: float = 0.5,
) -> list[dict]:
    """Return each mask as COCO's compressed RLE, without a canvas.

    Memory is one box's pixels; the strings are pycocotools' own.

    Args:
        masks: float32 [D, S, S], probabilities in the frames of `boxes`.
        boxes: float32 [D, 4], xyxy pixels of the image.
        height: h.
        width: w.
        paste: one of pasting.RULES.
        threshold: of the probability.

    Returns:
        D dicts {"size": [h, w], "counts": bytes}.
    """
    size = height, width
    rule = {"rule": paste, "threshold": threshold}
    counts = [
        _counts(*pasting.paste_crop(mask, box, *size, **rule), *size)
        for mask, box in zip(masks, boxes)
    ]
    return [
        {"size": [height, width], "counts": string}
        for string in _compress(counts)
    ]


def paste_chunks(
    masks,
    boxes,
    height: int,
    width: int,
    *,
    paste: str = "sampled",
    threshold: float = 0.5,
    max_bytes: int = 2**26,
) -> Iterator[np.ndarray]:
    """Yield bool [n, h, w], image masks of the next n detections in order.

    Args:
        masks, boxes, height, width, paste, threshold: see `encode_masks`.
        max_bytes: no chunk is larger, unless it is a single mask.
    """
    step = max(max_bytes // max(height * width, 1), 1)
    for first in range(0, len(masks), step):
        chunk = slice(first, first + step)
        pasted = np.zeros((len(masks[chunk]), height, width), bool)
        for canvas, mask, box in zip(pasted, masks[chunk], boxes[chunk]):
            crop, left, top = pasting.paste_crop(
                mask, box, height, width, rule=paste, threshold=threshold
            )
            columns, rows = crop.shape
            canvas[top : top + rows, left : left + columns] = crop.T
        yield pasted


def mask_polygons(
    masks,
    boxes,
    height: int,
    width: int,
    *,
    paste: str = "sampled",
    threshold: float = 0.5,
) -> list[list[list[float]]]:
    """Return the outlines of each mask along its pixels' edges.

    Each part that hangs together by pixel sides is one polygon. COCO's
    polygons have no holes; holes are filled.

    Args:
        masks, boxes, height, width, paste, threshold: see `encode_masks`.

    Returns:
        D lists of polygons [x0, y0, x1, y1, ...], pixels; empty without any.
    """
    polygons = []
    for mask, box in zip(masks, boxes):
        crop, left, top = pasting.paste_crop(
            mask, box, height, width, rule=paste, threshold=threshold
        )
        polygons.append(
            [
                (points + (left, top)).ravel().tolist()
                for points in _outlines(crop.T)
            ]
        )
    return polygons


def _counts(crop, left: int, top: int, height: int, width: int):
    """Return the lengths of runs of 0, 1, 0, ... down the image's columns."""
    columns, rows = crop.shape
    framed = np.zeros((columns, rows + 2), np.int8)
    framed[:, 1:-1] = crop
    edges = np.flatnonzero(framed[:, 1:] != framed[:, :-1])
    column, row = edges // (rows + 1), edges % (rows + 1)
    position = (left + column) * height + top + row  # starts and ends in turn
    # A run to the bottom of one column goes on at the top of the next.
    joined = np.flatnonzero(position[1:-1:2] == position[2::2])
    position = np.delete(position, np.r_[2 * joined + 1, 2 * joined + 2])
    counts = np.diff(position, prepend=0, append=height * width)
    return counts[:-1] if counts[-1] == 0 and len(counts) > 1 else counts


def _compress(runs: list[np.ndarray]) -> list[bytes]:
    """Return COCO's string of each list of counts, all in one pass.

    From the fourth on, a count is stored as the difference from the one two
    before; each is cut into groups of five bits, lowest first, a sixth bit
    telling that more follow, and 48 makes it a printable character.
    """
    if not runs:
        return []
    sizes = np.array([len(counts) for counts in runs])
    starts = np.cumsum(sizes) - sizes
    counts = np.concatenate(runs).astype(np.int64)
    values = counts.copy()
    place = np.arange(len(counts)) - np.repeat(starts, sizes)
    later = np.flatnonzero(place >= 3)
    values[later] -= counts[later - 2]
    characters = np.zeros((len(values), 13), np.uint8)  # 13 * 5 bits > 64
    active = np.ones(len(values), bool)
    for group in range(characters.shape[1]):
        bits, values = values & 31, values >> 5
        more = np.where(bits & 16, values != -1, values != 0)
        characters[:, group] = np.where(active, bits + 32 * more + 48, 0)
        active &= more
    lengths = np.add.reduceat((characters > 0).sum(1), starts)
    text = characters[characters > 0].tobytes()
    ends = np.cumsum(lengths)
    return [text[end - n : end] for end, n in zip(ends, lengths)]


def _outlines(mask) -> list[np.ndarray]:
    """Return the outer rings of a bool [h, w] mask, int [points, 2] xy.

    A vertex of the pixel grid is a corner where an odd number of its four
    pixels is set, or two diagonal ones, which make two corners. Along each
    row of the grid the corners pair up to horizontal edges, along each column
    to vertical ones; going from one to the other walks a ring.
    """
    x, y, turn, inner = _corners(np.pad(mask.astype(np.int8), 1))
    across = _partners(np.lexsort((np.arange(len(x)), y)))
    down = _partners(np.lexsort((turn, y, x)))
    seen = np.zeros(len(x), bool)
    rings = []
    for start in range(len(x)):
        ring, corner = [], start
        while not seen[corner]:
            partner = across[corner]
            seen[[corner, partner]] = True
            ring += [corner, partner]
            corner = down[partner]
        # The first corner of a ring is its topmost, leftmost. The pixel below
        # and right of it is set in an outer ring and not in a hole.
        if ring and inner[start]:
            rings.append(np.stack([x[ring], y[ring]], axis=-1))
    return rings


def _corners(framed):
    """Return x, y, order in the column, and the pixel below and right.

    Corners come by row, then column; of two at one vertex the one whose
    horizontal edge goes left is first.
    """
    a, b = framed[:-1, :-1], framed[:-1, 1:]
    c, d = framed[1:, :-1], framed[1:, 1:]
    double = (a == d) & (b == c) & (a != b)
    times = (a + b + c + d) % 2 + 2 * double
    y, x = np.nonzero(times)
    repeats = times[y, x]
    second = np.arange(repeats.sum()) - np.repeat(
        np.cumsum(repeats) - repeats, repeats
    )
    y, x = np.repeat(y, repeats), np.repeat(x, repeats)
    # Pixels that only touch at a corner are apart: with `a` and `d` set the
    # edge from the left goes up, with `b` and `c` it goes down.
    turn = np.where(double[y, x] & (b[y, x] == 1), 1 - second, second)
    return x, y, turn, d[y, x] == 1


def _partners(order):
    """Return for each corner the other end of its edge."""
    partners = np.empty(len(order), int)
    partners[order[::2]], partners[order[1::2]] = order[1::2], order[::2]
    return partners
