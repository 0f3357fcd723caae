"""Proof that an exported file finds what the model finds.

An export runs the file that it wrote beside the model, on the same images, and
keeps the comparison with the file; one that is not the model is not kept.

N detections of the model in an image, M of the file.
"""

import contextlib
import itertools
import platform
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf
from pycocotools import mask as mask_api

from keras_fair import contract

NUM_IMAGES = 8  # of those that the caller gives, the first so many
# Float32 in another order of operations differs by a hundredth of these.
TOLERANCES = {
    "boxes": 1e-4,  # of the image's longer side: 0.1 pixels of 1000
    "scores": 1e-3,
    "masks": 1e-2,  # probability of a pixel
    # Median of an object's keypoints, of the longer side: of two cells that
    # are equally strong either may win.
    "keypoints": 1e-2,
}
# Of the rows. Where two boxes overlap by just the threshold of suppression,
# rounding decides, also about what comes after them.
DIFFERING = 0.02
SAME_IOU = 0.5  # of two boxes of one label that are the same object
SURE = 0.5  # score of an object that quantisation must not lose
FOUND = 0.5  # share of the sure objects that a quantised file must find


class Comparison(NamedTuple):
    """The detections of the model and of the file in one image."""

    num_detections: tuple[int, int]  # of the model, of the file
    num_rows: int  # of both, what has a counterpart counted once
    num_differing: int  # beyond a tolerance, or without counterpart
    largest: dict[str, float]  # differences of rows with a counterpart
    # Of the objects of which the model is sure, with their counterparts, or 0.
    sure_ious: list[float]


def drawn_image() -> np.ndarray:
    """Return bright boxes on noise, uint8 [480, 640, 3]; always the same."""
    random = np.random.default_rng(0)
    image = random.integers(0, 60, (480, 640, 3), np.uint8)
    for _ in range(24):
        x, y = random.integers(0, 600), random.integers(0, 440)
        width, height = random.integers(16, 240, 2)
        colour = random.integers(60, 256, 3, np.uint8)
        image[y : y + height, x : x + width] = colour
    return image


