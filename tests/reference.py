"""Slow truths in NumPy, one function per op, written to be obvious.

They loop where the package vectorises. Comparisons that decide something
(an IoU above a threshold) are made in float32, as everywhere; values that
are only compared with a tolerance are float64.
"""

import math

import numpy as np


def area(box) -> np.float32:
    x1, y1, x2, y2 = np.float32(box)
    zero = np.float32(0.0)
    return max(x2 - x1, zero) * max(y2 - y1, zero)


def intersection_and_union(a, b):
    overlap = [*np.maximum(a[:2], b[:2]), *np.minimum(a[2:], b[2:])]
    intersection = area(overlap)
    return intersection, area(a) + area(b) - intersection


def iou(a, b) -> np.float32:
    intersection, union = intersection_and_union(a, b)
    return intersection / union if union > 0 else np.float32(0.0)


def pairwise_iou(boxes_a, boxes_b):
    return np.array([[iou(a, b) for b in boxes_b] for a in boxes_a], "float32")


def encode_box(box, anchor, weights=(1, 1, 1, 1)):
    x1, y1, x2, y2 = np.float64(box)
    ax1, ay1, ax2, ay2 = np.float64(anchor)
    dx = ((x1 + x2) - (ax1 + ax2)) / 2 / (ax2 - ax1)
    dy = ((y1 + y2) - (ay1 + ay2)) / 2 / (ay2 - ay1)
    dw = math.log((x2 - x1) / (ax2 - ax1))
    dh = math.log((y2 - y1) / (ay2 - ay1))
    return np.array([dx, dy, dw, dh]) * weights


def decode_box(delta, anchor, weights=(1, 1, 1, 1)):
    dx, dy, dw, dh = np.float64(delta) / weights
    ax1, ay1, ax2, ay2 = np.float64(anchor)
    width, height = ax2 - ax1, ay2 - ay1
    x, y = (ax1 + ax2) / 2 + dx * width, (ay1 + ay2) / 2 + dy * height
    width *= math.exp(min(dw, math.log(1000 / 16)))
    height *= math.exp(min(dh, math.log(1000 / 16)))
    return np.array(
        [x - width / 2, y - height / 2, x + width / 2, y + height / 2]
    )


def clip_box(box, height, width):
    x1, y1, x2, y2 = box
    return [
        min(max(x1, 0), width),
        min(max(y1, 0), height),
        min(max(x2, 0), width),
        min(max(y2, 0), height),
    ]


def pyramid_anchors(feature_shapes, strides, sizes, aspect_ratios, offset=0.0):
    anchors = []
    for (height, width), stride, level in zip(feature_shapes, strides, sizes):
        for row in range(height):
            for column in range(width):
                x, y = (column + offset) * stride, (row + offset) * stride
                for size in level:
                    for ratio in aspect_ratios:
                        w, h = size / ratio**0.5, size * ratio**0.5
                        anchors.append(
                            [x - w / 2, y - h / 2, x + w / 2, y + h / 2]
                        )
    return np.array(anchors)


def match(iou, valid, positive_iou, negative_iou, force_best):
    """One image: iou [N, M], valid [M] -> index [N], label [N]."""
    rows = np.flatnonzero(valid)
    index = np.zeros(len(iou), "int32")
    label = np.zeros(len(iou), "int32")
    if not len(rows):
        return index, label
    for anchor, overlaps in enumerate(iou[:, rows]):
        index[anchor] = rows[overlaps.argmax()]
        if overlaps.max() >= np.float32(positive_iou):
            label[anchor] = 1
        elif overlaps.max() >= np.float32(negative_iou):
            label[anchor] = -1
    for row in rows if force_best else []:
        if iou[:, row].max() > 0:
            label[iou[:, row] == iou[:, row].max()] = 1
    return index, label


def nms(boxes, scores, iou_threshold, max_outputs, labels=None):
    """One image: the indices kept, in order."""
    order = np.argsort(-scores, kind="stable")
    kept = []
    for candidate in order[scores[order] > -np.inf]:
        if len(kept) == max_outputs:
            break
        for better in kept:
            if labels is not None and labels[better] != labels[candidate]:
                continue
            both, union = intersection_and_union(
                boxes[better], boxes[candidate]
            )
            # 0 / 0 does not suppress. The threshold is float64, as in C++.
            if union > 0 and float(both / union) > iou_threshold:
                break
        else:
            kept.append(int(candidate))
    return kept


