"""Greedy non-maximum suppression: the only suppression code in the package.

Take the highest score, drop what overlaps it by more than the threshold,
repeat. Equal scores are taken in order of their index. Shapes are static and
the outcome is exact: B images, N candidates, K classes, D outputs.
"""

import numpy as np
from keras import ops

from keras_fair import contract
from keras_fair.ops import boxes as box_ops
from keras_fair.ops import compiled


def nms(boxes, scores, iou_threshold: float, max_outputs: int):
    """Suppress boxes that overlap a better one.

    Args:
        boxes: float [B, N, 4], xyxy pixels.
        scores: float [B, N], in any order; -inf is padding.
        iou_threshold: a larger IoU suppresses. Boxes without area neither
            suppress nor are suppressed.
        max_outputs: D.

    Returns:
        index int32 [B, D] into N, by descending score, 0 where padded; and
        valid bool [B, D], the True entries first.
    """
    return class_nms(boxes, scores, None, iou_threshold, max_outputs)


def class_nms(boxes, scores, labels, iou_threshold: float, max_outputs: int):
    """Suppress as `nms`, but only among boxes of one label.

    Args:
        boxes, scores, iou_threshold, max_outputs: see `nms`.
        labels: int [B, N], or None: all the same.

    Returns:
        index int32 [B, D] and valid bool [B, D], see `nms`.
    """
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    scores = ops.stop_gradient(ops.cast(scores, "float32"))
    threshold = _float32_at_most(iou_threshold)
    return _greedy(boxes, scores, labels, threshold, max_outputs)


def multiclass_nms(
    boxes,
    scores,
    score_threshold: float,
    iou_threshold: float,
    max_outputs: int,
):
    """Suppress in each class, then keep the best of all classes.

    Args:
        boxes: float [B, N, K, 4], or [B, N, 1, 4] shared by the classes.
        scores: float [B, N, K].
        score_threshold: only larger scores take part.
        iou_threshold: see `nms`.
        max_outputs: D, over all classes.

    Returns:
        dict of boxes, scores, labels and num_detections; see contract.py.
        Equal scores come by class, then by row.
    """
    scores = ops.cast(scores, "float32")
    batch, _, num_classes = ops.shape(scores)
    scores = ops.where(scores > score_threshold, scores, -np.inf)
    scores = ops.transpose(scores, (0, 2, 1))  # [B, K, N]
    boxes = ops.transpose(boxes, (0, 2, 1, 3))  # [B, K or 1, N, 4]
    boxes = boxes + ops.zeros_like(ops.expand_dims(scores, -1))
    rows = ops.shape(scores)[2]
    grouped_boxes = ops.reshape(boxes, (-1, rows, 4))
    grouped_scores = ops.reshape(scores, (-1, rows))
    index, valid = nms(
        grouped_boxes, grouped_scores, iou_threshold, max_outputs
    )  # [B * K, D]
    best_boxes = ops.take_along_axis(grouped_boxes, index[..., None], axis=1)
    best_scores = ops.take_along_axis(grouped_scores, index, axis=1)
    best_scores = ops.where(valid, best_scores, -np.inf)
    best_boxes = ops.reshape(best_boxes, (batch, -1, 4))  # [B, K * D, 4]
    best_scores = ops.reshape(best_scores, (batch, -1))
    top_scores, index = ops.top_k(best_scores, max_outputs)
    labels = ops.repeat(ops.arange(num_classes, dtype="int32"), max_outputs)
    labels = ops.broadcast_to(labels[None], ops.shape(best_boxes)[:2])
    valid = top_scores > -np.inf
    return detections(best_boxes, best_scores, labels, index, valid)


