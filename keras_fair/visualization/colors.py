"""Colours that tell classes apart."""

import colorsys

GOLDEN_RATIO = 0.618034  # steps of hue by it never come close to each other
# (saturation, value): neighbours in hue differ in these.
SHADES = ((0.85, 0.95), (0.60, 1.00), (1.00, 0.75))


def class_color(label: int) -> tuple[int, int, int]:
    """Return the RGB colour of that class, the same in every picture."""
    hue = (label * GOLDEN_RATIO) % 1.0
    saturation, value = SHADES[label % len(SHADES)]
    rgb = colorsys.hsv_to_rgb(hue, saturation, value)
    return tuple(round(255 * channel) for channel in rgb)


def ink(color: tuple) -> str:
    """Return black or white, whichever reads better on the colour."""
    red, green, blue = color
    return "black" if 299 * red + 587 * green + 114 * blue > 128e3 else "white"