def multiclass_nms(boxes, scores, score_threshold, iou_threshold, max_outputs):
    """One image: boxes [N, K or 1, 4], scores [N, K] -> (row, class) pairs."""
    num_classes = scores.shape[1]
    boxes = np.broadcast_to(boxes, (*scores.shape, 4)).reshape(-1, 4)
    flat = np.where(scores > np.float32(score_threshold), scores, -np.inf)
    labels = np.arange(scores.size) % num_classes
    kept = nms(boxes, flat.ravel(), iou_threshold, max_outputs, labels)
    return [divmod(place, num_classes) for place in kept]


def top_pairs(logits, k):
    """One image: the k largest of [A, K] with (row, class), in order."""
    order = np.argsort(-logits.ravel(), kind="stable")[:k]
    return [
        (logits.ravel()[p], *divmod(int(p), logits.shape[1])) for p in order
    ]


def sigmoid_focal_loss(targets, logits, alpha=0.25, gamma=2.0):
    """RetinaNet, equation 5, in float64."""
    balanced = alpha is not None and alpha >= 0
    x_t = np.where(targets > 0.5, np.float64(logits), -np.float64(logits))
    alpha_t = np.where(targets > 0.5, alpha, 1 - alpha) if balanced else 1.0
    cross_entropy = np.logaddexp(0, -x_t)
    not_p_t = np.exp(-np.logaddexp(0, x_t))  # 1 - p_t
    return alpha_t * not_p_t**gamma * cross_entropy


def sigmoid_focal_gradient(targets, logits, alpha=0.25, gamma=2.0):
    """RetinaNet, appendix B: y (1 - p_t)^g (g p_t log p_t + p_t - 1)."""
    balanced = alpha is not None and alpha >= 0
    y = np.where(targets > 0.5, 1.0, -1.0)
    x_t = y * np.float64(logits)
    alpha_t = np.where(targets > 0.5, alpha, 1 - alpha) if balanced else 1.0
    log_p_t = -np.logaddexp(0, -x_t)
    p_t, not_p_t = np.exp(log_p_t), np.exp(-np.logaddexp(0, x_t))
    return alpha_t * y * not_p_t**gamma * (gamma * p_t * log_p_t - not_p_t)


def sigmoid_cross_entropy(targets, logits):
    """In float64; targets may lie between 0 and 1."""
    logits = np.float64(logits)
    return targets * np.logaddexp(0, -logits) + (1 - targets) * np.logaddexp(
        0, logits
    )


def focal_star_loss(targets, logits, gamma, beta):
    """RetinaNet, appendix A, in float64."""
    x_t = np.where(targets > 0.5, np.float64(logits), -np.float64(logits))
    return np.logaddexp(0, -(gamma * x_t + beta)) / gamma


def softmax_cross_entropy(labels, logits):
    """In float64; a negative label gives 0."""
    losses = []
    for label, row in zip(labels, np.float64(logits)):
        total = np.logaddexp.reduce(row)
        losses.append(total - row[label] if label >= 0 else 0.0)
    return np.array(losses)


def smooth_l1_loss(targets, predictions, beta):
    """In float64."""
    size = np.abs(np.float64(predictions) - np.float64(targets))
    if beta == 0:
        return size
    return np.where(size < beta, size**2 / (2 * beta), size - beta / 2)


def giou_loss(target, prediction) -> float:
    """One pair of boxes, in float64, with some area between them."""
    tx1, ty1, tx2, ty2 = np.float64(target)
    px1, py1, px2, py2 = np.float64(prediction)
    width = max(min(tx2, px2) - max(tx1, px1), 0)
    height = max(min(ty2, py2) - max(ty1, py1), 0)
    both = width * height
    union = (tx2 - tx1) * (ty2 - ty1) + (px2 - px1) * (py2 - py1) - both
    hull = (max(tx2, px2) - min(tx1, px1)) * (max(ty2, py2) - min(ty1, py1))
    return 1 - both / union + (hull - union) / hull


def random_boxes(rng, count, size=100.0):
    """Draw float32 [count, 4] boxes inside a square of that many pixels."""
    first, second = rng.uniform(0, size, (2, count, 2))
    corners = [np.minimum(first, second), np.maximum(first, second)]
    return np.concatenate(corners, axis=-1).astype("float32")