def detections(boxes, scores, labels, index, valid):
    """Gather what suppression kept and pad the rest.

    Args:
        boxes: float32 [B, N, 4], xyxy pixels.
        scores: float32 [B, N].
        labels: int [B, N].
        index: int32 [B, D] into N.
        valid: bool [B, D], the True entries first.

    Returns:
        dict of boxes, scores, labels and num_detections; see contract.py.
    """
    boxes = ops.take_along_axis(boxes, index[..., None], axis=1)
    scores = ops.take_along_axis(scores, index, axis=1)
    labels = ops.take_along_axis(ops.cast(labels, "int32"), index, axis=1)
    return {
        "boxes": ops.where(valid[..., None], boxes, 0.0),
        "scores": ops.where(valid, scores, 0.0),
        "labels": ops.where(valid, labels, contract.PADDING_LABEL),
        "num_detections": ops.sum(ops.cast(valid, "int32"), axis=1),
    }


def top_pairs(logits, k: int):
    """Return the k largest entries of each image's table, exactly.

    The best k entries lie in the k rows of largest maximum, so the long sort
    is over rows only.

    Args:
        logits: float [B, A, K], anchors by classes.
        k: entries to return.

    Returns:
        values float32 [B, k] descending, row int32 [B, k], class int32
        [B, k]. Where there are fewer than k: -inf, 0, 0.
    """
    logits = ops.cast(logits, "float32")
    num_classes = logits.shape[2]
    row_best = ops.pad(
        ops.max(logits, axis=2), ((0, 0), (0, k)), constant_values=-np.inf
    )
    row_best, rows = ops.top_k(row_best, k)  # [B, k]
    exists = rows < ops.shape(logits)[1]
    rows = ops.where(exists, rows, 0)
    table = ops.take_along_axis(logits, rows[..., None], axis=1)
    table = ops.where(exists[..., None], table, -np.inf)  # [B, k, K]
    values, place = ops.top_k(ops.reshape(table, (-1, k * num_classes)), k)
    rows = ops.take_along_axis(rows, place // num_classes, axis=1)
    exists = values > -np.inf
    return (
        values,
        ops.where(exists, rows, 0),
        ops.where(exists, place % num_classes, 0),
    )


def _float32_at_most(threshold: float) -> float:
    """Return the largest float32 that does not exceed the threshold.

    A float32 IoU exceeds the one exactly when it exceeds the other.
    """
    rounded = np.float32(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)


@compiled.compiled
def _greedy(boxes, scores, labels, threshold, max_outputs):
    """Each step takes the best box left in every image and drops others."""
    # One row of padding, to point at once an image has no box left.
    scores = ops.pad(scores, ((0, 0), (0, 1)), constant_values=-np.inf)
    order = ops.argsort(-scores, axis=1)

    def by_score(values):
        values = ops.pad(values, ((0, 0), (0, 1)))
        return ops.take_along_axis(values, order, axis=1)

    box = [by_score(coordinate) for coordinate in box_ops.corners(boxes)]
    labels = None if labels is None else by_score(labels)
    alive = ops.take_along_axis(scores, order, axis=1) > -np.inf  # [B, N + 1]
    count = ops.shape(scores)[1]
    place = ops.expand_dims(ops.arange(count, dtype="int32"), 0)
    step_of = ops.expand_dims(ops.arange(max_outputs, dtype="int32"), 0)

    def body(step, alive, kept):
        best = ops.min(
            ops.where(alive, place, count - 1), axis=1, keepdims=True
        )
        best_box = [ops.take_along_axis(c, best, axis=1) for c in box]
        intersection, union = box_ops.intersection_and_union(box, best_box)
        # 0 / 0, two boxes without area, compares as False.
        drop = intersection / union > threshold
        if labels is not None:
            same = labels == ops.take_along_axis(labels, best, axis=1)
            drop = ops.logical_and(drop, same)
        drop = ops.logical_or(drop, place <= best)
        alive = ops.logical_and(alive, ops.logical_not(drop))
        return step + 1, alive, ops.where(step_of == step, best, kept)

    def condition(step, alive, kept):
        return ops.logical_and(step < max_outputs, ops.any(alive))

    kept = ops.zeros_like(order[:, :1]) + ops.cast(step_of, "int32") * 0
    kept = kept + count - 1  # [B, D]
    _, _, kept = ops.while_loop(condition, body, (0, alive, kept))
    valid = kept < count - 1
    index = ops.take_along_axis(order, kept, axis=1)
    return ops.where(valid, index, 0), valid
