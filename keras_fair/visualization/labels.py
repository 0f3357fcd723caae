"""Write labels at boxes, where they cover each other least."""

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_fair.visualization import colors

OPACITY = 0.8  # of the ground behind the text
MAX_COVERED = 0.05  # part of a label that may lie over earlier ones


def draw_labels(picture, boxes, texts, shades, size: int) -> None:
    font = ImageFont.load_default(size)
    pad = max(1, size // 6)
    height = sum(font.getmetrics()) + pad
    placed = []
    for box, choices, color in zip(boxes, texts, shades):
        for text in choices:
            label_size = (math.ceil(font.getlength(text)) + 2 * pad, height)
            corner = _place(box, label_size, picture.size, placed)
            if corner is not None:
                break
        else:
            continue
        placed.append([*corner, *np.add(corner, label_size).tolist()])
        backdrop = Image.new("L", label_size, round(OPACITY * 255))
        picture.paste(color, corner, backdrop)
        start = (corner[0] + pad, corner[1] + pad // 2)
        ImageDraw.Draw(picture).text(start, text, colors.ink(color), font)


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
