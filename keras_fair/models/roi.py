"""The second stage's arithmetic: which RoIs learn what, and detections.

Girshick: Fast R-CNN, ICCV 2015; Lin et al.: Feature Pyramid Networks, CVPR
2017, sections 4.2 and 5.2.

B images, P proposals, R RoIs, M ground-truth slots, K classes. The label of
background is K.
"""

import math
from typing import NamedTuple

from keras import ops

from keras_fair import contract, losses
from keras_fair.config import FasterRCNNConfig
from keras_fair.models.rpn import Proposals
from keras_fair.ops import boxes, compiled, matching, nms, sampling

OHEM_NMS_IOU = 0.7  # Shrivastava et al., CVPR 2016, section 4.3


class Rois(NamedTuple):
    """Sampled regions: positives first, then background, then padding."""

    boxes: object  # float32 [B, R, 4], xyxy pixels
    labels: object  # int32 [B, R]; K is background, -1 padding
    gt_index: object  # int32 [B, R], the matched ground truth
    positive: object  # bool [B, R]


def sample_rois(
    proposals: Proposals, y, config: FasterRCNNConfig, seed
) -> Rois:
    """Draw RoIs among proposals and ground truth. FPN, section 5.2.

    Args:
        proposals: of the first stage.
        y: ground truth, see contract.py; its boxes join the proposals. M may
            be open in a TensorFlow graph.
        config: counts and the threshold.
        seed: keras.random.SeedGenerator.

    Returns:
        R is `num_samples`, or M + P where that is known to be less.
    """
    count = config.num_samples
    if y["labels"].shape[1] is None:
        proposals = _at_least(proposals, count)
    else:
        count = min(count, y["labels"].shape[1] + proposals.valid.shape[1])
    is_object = y["labels"] != contract.PADDING_LABEL
    found = ops.concatenate([y["boxes"], proposals.boxes], axis=1)
    valid = ops.concatenate([is_object, proposals.valid], axis=1)
    gt_index, match = matching.match_boxes(
        found,
        y["boxes"],
        is_object,
        positive_iou=config.positive_iou,
        negative_iou=config.positive_iou,
        force_best=False,
    )  # [B, M + P]
    match = ops.where(valid, match, matching.IGNORE)
    match = sampling.subsample(
        match, config.num_samples, config.positive_fraction, seed
    )
    # POSITIVE 1, NEGATIVE 0, IGNORE -1: the order that is wanted.
    match, rows = ops.top_k(match, count)  # [B, R]
    gt_index = ops.take_along_axis(gt_index, rows, axis=1)
    positive = match == matching.POSITIVE
    labels = ops.where(
        match == matching.NEGATIVE,
        config.num_classes,
        contract.PADDING_LABEL,
    )
    gt_labels = ops.take_along_axis(y["labels"], gt_index, axis=1)
    return Rois(
        ops.take_along_axis(found, rows[..., None], axis=1),
        ops.where(positive, gt_labels, labels),
        gt_index,
        positive,
    )


def _at_least(proposals: Proposals, count: int) -> Proposals:
    """Add padding where there are fewer proposals."""
    missing = max(count - proposals.valid.shape[1], 0)
    rows = [[0, 0], [0, missing]]
    return Proposals(
        ops.pad(proposals.boxes, [*rows, [0, 0]]),
        ops.pad(proposals.logits, rows),
        ops.pad(proposals.valid, rows),
    )


def box_losses(
    rois: Rois, class_logits, box_deltas, y, config: FasterRCNNConfig
) -> dict:
    """Softmax loss and box loss, both divided by the RoIs that count.

    Args:
        rois: of `sample_rois`.
        class_logits: float32 [B, R, K + 1], background last; more columns
            are of no class.
        box_deltas: float32 [B, R, K, 4], or [B, R, 1, 4] of every class.
        y: ground truth, see contract.py.
        config: the box loss, and how many hard examples (OHEM).

    Returns:
        float32 scalars class_loss and box_loss.
    """
    class_loss = losses.softmax_cross_entropy(rois.labels, class_logits)
    box_loss = _box_loss(rois, box_deltas, y, config)  # [B, R]
    counts = rois.labels != contract.PADDING_LABEL
    if config.hard_examples:
        hard = _hard_examples(rois, class_loss + box_loss, counts, config)
        counts = ops.logical_and(counts, hard)
    counts = ops.cast(counts, "float32")
    total = ops.maximum(ops.sum(counts), 1.0)
    return {
        "class_loss": ops.sum(class_loss * counts) / total,
        "box_loss": ops.sum(box_loss * counts) / total,
    }


