"""The detections of a model beside those of its exported file.

N detections of the model in an image, M of the file.
"""

from typing import NamedTuple

import numpy as np
from pycocotools import mask as mask_api

from keras_fair import contract

# Float32 in another order of operations differs by a hundredth of these.
TOLERANCES = {
    "boxes": 1e-4,  # of the image's longer side: 0.1 pixels of 1000
    "scores": 1e-3,
    "masks": 1e-2,  # probability of a pixel
    # Median of an object's keypoints, of the longer side: of two cells that
    # are equally strong either may win.
    "keypoints": 1e-2,
}
SAME_IOU = 0.5  # of two boxes of one label that are the same object
SURE = 0.5  # score of an object that quantisation must not lose


class Comparison(NamedTuple):
    """The detections of the model and of the file in one image."""

    num_detections: tuple[int, int]  # of the model, of the file
    num_rows: int  # of both, what has a counterpart counted once
    num_differing: int  # beyond a tolerance, or without counterpart
    largest: dict[str, float]  # differences of rows with a counterpart
    # Of the objects of which the model is sure, with their counterparts, or 0.
    sure_ious: list[float]


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
    # Boxes without area overlap with nothing, not even with themselves.
    overlap = np.where((overlap == 0) & (gap <= 1), 1.0, overlap)
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
