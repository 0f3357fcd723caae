"""Slow, plain truths about keypoints, box by box in NumPy."""

import numpy as np


def encode(keypoints, boxes, size):
    """Return the cell of each keypoint, or -1; see keypoints.py."""
    cells = np.full(keypoints.shape[:3], -1, "int32")
    for index in np.ndindex(*cells.shape):
        x, y, visibility = keypoints[index].astype("float64")
        x1, y1, x2, y2 = boxes[index[:2]].astype("float64")
        in_box = x1 <= x <= x2 and y1 <= y <= y2 and x1 < x2 and y1 < y2
        if visibility > 0 and in_box:
            column = min(int((x - x1) / (x2 - x1) * size), size - 1)
            row = min(int((y - y1) / (y2 - y1) * size), size - 1)
            cells[index] = row * size + column
    return cells


def decode(logits, boxes):
    """Enlarge every map to all pixels of its box, as Detectron2 does."""
    found = np.zeros((*logits.shape[:2], logits.shape[4], 3))
    for image, row, keypoint in np.ndindex(*found.shape[:3]):
        x1, y1, x2, y2 = boxes[image, row].astype("float64")
        width, height = max(x2 - x1, 1.0), max(y2 - y1, 1.0)
        cells = logits[image, row, :, :, keypoint].astype("float64")
        large = enlarge(cells, int(np.ceil(height)), int(np.ceil(width)))
        y, x = np.unravel_index(large.argmax(), large.shape)
        found[image, row, keypoint] = (
            x1 + (x + 0.5) * width / np.ceil(width),
            y1 + (y + 0.5) * height / np.ceil(height),
            np.exp(large.max()) / np.exp(cells).sum(),
        )
    return found


def enlarge(cells, height, width):
    """Return float64 [height, width], bicubic, edges repeated."""
    return _resize(_resize(cells, height).T, width).T


def _resize(cells, length):
    rows = np.zeros((length, cells.shape[1]))
    for row in range(length):
        centre = (row + 0.5) * len(cells) / length - 0.5
        below = int(np.floor(centre))
        for cell in range(below - 1, below + 3):
            weight = _cubic(abs(centre - cell))
            rows[row] += weight * cells[np.clip(cell, 0, len(cells) - 1)]
    return rows


def _cubic(x):
    """Keys' kernel with a = -3/4, as torch's bicubic interpolation has it."""
    if x <= 1:
        return 1.25 * x**3 - 2.25 * x**2 + 1
    return -0.75 * x**3 + 3.75 * x**2 - 6 * x + 3 if x < 2 else 0.0