def _box_loss(rois: Rois, box_deltas, y, config: FasterRCNNConfig):
    """Box loss of each positive RoI on its class's deltas, [B, R]."""
    if box_deltas.shape[2] > 1:
        own = ops.where(rois.positive, rois.labels, 0)[..., None, None]
        box_deltas = ops.take_along_axis(box_deltas, own, axis=2)
    deltas = box_deltas[:, :, 0]  # [B, R, 4]
    truth = ops.take_along_axis(y["boxes"], rois.gt_index[..., None], axis=1)
    # Whatever stands where nothing is positive must stay finite.
    truth = ops.where(rois.positive[..., None], truth, rois.boxes)
    if config.box_loss == "giou":
        decoded = boxes.decode_boxes(deltas, rois.boxes, config.box_weights)
        loss = losses.giou_loss(truth, decoded)
    else:
        wanted = boxes.encode_boxes(truth, rois.boxes, config.box_weights)
        beta = config.box_loss_beta
        loss = losses.smooth_l1_loss(wanted, deltas, beta=beta)
        loss = ops.sum(loss, axis=-1)
    return ops.where(rois.positive, loss, 0.0)


def _hard_examples(rois: Rois, loss, counts, config: FasterRCNNConfig):
    """Mark the RoIs of largest loss, after NMS by loss. OHEM, section 4.3."""
    loss = ops.where(counts, ops.stop_gradient(loss), -float("inf"))
    index, valid = nms.nms(rois.boxes, loss, OHEM_NMS_IOU, config.hard_examples)
    rows = ops.arange(loss.shape[1], dtype="int32")
    kept = ops.logical_and(index[..., None] == rows, valid[..., None])
    return ops.any(kept, axis=1)  # [B, R]


def detect(
    proposals: Proposals,
    class_logits,
    box_deltas,
    image_shape,
    config: FasterRCNNConfig,
) -> dict:
    """Decode the boxes of the best pairs of class and proposal; NMS per class.

    Args:
        proposals: of the first stage, P of them.
        class_logits: float32 [B, P, K + 1], background last; more columns
            are of no class.
        box_deltas: float32 [B, P, K or 1, 4].
        image_shape: int32 [B, 2]; boxes are clipped to it.
        config: thresholds and the number of detections.

    Returns:
        detections, see contract.py.
    """
    scores = ops.softmax(class_logits)[..., : config.num_classes]
    scores = ops.where(proposals.valid[..., None], scores, 0.0)
    per_class = box_deltas.shape[2] > 1
    pairs = ops.shape(box_deltas)[1] * box_deltas.shape[2]
    box_deltas = ops.reshape(box_deltas, (-1, pairs, 4))

    def boxes_of(pair):
        row = pair // config.num_classes
        own = ops.take_along_axis(proposals.boxes, row[..., None], axis=1)
        place = pair if per_class else row
        deltas = ops.take_along_axis(box_deltas, place[..., None], axis=1)
        decoded = boxes.decode_boxes(deltas, own, config.box_weights)
        decoded = boxes.clip_boxes(decoded, image_shape)
        return decoded, boxes.is_large_enough(decoded, config.min_side)

    return nms.pairs_nms(
        boxes_of,
        scores,
        config.score_threshold,
        config.nms_iou,
        config.max_detections,
        most_of_row=_most_above(config.score_threshold, config.num_classes),
    )


def _most_above(threshold: float, num_classes: int) -> int:
    """Return how many scores of a softmax may exceed a threshold, or more."""
    # One more than the sum of 1 allows, as it is rounded.
    if threshold <= 0:
        return num_classes
    return min(num_classes, math.ceil(1 / threshold))


def positive_rois(rois: Rois, config: FasterRCNNConfig) -> Rois:
    """Return the rows that hold all positives of every image.

    There are at most num_samples * positive_fraction; where shapes may be
    dynamic, only as many rows as some image of the batch needs.
    """
    count = ops.sum(ops.cast(rois.positive, "int32"), axis=1)
    most = int(config.num_samples * config.positive_fraction)
    used = rows_in_use(count, min(most, rois.labels.shape[1]))
    return Rois(*(part[:, :used] for part in rois))


def ground_truth_rois(y) -> Rois:
    """Return the objects themselves as positive RoIs, [B, M]."""
    labels = y["labels"]
    rows = ops.arange(ops.shape(labels)[1], dtype="int32")
    positive = labels != contract.PADDING_LABEL
    index = ops.broadcast_to(rows, ops.shape(labels))
    return Rois(y["boxes"], labels, index, positive)


def rows_in_use(count, most: int):
    """Return how many leading rows a batch needs: `most`, or fewer.

    Args:
        count: int32 [B], rows in use in each image.
        most: the static bound.

    Returns:
        `most` where shapes must be static; in a TensorFlow graph outside XLA
        the largest count, at least 1, as a scalar tensor.
    """
    if not compiled.allows_dynamic_shapes():
        return most
    return ops.clip(ops.max(count), 1, most)
