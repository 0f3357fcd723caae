"""Pairs of drawn objects that share a box, in COCO's format.

Which of the two an object's mask covers, its box does not tell: only its class
does, a colour and the format of its box. So masks for a class that never showed
any need Mask^X R-CNN; a class-agnostic mask head can but guess. Every colour
has masks in half of the formats, as a real class without masks shares its parts
and looks with classes that have them.
"""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from keras_fair.data import synthetic

COLOUR_NAMES = ("red", "lime", "cyan", "violet")
COLOURS = tuple(
    tuple(
        round(255 * part)
        for part in colorsys.hsv_to_rgb(index / len(COLOUR_NAMES), 0.9, 0.9)
    )
    for index in range(len(COLOUR_NAMES))
)
# Width and height in pixels, by a factor from `MIN_SCALE` to 1.
FORMATS = {
    "small": (30.0, 30.0),
    "large": (50.0, 50.0),
    "tall": (26.0, 50.0),
    "wide": (50.0, 26.0),
}
MIN_SCALE = 0.8
# Label by colour and format: index(colour) * 4 + index(format).
CLASSES = tuple(
    f"{colour}_{name}" for colour in COLOUR_NAMES for name in FORMATS
)
# Colours of two objects in a box of each format. Those of the first pair have
# masks, so that colours without are not seen in the boxes of those with, where
# they would always be background.
PAIRS = {
    "small": (("red", "lime"), ("cyan", "violet")),
    "large": (("cyan", "violet"), ("red", "lime")),
    "tall": (("red", "cyan"), ("lime", "violet")),
    "wide": (("lime", "violet"), ("red", "cyan")),
}
MASK_CLASSES = tuple(
    f"{colour}_{name}" for name in FORMATS for colour in PAIRS[name][0]
)
FORMS = ("slash", "backslash", "ring", "plus")
SIDE = 96  # pixels of an image
STROKE = 0.26  # of the shorter side
DIAGONAL = 0.18  # of a slash's ends, of each side
MAX_PAIRS = 2  # in an image
GAP = 2.0  # pixels between pairs
ALONE = 0.25  # of the pairs are a single object
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
    taken = []  # the box of each pair
    for _ in range(rng.integers(1, MAX_PAIRS + 1)):
        name = str(rng.choice(list(FORMATS)))
        box = _free_box(taken, FORMATS[name], rng)
        if box is None:
            break
        taken.append(box)
        masks = []
        # A ring comes first: on top it would hide the ends of the other.
        forms = sorted(rng.choice(FORMS, 2, replace=False), key="ring".__ne__)
        for colour, form in zip(_colours(name, rng), forms):
            mask = _form_mask(form, *box)
            masks = [other & ~mask for other in masks]
            masks.append(mask)
            labels.append(CLASSES.index(f"{colour}_{name}"))
            shade = COLOURS[COLOUR_NAMES.index(colour)] + rng.normal(
                0, SHADE, 3
            )
            grain = rng.normal(0, synthetic.NOISE / 2, (mask.sum(), 3))
            pixels[mask] = shade + grain
        visible += masks
    return synthetic.to_uint8(pixels), labels, visible


def _colours(name: str, rng) -> list[str]:
    """Return the colours of one object or two, the lower one first."""
    pair = rng.permutation(PAIRS[name][rng.integers(2)])
    return pair[: 1 if rng.uniform() < ALONE else 2].tolist()


def _free_box(taken: list, sides: tuple, rng) -> tuple | None:
    """Return x1, y1, x2, y2 in pixels, apart from the others."""
    for _ in range(PLACEMENTS):
        width, height = rng.uniform(MIN_SCALE, 1) * np.array(sides)
        left = rng.uniform(0, SIDE - width)
        top = rng.uniform(0, SIDE - height)
        right, bottom = left + width, top + height
        if all(
            max(left - right0, left0 - right, top - bottom0, top0 - bottom)
            > GAP
            for left0, top0, right0, bottom0 in taken
        ):
            return left, top, right, bottom
    return None


def _form_mask(form: str, left: float, top: float, right: float, bottom: float):
    """Return bool [SIDE, SIDE]: a form that fills its box."""
    canvas = Image.new("1", (SIDE, SIDE))
    draw = ImageDraw.Draw(canvas)
    x, y = (left + right) / 2, (top + bottom) / 2
    stroke = STROKE * min(right - left, bottom - top)
    if form == "ring":
        draw.ellipse((left, top, right, bottom), fill=1)
        draw.ellipse(
            (left + stroke, top + stroke, right - stroke, bottom - stroke),
            fill=0,
        )
    elif form == "plus":
        half = stroke / 2
        draw.rectangle((left, y - half, right, y + half), fill=1)
        draw.rectangle((x - half, top, x + half, bottom), fill=1)
    else:
        across, down = DIAGONAL * (right - left), DIAGONAL * (bottom - top)
        corners = [
            (left, bottom),
            (left, bottom - down),
            (right - across, top),
            (right, top),
            (right, top + down),
            (left + across, bottom),
        ]
        if form == "backslash":
            corners = [(2 * x - column, row) for column, row in corners]
        draw.polygon(corners, fill=1)
    return np.asarray(canvas).copy()
