"""Pairs of drawn objects that share a box, in COCO's format.

Which of the two an object's mask covers, its box does not tell: only its
class does, which is a colour. So masks for a class that never showed any need
Mask^X R-CNN; a class-agnostic mask head can but guess. The colours are hues
on a circle, and every class without masks lies between two that have them.

A pair is of two classes with masks or two without. Otherwise the colours of
the latter would be seen in the boxes of the former, where they are always
background, and a mask head learns that they are no object's.
"""

import colorsys
import math

import numpy as np
from PIL import Image, ImageDraw

from keras_fair.data import synthetic

NUM_CLASSES = 12
COLOURS = tuple(
    tuple(
        round(255 * part)
        for part in colorsys.hsv_to_rgb(index / NUM_CLASSES, 0.9, 0.9)
    )
    for index in range(NUM_CLASSES)
)
CLASSES = tuple("{:02x}{:02x}{:02x}".format(*colour) for colour in COLOURS)
MASK_CLASSES = CLASSES[::2]
FORMS = ("slash", "backslash", "ring", "plus")
SIDE = 96  # pixels of an image
MIN_DIAMETER, MAX_DIAMETER = 30.0, 48.0  # pixels of an object
STROKE = 0.26  # of the diameter
MAX_PAIRS = 2  # in an image
GAP = 2.0  # pixels between pairs
ALONE = 0.25  # of the pairs are a single object
STEPS_APART = (4, 6, 8)  # on the circle, between the classes of a pair
SHADE = 10.0  # standard deviation of an object's colour, of 255
PLACEMENTS = 20  # attempts to place one pair


def write_pairs(
    folder: str, num_train: int, num_val: int, *, seed: int = 0
) -> None:
    """Write images and annotations, or keep those that are there.

    The layout is that of `synthetic.write_shapes`; all objects have masks.

    Args:
        folder: where to; its parent is created.
        num_train: images to train on.
        num_val: images to evaluate on.
        seed: of everything random.

    Raises:
        FileExistsError: the folder holds something else.
    """
    recipe = {
        "num_train": num_train,
        "num_val": num_val,
        "classes": list(CLASSES),
        "seed": seed,
    }
    synthetic.write(folder, recipe, _draw_image)


def _draw_image(recipe: dict, rng):
    """Draw one image; see `synthetic.write`."""
    pixels = synthetic.background((SIDE, SIDE), rng)
    labels, visible = [], []
    taken = []  # x, y, radius of each pair
    for _ in range(rng.integers(1, MAX_PAIRS + 1)):
        place = _free_place(taken, rng)
        if place is None:
            break
        taken.append(place)
        masks = []
        for label, form in zip(_labels(rng), rng.permutation(FORMS)):
            mask = _form_mask(form, *place)
            masks = [other & ~mask for other in masks]
            masks.append(mask)
            labels.append(label)
            shade = COLOURS[label] + rng.normal(0, SHADE, 3)
            grain = rng.normal(0, synthetic.NOISE / 2, (mask.sum(), 3))
            pixels[mask] = shade + grain
        visible += masks
    return synthetic.to_uint8(pixels), labels, visible


def _labels(rng) -> list[int]:
    """Return one label, or two whose colours are far apart."""
    first = int(rng.integers(NUM_CLASSES))
    if rng.uniform() < ALONE:
        return [first]
    return [first, (first + int(rng.choice(STEPS_APART))) % NUM_CLASSES]


def _free_place(taken: list, rng) -> tuple | None:
    """Return x, y and radius in pixels, apart from the others."""
    for _ in range(PLACEMENTS):
        radius = rng.uniform(MIN_DIAMETER, MAX_DIAMETER) / 2
        x, y = rng.uniform(radius, SIDE - radius, 2)
        if all(
            max(abs(x - x0), abs(y - y0)) > radius + radius0 + GAP
            for x0, y0, radius0 in taken
        ):
            return x, y, radius
    return None


def _form_mask(form: str, x: float, y: float, radius: float):
    """Return bool [SIDE, SIDE]: a form that fills its square."""
    canvas = Image.new("1", (SIDE, SIDE))
    draw = ImageDraw.Draw(canvas)
    half = STROKE * radius  # of a stroke's width
    left, top, right, bottom = x - radius, y - radius, x + radius, y + radius
    if form == "ring":
        draw.ellipse((left, top, right, bottom), fill=1)
        inner = radius - 2 * half
        draw.ellipse((x - inner, y - inner, x + inner, y + inner), fill=0)
    elif form == "plus":
        draw.rectangle((left, y - half, right, y + half), fill=1)
        draw.rectangle((x - half, top, x + half, bottom), fill=1)
    else:
        cut = half * math.sqrt(2)
        corners = [
            (left, bottom),
            (left, bottom - cut),
            (right - cut, top),
            (right, top),
            (right, top + cut),
            (left + cut, bottom),
        ]
        if form == "backslash":
            corners = [(2 * x - column, row) for column, row in corners]
        draw.polygon(corners, fill=1)
    return np.asarray(canvas).copy()
