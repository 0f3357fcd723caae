"""Draw a box-frame mask, translucent with an outline."""

import numpy as np
from PIL import Image

OPACITY = 0.4  # of the fill; the outline is opaque


def draw_mask(picture, mask, box, color, width: int) -> None:
    """Paste a box-frame mask, translucent with an opaque outline."""
    margin = width + 1  # so that the outline closes at the box
    limit = (picture.width, picture.height)
    start = np.maximum(np.floor(box[:2]).astype(int) - margin, 0)
    size = np.minimum(np.ceil(box[2:]).astype(int) + margin, limit) - start
    if (size <= 0).any() or (box[2:] <= box[:2]).any():
        return
    inside = _paste_mask(mask, box, start, size)
    opacity = np.where(_erode(inside, width), OPACITY, inside)
    stencil = Image.fromarray((opacity * 255).astype("uint8"))
    picture.paste(color, tuple(start.tolist()), stencil)


def _paste_mask(mask, box, start, size):
    """Return bool [h, w]: the mask covers the centre of a window's pixel."""
    scale = np.array(mask.shape[::-1]) / (box[2:] - box[:2])
    # Mask position of the window's pixel (x, y); Pillow adds the half pixels.
    shift = (start - box[:2]) * scale
    sampled = Image.fromarray(mask.astype("float32")).transform(
        tuple(size.tolist()),
        Image.Transform.AFFINE,
        (scale[0], 0.0, shift[0], 0.0, scale[1], shift[1]),
        Image.Resampling.BILINEAR,
    )
    return np.asarray(sampled) >= 0.5


def _erode(inside, reach: int):
    """Take off what is less than `reach` pixels from the outside."""
    height, width = inside.shape
    # Beyond the picture goes on what is at its edge: no outline there.
    padded = np.pad(inside, reach, mode="edge")
    core = np.ones((height, width + 2 * reach), "bool")
    for shift in range(2 * reach + 1):
        core &= padded[shift : shift + height]
    inside = np.ones((height, width), "bool")
    for shift in range(2 * reach + 1):
        inside &= core[:, shift : shift + width]
    return inside
