"""Check segmentations: polygons and run-lengths."""

from collections.abc import Callable

import numpy as np

from keras_fair.data import rle
from keras_fair.data.annotations import BOX_TOLERANCE
from keras_fair.doctor import survey as survey_lib
from keras_fair.doctor.reading import show


def check(
    annotation: dict, image: survey_lib.Image, report: Callable
) -> tuple | None:
    """Check a segmentation.

    Args:
        annotation: COCO's dict.
        image: its image.
        report: of (code, detail).

    Returns:
        The box around the mask, four floats, xyxy pixels; None where there
        is no mask, or a faulty one, or it covers no pixel.
    """
    segmentation = survey_lib.segmentation_of(annotation)
    if segmentation is None:
        return None
    if isinstance(segmentation, list):
        is_sound = _check_polygons(segmentation, image.shape, report)
    elif isinstance(segmentation, dict):
        is_sound = _check_runs(segmentation, image.shape, report)
    else:
        report("mask-type", show(segmentation))
        return None
    if not is_sound or image.shape is None:
        return None
    try:
        counts = rle.read_segmentation(segmentation, *image.shape)
    except ValueError as error:
        report("refused", str(error))
        return None
    if counts is None:
        report("mask-empty", show(segmentation))
        return None
    return around(counts, image.shape[0])


def around(counts, height: int) -> tuple:
    """Return the box around a mask.

    Args:
        counts: int [runs], see data/rle.py; some pixel is covered.
        height: of the image, pixels.

    Returns:
        Four floats, xyxy pixels.
    """
    ends = np.cumsum(counts, dtype=np.int64)
    starts = (ends - counts)[1::2]
    last = ends[1::2] - 1
    starts, last = starts[last >= starts], last[last >= starts]
    left, right = starts.min() // height, last.max() // height + 1
    # A run that goes on in the next column covers all rows.
    is_within = starts // height == last // height
    top = np.where(is_within, starts % height, 0).min()
    bottom = np.where(is_within, last % height, height - 1).max() + 1
    return float(left), float(top), float(right), float(bottom)


def _check_polygons(polygons: list, shape, report) -> bool:
    if survey_lib.to_floats(polygons) is not None:
        report("mask-flat", show(polygons))
        return False
    sound = [_check_polygon(each, shape, report) for each in polygons]
    return all(sound)


def _check_polygon(polygon, shape, report) -> bool:
    numbers = survey_lib.to_floats(polygon)
    if numbers is None:
        report("polygon-type", show(polygon))
    elif len(numbers) % 2:
        report("polygon-odd", f"{len(numbers)} numbers: {show(polygon)}")
    elif len(numbers) < 6:
        report("polygon-short", show(polygon))
    elif not np.isfinite(numbers).all():
        report("polygon-not-finite", show(polygon))
    elif shape is None:
        return True
    else:
        points = np.reshape(numbers, (-1, 2))
        outside = max(-points.min(), (points - shape[::-1]).max())
        is_far = np.abs(points).max() > rle.MAX_COORDINATE
        if outside > BOX_TOLERANCE:
            code = "polygon-far" if is_far else "polygon-outside"
            report(code, f"{outside:g} pixels")
        return not is_far
    return False


def _check_runs(mask: dict, shape, report) -> bool:
    size, counts = mask.get("size"), mask.get("counts")
    if shape and size != list(shape):
        report("rle-size", f"{show(size)} in an image of {list(shape)}")
        return False
    if isinstance(counts, str):
        try:
            counts = rle.decode_counts(counts.encode("ascii")).tolist()
        except ValueError as error:
            report("rle-counts", str(error))
            return False
    if not isinstance(counts, list) or not all(
        survey_lib.is_whole(count) and count >= 0 for count in counts
    ):
        report("rle-counts", show(counts))
        return False
    if shape and sum(counts) != shape[0] * shape[1]:
        report("rle-sum", f"{sum(counts)}, not {shape[0] * shape[1]}")
        return False
    return True
