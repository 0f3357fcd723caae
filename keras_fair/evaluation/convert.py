"""Detections of a batch in the network's frame -> of images in their own.

B images, D detection slots, N detections of one image, P keypoints.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_fair import contract
from keras_fair.evaluation import rle

RESULT_KEYS = {  # of pycocotools' IoU types, the shape in a result record
    "bbox": "bbox",
    "segm": "segmentation",
    "keypoints": "keypoints",
}


class Batch(NamedTuple):
    """A batch of detections, checked, as NumPy arrays."""

    detections: dict  # see contract.py
    image_ids: list[int]  # B
    image_shape: np.ndarray  # int [B, 2], height and width as the network saw
    original_shape: np.ndarray  # int [B, 2], height and width of the original


class ImageDetections(NamedTuple):
    """What was found in one image, in original-image pixels."""

    boxes: np.ndarray  # float64 [N, 4], (x, y, width, height)
    scores: np.ndarray  # float32 [N]
    category_ids: np.ndarray  # int64 [N]
    rles: list | None  # N masks {"size": [height, width], "counts": str}
    keypoints: np.ndarray | None = None  # float64 [N, P, 3], x, y, score


def check_batch(detections, image_id, image_shape, original_shape) -> Batch:
    """Check what `CocoEvaluator.update` receives, except the masks.

    Raises:
        ValueError: a batch that breaks the contract, an inverted box, or ids
            and shapes that do not fit.
    """
    contract.check_detections(detections)
    arrays = {key: np.asarray(value) for key, value in detections.items()}
    size = len(arrays["num_detections"])
    batch = Batch(
        arrays,
        _integers("image_id", image_id, (size,)).tolist(),
        _sides("image_shape", image_shape, size),
        _sides("original_shape", original_shape, size),
    )
    _check_values(batch)
    return batch


def split(
    batch: Batch,
    category_ids: Sequence[int],
    rles: list | None,
    paste: str = "sampled",
) -> list[ImageDetections]:
    """Return what was found in each image, in original-image pixels.

    Args:
        batch: from `check_batch`.
        category_ids: the category id of each label.
        rles: B lists of `num_detections` compressed RLE dicts, or None: they
            are made of the detections' box-frame masks, if there are any.
        paste: the rule of that, one of pasting.RULES.

    Raises:
        ValueError: a label without category id, or unfit masks.
    """
    count = batch.detections["num_detections"]
    scores = batch.detections["scores"]
    boxes = _original_boxes(
        batch.detections["boxes"], batch.image_shape, batch.original_shape
    )
    categories = _categories(batch.detections["labels"], category_ids)
    if rles is None and "masks" in batch.detections:
        rles = _paste(batch, boxes, paste)
    masks = _masks(rles, count, batch.original_shape)
    keypoints = _original_keypoints(batch)
    return [
        ImageDetections(
            boxes[row, :valid],
            scores[row, :valid],
            categories[row, :valid],
            masks[row],
            None if keypoints is None else keypoints[row, :valid],
        )
        for row, valid in enumerate(count)
    ]


def records(found: ImageDetections, image_id: int, iou_type: str) -> list[dict]:
    """Return COCO's result records of one image; see CocoEvaluator.results."""
    columns = (found.category_ids.tolist(), found.scores.tolist())
    return [
        {
            "image_id": image_id,
            "category_id": category_id,
            RESULT_KEYS[iou_type]: shape,
            "score": score,
        }
        for shape, category_id, score in zip(
            _shapes(found, iou_type), *columns, strict=True
        )
    ]


def _shapes(found: ImageDetections, iou_type: str) -> list:
    if iou_type == "segm":
        return found.rles
    if iou_type == "keypoints":
        return [keypoints.ravel().tolist() for keypoints in found.keypoints]
    return found.boxes.tolist()


def _paste(batch: Batch, boxes, paste: str) -> list:
    """Return each image's box-frame masks as RLEs of the original image.

    Args:
        batch: with masks.
        boxes: float64 [B, D, 4], (x, y, width, height), original pixels.
        paste: one of pasting.RULES.
    """
    corners = np.concatenate(
        [boxes[..., :2], boxes[..., :2] + boxes[..., 2:]], -1
    )
    return [
        rle.encode_masks(masks[:valid], corner[:valid], *shape, paste=paste)
        for masks, corner, valid, shape in zip(
            batch.detections["masks"],
            corners,
            batch.detections["num_detections"],
            batch.original_shape.tolist(),
            strict=True,
        )
    ]


