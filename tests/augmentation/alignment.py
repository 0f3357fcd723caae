"""Check that boxes, masks and keypoints lie on the pixels of their objects.

A mask is finer than the pixels: its grid tells an outline within a pixel,
while the pixels of a pasted object are those whose centres it covers, so a tip
thinner than a pixel may not be seen at all. What is said of a mask's inside
holds of cells with half a pixel of mask on all sides: the centre of the pixel
they lie in is the object's.
"""

import numpy as np
import tensorflow as tf

from keras_fair import contract
from keras_fair.augmentation import views
from tests.augmentation import painted

KEYS = ("boxes", "labels", "masks", "has_mask", "keypoints")
BLACK, MIXED = -1, -2  # what is no object in a picture of labels


def label_picture(image):
    """Return the label of each pixel by its hue.

    An outline is blurred into what is around: MIXED is what has less than
    0.95 of an object's brightness, or another hue.
    """
    pixels = image[..., None, :].astype(float)  # [h, w, 1, 3]
    share = (pixels * painted.COLOURS).sum(-1) / (painted.COLOURS**2).sum(-1)
    error = np.abs(pixels - share[..., None] * painted.COLOURS).max(-1)
    error[share < 0.95] = np.inf
    labels = np.where(error.min(-1) <= 2, error.argmin(-1), MIXED)
    labels[image.max(-1) == 0] = BLACK
    return labels


