"""Check the keypoints of an annotation."""

from collections.abc import Callable

import numpy as np

from keras_fair.data.annotations import BOX_TOLERANCE
from keras_fair.data.keypoints import HALF_PIXEL
from keras_fair.doctor import survey as survey_lib
from keras_fair.doctor.reading import show


def check(
    annotation: dict,
    image: survey_lib.Image,
    names: tuple,
    report: Callable,
) -> None:
    """Check an annotation's keypoints, if it has any.

    Args:
        annotation: COCO's dict.
        image: its image.
        names: of the categories' keypoints.
        report: of (code, detail).
    """
    keypoints = annotation.get("keypoints")
    if keypoints is None:
        return
    numbers = survey_lib.to_floats(keypoints)
    if numbers is None or not np.isfinite(numbers).all():
        report("keypoints-type", show(keypoints))
    elif not names:
        if numbers:
            report("keypoints-unnamed", show(keypoints))
    elif len(numbers) != 3 * len(names):
        report(
            "keypoints-length",
            f"{len(numbers)} numbers for {len(names)} names",
        )
    else:
        _check_points(np.reshape(numbers, (-1, 3)), annotation, image, report)


def _check_points(points, annotation: dict, image, report) -> None:
    visibility = points[:, 2]
    if not np.isin(visibility, (0, 1, 2)).all():
        report("keypoints-visibility", show(visibility.tolist()))
        return
    count = annotation.get("num_keypoints")
    labelled = int((visibility > 0).sum())
    if count is not None and count != labelled:
        report("keypoints-count", f"{show(count)}, not {labelled}")
    if image.shape is None or not labelled:
        return
    centres = points[visibility > 0, :2] + HALF_PIXEL
    outside = np.maximum(-centres, centres - image.shape[::-1]).max()
    if outside > BOX_TOLERANCE:
        report("keypoints-outside", f"{outside:g} pixels")
