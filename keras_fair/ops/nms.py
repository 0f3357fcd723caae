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

# Candidates per output that `multiclass_nms` looks at before it looks at all.
FIRST_PAIRS = 10
# Entries of a long row that are looked at together; see `_top_k_of_blocks`.
BLOCK = 64


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
    # A row of padding, so that there is one to look at without candidates.
    scores = ops.stop_gradient(ops.cast(scores, "float32"))
    scores = ops.pad(scores, ((0, 0), (0, 1)), constant_values=-np.inf)
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    boxes = ops.pad(boxes, ((0, 0), (0, 1), (0, 0)))
    order = ops.argsort(-scores, axis=1)
    boxes = _take(boxes, ops.expand_dims(order, -1))
    real = _take(scores, order) > -np.inf
    if labels is not None:
        labels = _take(ops.pad(labels, ((0, 0), (0, 1))), order)
    threshold = _float32_at_most(iou_threshold)
    kept = _greedy(boxes, real, labels, threshold, max_outputs)
    return _first_true(kept, order, max_outputs)


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
        scores: float [B, N, K]. Equal ones are taken by row, then by class.
        score_threshold: only larger scores take part.
        iou_threshold: see `nms`.
        max_outputs: D, over all classes.

    Returns:
        dict of boxes, scores, labels and num_detections; see contract.py.
    """
    num_classes = scores.shape[2]
    per_class = boxes.shape[2] > 1
    boxes = ops.reshape(boxes, (-1, ops.shape(boxes)[1] * boxes.shape[2], 4))

    def boxes_of(pair):
        place = pair if per_class else pair // num_classes
        return _take(boxes, ops.expand_dims(place, -1)), True

    return pairs_nms(
        boxes_of,
        scores,
        score_threshold,
        iou_threshold,
        max_outputs,
        most_of_row=num_classes,
    )


def pairs_nms(
    boxes_of,
    scores,
    score_threshold: float,
    iou_threshold: float,
    max_outputs: int,
    most_of_row: int,
):
    """Do as `multiclass_nms`, with boxes made for the best pairs only.

    With thousands of classes, boxes of all pairs cost more than all the rest.

    Args:
        boxes_of: a function of pairs, int32 [B, n], that returns their boxes,
            float [B, n, 4], xyxy pixels, and whether these take part, bool
            [B, n] or one for all. Row r and class c are the pair r * K + c.
        scores, score_threshold, iou_threshold, max_outputs: see
            `multiclass_nms`.
        most_of_row: as many scores of a row may exceed the threshold; of a
            softmax these are few of thousands.

    Returns:
        dict of boxes, scores, labels and num_detections; see contract.py.
    """
    _, rows, num_classes = ops.shape(scores)
    scores = ops.cast(scores, "float32")
    scores = ops.where(scores > score_threshold, scores, -np.inf)
    scores = ops.reshape(scores, (-1, rows * num_classes))

    def best_of(values, pair):
        candidates, takes_part = boxes_of(pair)
        values = ops.where(takes_part, values, -np.inf)
        labels = pair % num_classes
        index, valid = class_nms(
            candidates, values, labels, iou_threshold, max_outputs
        )
        return detections(candidates, values, labels, index, valid)

    def best_of_all():
        if isinstance(rows, int) and most_of_row < num_classes:
            return best_of(*_padded_top_k(scores, rows * most_of_row))
        place = ops.arange(rows * num_classes, dtype="int32")
        return best_of(scores, ops.zeros_like(scores, dtype="int32") + place)

    num_first = FIRST_PAIRS * max_outputs
    if isinstance(rows, int) and rows * num_classes <= num_first:
        return best_of_all()
    first = best_of(*_padded_top_k(scores, num_first))
    # The best pairs nearly always leave enough. If not, all have their turn.
    available = ops.sum(ops.cast(scores > -np.inf, "int32"), axis=1)
    missed = ops.logical_and(
        first["num_detections"] < max_outputs, available > num_first
    )
    return ops.cond(ops.any(missed), best_of_all, lambda: first)


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
    boxes = _take(boxes, ops.expand_dims(index, -1))
    labels = _take(ops.cast(labels, "int32"), index)
    return {
        "boxes": ops.where(ops.expand_dims(valid, -1), boxes, 0.0),
        "scores": ops.where(valid, _take(scores, index), 0.0),
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
    logits = ops.stop_gradient(ops.cast(logits, "float32"))
    num_classes = logits.shape[2]
    row_best, rows = _padded_top_k(ops.max(logits, axis=2), k)  # [B, k]
    table = _take(logits, ops.expand_dims(rows, -1))  # [B, k, K]
    table = ops.where(ops.expand_dims(row_best, -1) > -np.inf, table, -np.inf)
    table = ops.reshape(table, (-1, k * num_classes))
    values, place = ops.top_k(table, k)
    exists = values > -np.inf
    rows = _take(rows, place // num_classes)
    place = ops.where(exists, place, 0)
    return values, ops.where(exists, rows, 0), place % num_classes


def _float32_at_most(threshold: float) -> float:
    """Return the largest float32 that does not exceed the threshold.

    A float32 IoU exceeds the one exactly when it exceeds the other.
    """
    rounded = np.float32(threshold)
    if float(rounded) > threshold:
        rounded = np.nextafter(rounded, np.float32(-np.inf))
    return float(rounded)


@compiled.compiled
def _greedy(boxes, real, labels, threshold, max_outputs):
    """Walk down the scores; each box that is left drops what it overlaps.

    Args:
        boxes: float [B, N, 4], by descending score.
        real: bool [B, N], the True entries first; False is padding.
        labels: int [B, N] or None.
        threshold: a larger IoU suppresses.
        max_outputs: where to stop.

    Returns:
        bool [B, N], of which the first `max_outputs` True are kept.
    """
    box = box_ops.planes(boxes)
    num_real = ops.sum(ops.cast(real, "int32"), axis=1)  # [B]
    place = ops.expand_dims(ops.arange(ops.shape(real)[1]), 0)
    one = (ops.shape(real)[0], 1)

    def body(step, count, alive):
        here, *best = [ops.slice(c, (0, step), one) for c in (alive, *box)]
        intersection, union = box_ops.intersection_and_union(box, best)
        # 0 / 0, two boxes without area, compares as False.
        drop = ops.logical_and(intersection / union > threshold, place > step)
        if labels is not None:
            same = labels == ops.slice(labels, (0, step), one)
            drop = ops.logical_and(drop, same)
        drop = ops.logical_and(drop, here)
        count = count + ops.cast(here[:, 0], "int32")
        return step + 1, count, ops.logical_and(alive, ops.logical_not(drop))

    def unfinished(step, count, alive):
        left = ops.logical_and(step < num_real, count < max_outputs)
        return ops.any(left)

    start = (0, ops.zeros_like(num_real), real)
    return ops.while_loop(unfinished, body, start)[2]


def _first_true(mask, values, count):
    """Return the values at the first `count` True entries, and which exist."""
    # Larger for earlier entries; exact in float32 up to 16 million.
    key = ops.cast(-ops.arange(ops.shape(mask)[1]), "float32")
    key, place = _padded_top_k(ops.where(mask, key, -np.inf), count)
    exists = key > -np.inf
    return ops.where(exists, _take(values, place), 0), exists


def _padded_top_k(values, k):
    """Return `top_k` of [B, N]; where N < k, -inf with index 0 fills up."""
    values = ops.pad(values, ((0, 0), (0, k)), constant_values=-np.inf)
    length = values.shape[1]
    if length is not None and length >= 4 * BLOCK * k:
        values, place = _top_k_of_blocks(values, k)
    else:
        values, place = ops.top_k(values, k)
    return values, ops.where(values > -np.inf, place, 0)


def _top_k_of_blocks(values, k):
    """Return `top_k` of long rows [B, N], exactly and faster.

    The best k entries lie in the k blocks of largest maximum. As these come
    in the order of their index, equal entries do, too.
    """
    missing = -values.shape[1] % BLOCK
    values = ops.pad(values, ((0, 0), (0, missing)), constant_values=-np.inf)
    blocks = ops.reshape(values, (-1, values.shape[1] // BLOCK, BLOCK))
    _, chosen = ops.top_k(ops.max(blocks, axis=2), k)
    chosen = ops.sort(chosen, axis=1)
    table = _take(blocks, ops.expand_dims(chosen, -1))
    values, place = ops.top_k(ops.reshape(table, (-1, k * BLOCK)), k)
    return values, _take(chosen, place // BLOCK) * BLOCK + place % BLOCK


def _take(values, index):
    return ops.take_along_axis(values, index, axis=1)