def chosen(images: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return the images to compare on, see `NUM_IMAGES`; or the drawn one."""
    return list(itertools.islice(images, NUM_IMAGES)) or [drawn_image()]


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Let a GPU multiply in float32, as the machines of the files do."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def compare(
    wanted: dict, found: dict, long_side: int, threshold: float = 0.0
) -> Comparison:
    """Compare the detections of one image.

    Args:
        wanted: of the model, see contract.py; NumPy, a batch of one.
        found: of the file.
        long_side: of the image, in the pixels of the boxes.
        threshold: no score is below it. A row without counterpart whose
            score is at it, or at the last of the model's full list, is there
            or not by rounding, and does not differ.

    Raises:
        ValueError: detections that the contract forbids, or other outputs
            than the model's.
    """
    if sorted(wanted) != sorted(found):
        raise ValueError(
            f"Expected the outputs {sorted(wanted)}. Received: {sorted(found)}."
        )
    contract.check_detections(found)
    lowest = _lowest(wanted, threshold) + TOLERANCES["scores"]
    wanted, found = _rows(wanted), _rows(found)
    partner, iou = _pairs(wanted, found, TOLERANCES["boxes"] * long_side)
    is_paired = partner >= 0
    differences = _differences(
        {name: values[is_paired] for name, values in wanted.items()},
        {name: values[partner[is_paired]] for name, values in found.items()},
    )
    alone = np.concatenate(
        [
            wanted["scores"][~is_paired],
            np.delete(found["scores"], partner[is_paired]),
        ]
    )
    num_differing = np.sum(_is_wrong(differences, long_side))
    num_differing += np.sum(alone > lowest)
    return Comparison(
        (len(wanted["scores"]), len(found["scores"])),
        int(is_paired.sum()) + len(alone),
        int(num_differing),
        {k: float(v.max(initial=0.0)) for k, v in differences.items()},
        iou[wanted["scores"] >= SURE].tolist(),
    )


def certificate(comparisons: list[Comparison], quantisation: str) -> dict:
    """Sum up what was compared, as values of JSON.

    Raises:
        RuntimeError: a float32 file of which more than `DIFFERING` of the
            rows are not the model's; or a quantised one that finds less than
            `FOUND` of the objects of which the model is sure. What quantising
            may cost else is the user's to judge, by AP; a file below that is
            no detector any more.
    """
    largest = {
        name: max(each.largest[name] for each in comparisons)
        for name in comparisons[0].largest
    }
    ious = [iou for each in comparisons for iou in each.sure_ious]
    result = {
        "quantisation": quantisation,
        "num_images": len(comparisons),
        "num_detections": [list(each.num_detections) for each in comparisons],
        "num_rows": sum(each.num_rows for each in comparisons),
        "num_differing_rows": sum(each.num_differing for each in comparisons),
        "largest_differences": largest,
        "sure_objects": len(ious),
        "sure_objects_found": sum(iou > 0 for iou in ious),
        "sure_objects_mean_iou": float(np.mean(ious)) if ious else None,
        "tolerances": {**TOLERANCES, "differing_rows": DIFFERING},
        "versions": {
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    _check(result)
    return result


def _check(result: dict) -> None:
    differing, rows = result["num_differing_rows"], result["num_rows"]
    found, sure = result["sure_objects_found"], result["sure_objects"]
    if result["quantisation"] == "float32" and differing > DIFFERING * rows:
        problem = f"{differing} of {rows} detections differ"
    elif found < FOUND * sure:
        problem = f"it finds {found} of {sure} objects"
    else:
        return
    largest = result["largest_differences"].items()
    figures = ", ".join(f"{name} {value:.3g}" for name, value in largest)
    raise RuntimeError(
        f"Expected an exported file that is the model. Received: {problem}; "
        f"where both find an object, by up to {figures} (tolerances: "
        f"{TOLERANCES}, of boxes and keypoints as a share of the image's "
        "longer side). The file was not kept. If it happens with other images "
        "too, report it with the versions of the packages."
    )


def _lowest(detections: dict, threshold: float) -> float:
    """Return the score from which on a detection is kept."""
    (count,) = detections["num_detections"]
    scores = detections["scores"][0]
    return scores[-1] if 0 < count == len(scores) else threshold


def _rows(detections: dict) -> dict:
    """Return the rows that are not padding, without the batch's axis."""
    (count,) = detections["num_detections"]
    return {
        name: np.asarray(values)[0, :count]
        for name, values in detections.items()
        if name != "num_detections"
    }


def _pairs(wanted: dict, found: dict, box_tolerance: float):
    """Find the counterpart of each row, that of the best score first.

    It has the same label and overlaps; of several the nearest in box and
    score, since without suppression many overlap.

    Returns:
        int [N], rows of the file, -1 for none; float [N], the IoU, or 0.
    """
    partner = np.full(len(wanted["scores"]), -1)
    iou = np.zeros(len(partner))
    if not len(partner) or not len(found["scores"]):
        return partner, iou
    overlap = mask_api.iou(
        _corner_and_sides(wanted["boxes"]),
        _corner_and_sides(found["boxes"]),
        [0] * len(found["scores"]),
    )
    gap = np.abs(wanted["boxes"][:, None] - found["boxes"]).max(-1)
    gap = gap / box_tolerance
    gap += (
        np.abs(wanted["scores"][:, None] - found["scores"])
        / TOLERANCES["scores"]
    )
    other = wanted["labels"][:, None] != found["labels"]
    gap[other | (overlap < SAME_IOU)] = np.inf
    for row in range(len(partner)):
        nearest = gap[row].argmin()
        if gap[row, nearest] < np.inf:
            partner[row], iou[row] = nearest, overlap[row, nearest]
            gap[:, nearest] = np.inf
    return partner, iou


def _corner_and_sides(boxes):
    """Return xywh of xyxy, in the type that pycocotools takes."""
    boxes = boxes.astype("float64")
    return np.concatenate([boxes[:, :2], boxes[:, 2:] - boxes[:, :2]], axis=1)


def _differences(wanted: dict, found: dict) -> dict:
    """Return the difference of each pair of rows, float [pairs] by name."""
    result = {}
    for name in sorted(set(TOLERANCES) & set(wanted)):
        difference = np.abs(wanted[name] - found[name])
        if name == "keypoints":
            result[name] = np.median(difference[..., :2].max(-1), axis=1)
        else:
            sides = tuple(range(1, difference.ndim))
            result[name] = difference.max(axis=sides, initial=0.0)
    return result


def _is_wrong(differences: dict, long_side: int):
    """Tell which pairs of rows are beyond a tolerance, bool [pairs]."""
    pixels = {"boxes": long_side, "keypoints": long_side}
    # Not "greater": what is not a number is wrong.
    within = [
        values <= TOLERANCES[name] * pixels.get(name, 1)
        for name, values in differences.items()
    ]
    return ~np.all(within, axis=0)