def _integers(name: str, values, shape: tuple):
    array = np.asarray(values)
    if array.dtype.kind not in "iu" or array.shape != shape:
        raise ValueError(
            f"Expected {name} as integers {list(shape)}, one row for each "
            f"image of the batch. Received: {array.dtype} "
            f"{list(array.shape)}."
        )
    return array


def _sides(name: str, values, batch: int):
    sides = _integers(name, values, (batch, 2))
    if (sides < 1).any():
        raise ValueError(
            f"Expected {name} of at least 1 x 1. Received: {sides.tolist()}."
        )
    return sides


def _check_values(batch: Batch) -> None:
    boxes, scores = batch.detections["boxes"], batch.detections["scores"]
    wrong = (boxes[..., 2:] < boxes[..., :2]).any(-1)
    if wrong.any():
        image, row = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            "Expected boxes (x1, y1, x2, y2) with x2 >= x1 and y2 >= "
            f"y1. Received: {boxes[image, row].tolist()}, score "
            f"{scores[image, row]}, image id "
            f"{batch.image_ids[image]}."
        )


def _original_boxes(boxes, image_shape, original_shape):
    """Scale and clip boxes to the original image; return x, y, w, h.

    Args:
        boxes: float32 [B, D, 4], xyxy pixels of the network input.
        image_shape: int [B, 2], height and width of its valid part.
        original_shape: int [B, 2], height and width of the original.

    Returns:
        float64 [B, D, 4], (x, y, width, height) in original-image pixels.
    """
    # Height, width -> x, y, x, y.
    limit = np.tile(original_shape[:, None, ::-1].astype("float64"), 2)
    scale = limit / np.tile(image_shape[:, None, ::-1], 2)
    boxes = np.clip(boxes * scale, 0.0, limit)  # [B, D, 4]
    return np.concatenate([boxes[..., :2], boxes[..., 2:] - boxes[..., :2]], -1)


def _original_keypoints(batch: Batch):
    """Scale keypoints to COCO's frame, in which pixel 0 is at 0, not 0.5.

    Returns:
        float64 [B, D, P, 3], x, y and score; or None if there are none.
    """
    if "keypoints" not in batch.detections:
        return None
    keypoints = batch.detections["keypoints"].astype("float64")
    scale = batch.original_shape[:, ::-1] / batch.image_shape[:, ::-1]
    places = keypoints[..., :2] * scale[:, None, None] - 0.5
    return np.concatenate([places, keypoints[..., 2:]], axis=-1)


def _categories(labels, category_ids: Sequence[int]):
    if labels.size and labels.max() >= len(category_ids):
        raise ValueError(
            f"Expected labels below {len(category_ids)}, the number of "
            f"category_ids. Received: {labels.max()}."
        )
    # Padding (-1) picks the last id; its rows are cut off by the caller.
    return np.array(category_ids, "int64")[labels]


def _masks(rles, count, original_shape) -> list:
    """Return each image's masks with text counts, as JSON wants them."""
    if rles is None:
        return [None] * len(count)
    if [len(masks) for masks in rles] != count.tolist():
        raise ValueError(
            f"Expected {count.tolist()} rles for the images of the batch, one "
            f"each detection. Received: {[len(masks) for masks in rles]}."
        )
    shapes = original_shape.tolist()
    return [
        [_mask(mask, shape) for mask in masks]
        for masks, shape in zip(rles, shapes, strict=True)
    ]


def _mask(mask: dict, shape: list[int]) -> dict:
    counts = mask["counts"]
    if not isinstance(counts, (bytes, str)) or list(mask["size"]) != shape:
        raise ValueError(
            "Expected a mask as a compressed RLE, as pycocotools.mask.encode "
            f"returns it, of the original image's size {shape}. Received: "
            f"{type(counts).__name__} counts of size {list(mask['size'])}."
        )
    text = counts.decode("ascii") if isinstance(counts, bytes) else counts
    return {"size": shape, "counts": text}