def keep_pure(labels):
    """Make MIXED what has a neighbour of another label."""
    padded = np.pad(labels, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    is_pure = (around == labels[..., None, None]).all((2, 3))
    return np.where(is_pure, labels, MIXED)


def shown_views(row, config):
    """Return the views that an image is made of."""
    first, *others = row.reshape(views.count_views(config), -1)
    if config.mosaic and others[-1][0] != views.NO_VIEW:
        return others[-views.MOSAIC_TILES :]
    is_pasted = config.copy_paste and others[0][0] != views.NO_VIEW
    return [first, others[0]] if is_pasted else [first]


def check(x, y, shown, records):
    """Check an example that was made of the views `shown`."""
    check_frame(x, y)
    height, width = x["image_shape"]
    picture = label_picture(x["images"][:height, :width])
    pure = keep_pure(picture)
    is_pasted = len(shown) == 2
    is_told = np.zeros((painted.CLASSES, height, width), bool)
    for row in np.flatnonzero(y["labels"] >= 0):
        thing = {key: y[key][row] for key in KEYS}
        label = thing["labels"]
        assert thing["has_mask"] == (label % 4 != 2)
        own = [view for view in shown if view[0] == label // 4]
        check_geometry(thing, own, records[label // 4])
        if thing["has_mask"]:
            check_mask(thing, picture, pure, own)
            check_sides(thing, picture.shape, is_pasted)
        else:
            assert not thing["masks"].any()
        check_keypoints(thing, pure, own)
        is_told[label] |= draw_thing(thing, pure.shape)
    # Beside what is pasted, a part of a mask's cell is lost.
    seen = pure if is_pasted else picture
    rows, columns = np.nonzero(seen >= 0)
    assert is_told[seen[rows, columns], rows, columns].all()


def check_frame(x, y):
    """Check the contract, the padding, and that all boxes are inside."""
    batch = tf.nest.map_structure(lambda array: array[None], (x, y))
    contract.check_inputs(batch[0])
    contract.check_targets(batch[1], painted.CLASSES)
    height, width = x["image_shape"]
    assert not x["images"][height:].any() and not x["images"][:, width:].any()
    boxes = y["boxes"]
    assert (boxes >= 0).all() and (boxes <= [width, height] * 2).all()


def view_scale(view):
    """Return the pixels of a picture for one of the file, in y and x."""
    return view[views.SHAPE] / view[views.SIZE]


def check_geometry(thing, own, record):
    """Check sides and keypoints by numbers: one of the views has them so."""
    place = thing["labels"] % 4

    def fits(view):
        scale = view_scale(view)[::-1]
        x1, y1, x2, y2 = record.boxes[place]
        sides = thing["boxes"][2:] - thing["boxes"][:2]
        is_small = (sides <= scale * (x2 - x1, y2 - y1) + 1e-3).all()
        # From the left eye to the right one. Mirrored, they change places.
        mirror = [1, -1] if view[1] else [1, 1]
        (first, second), wanted = thing["keypoints"], record.keypoints[place]
        step = scale * (wanted[1] - wanted[0])[:2] * mirror
        is_outside = 0 in (first[2], second[2])
        return is_small and (
            is_outside or np.allclose((second - first)[:2], step, atol=1e-3)
        )

    assert any(fits(view) for view in own)


def grid_under(thing, shape):
    """Return the cells' size and the pixels under their centres, y and x."""
    x1, y1, x2, y2 = thing["boxes"]
    size = len(thing["masks"])
    cell = np.array([y2 - y1, x2 - x1]) / size
    centres = np.arange(size) + 0.5
    rows, columns = (
        np.minimum(start + centres * side, limit - 1).astype(int)
        for start, side, limit in zip((y1, x1), cell, shape)
    )
    return cell, np.ix_(rows, columns)


def erode(mask, reach):
    """Keep cells with so many of the mask on all sides, in y and x."""
    for axis, count in enumerate(np.minimum(reach, len(mask))):
        padding = [(count, count) if i == axis else (0, 0) for i in (0, 1)]
        mask = np.lib.stride_tricks.sliding_window_view(
            np.pad(mask, padding), 2 * count + 1, axis
        ).all(-1)
    return mask


def check_mask(thing, picture, pure, own):
    inside, label = thing["masks"] == 1, thing["labels"]
    cell, pixels = grid_under(thing, picture.shape)
    under = picture[pixels]

    def keep(margin):
        return under[erode(inside, np.floor(margin / cell).astype(int) + 1)]

    assert inside.any()
    assert np.isin(keep(0.5), [label, MIXED]).all()
    # Resizing mixes pixels of the picture, or of the file, if those are larger.
    blur = max(1, *(view_scale(view).max() for view in own))
    assert (keep(0.5 + blur) == label).all()
    if len(own) == 1:  # not another of the kind
        assert (pure[pixels][~inside] != label).all()


def check_sides(thing, shape, is_pasted):
    """Check that the mask reaches the sides of its box."""
    lines = [thing["masks"].any(axis) for axis in (1, 0)]
    empty = np.array(
        [[line.argmax(), line[::-1].argmax()] for line in lines]
    )  # cells above and below, left and right
    cell, _ = grid_under(thing, shape)
    # What covers a part of an object moves the sides by whole cells, which
    # were those of a larger box.
    old_cell = np.array(shape) / len(thing["masks"])
    allowed = cell + old_cell if is_pasted else 0
    assert (empty.max(1) * cell <= allowed).all(), empty


def draw_thing(thing, shape):
    """Return the pixels whose centres are in the mask, or in the box."""
    x1, y1, x2, y2 = thing["boxes"]
    mask = thing["masks"] if thing["has_mask"] else np.ones((1, 1))
    rows, columns = (
        (np.arange(limit) + 0.5 - low) / (high - low) * len(mask)
        for limit, low, high in zip(shape, (y1, x1), (y2, x2))
    )
    cells = np.ix_(*(np.floor(x).astype(int) + 1 for x in (rows, columns)))
    # Zeros around the mask stand for all that is outside.
    cells = [np.clip(x, 0, len(mask) + 1) for x in cells]
    return np.pad(mask, 1)[tuple(cells)] == 1


def check_keypoints(thing, pure, own):
    for x, y, visibility in thing["keypoints"]:
        if visibility:
            row, column = np.minimum([int(y), int(x)], np.array(pure.shape) - 1)
            under = pure[row, column]
            if visibility == 2:
                assert under in (thing["labels"], MIXED)
            elif len(own) == 1:  # only what is covered was hidden
                assert under != thing["labels"]
