"""Keypoints of COCO's annotations: names, mirror images, coordinates.

P keypoints. COCO's coordinates are indices of pixels; ours are continuous,
so that the middle of pixel 0 is at 0.5 (Detectron2 adds the same half).
"""

from collections.abc import Iterable

import numpy as np

from keras_fair.data import annotations

HALF_PIXEL = 0.5


def read_names(categories: Iterable[dict], path: str) -> tuple[str, ...]:
    """Return the names that the categories give their keypoints.

    Args:
        categories: COCO's dicts; some may be without keypoints.
        path: of their file, for the message.

    Raises:
        ValueError: none has keypoints, or two have different ones.
    """
    lists = {tuple(c["keypoints"]) for c in categories if c.get("keypoints")}
    if len(lists) != 1:
        raise ValueError(
            'Expected one list "keypoints" of names in the categories of '
            f"{path}, as in COCO's person_keypoints files, to read keypoints. "
            f"Received: {len(lists)} different lists."
        )
    return lists.pop()


def flip_order(names: tuple[str, ...]) -> tuple[int, ...]:
    """Return which keypoint takes the place of each in a mirrored image.

    Example:
        >>> flip_order(("nose", "left_eye", "right_eye"))
        (0, 2, 1)

    Raises:
        ValueError: a left one without a right one, or the other way round.
    """
    order = []
    for name in names:
        sides = ("left", "right") if "left" in name else ("right", "left")
        other = name.replace(*sides)
        if other not in names:
            raise ValueError(
                f"Expected the keypoint {other!r} beside {name!r}, which is "
                f"it in a mirrored image. Received: {', '.join(names)}."
            )
        order.append(names.index(other))
    return tuple(order)


def read(keypoints, count: int, height: int, width: int):
    """Return an object's keypoints.

    Args:
        keypoints: of the annotation: 3 numbers each, x and y in pixels and
            the visibility, or None: nothing is labelled.
        count: P.
        height: of the image, pixels.
        width: of the image, pixels.

    Returns:
        float32 [P, 3], x, y and 0, 1 or 2; zeros where that is 0.

    Raises:
        ValueError: not so many finite numbers, another visibility, or a
            keypoint further outside of the image than a box may be.
    """
    if keypoints is None:
        return np.zeros((count, 3), np.float32)
    if not isinstance(keypoints, list) or not all(
        type(number) in (int, float) for number in keypoints
    ):
        raise ValueError(f"expected keypoints as numbers: {keypoints!r}")
    if len(keypoints) != 3 * count or not annotations.are_finite(keypoints):
        raise ValueError(
            f"expected 3 finite numbers for each of {count} keypoints: "
            f"{keypoints}"
        )
    points = np.array(keypoints, np.float64).reshape(count, 3)
    has_label = points[:, 2] > 0
    if not np.isin(points[:, 2], (0, 1, 2)).all():
        raise ValueError(f"expected visibilities 0, 1 or 2: {keypoints}")
    centres = points[:, :2] + HALF_PIXEL
    outside = np.maximum(-centres, centres - (width, height))[has_label]
    if outside.max(initial=0.0) > annotations.BOX_TOLERANCE:
        raise ValueError(
            f"a keypoint reaches {outside.max():g} pixels out of the image of "
            f"width {width} and height {height}: {keypoints}"
        )
    points[:, :2] = np.clip(centres, 0, (width, height))
    return np.where(has_label[:, None], points, 0).astype(np.float32)
