"""Which ground truth does each anchor (or proposal) learn? Faster R-CNN.

B images, N anchors, M ground-truth slots.
"""

from keras import ops

from keras_fair.ops import boxes as box_ops
from keras_fair.ops import compiled

POSITIVE, NEGATIVE, IGNORE = 1, 0, -1


def match(
    iou, valid, *, positive_iou: float, negative_iou: float, force_best: bool
):
    """Match each anchor to the ground truth that it overlaps most.

    Example, thresholds 0.7 and 0.3, three anchors, two ground truths:

        iou            index  label
        (0.8, 0.1)     0      POSITIVE
        (0.2, 0.5)     1      IGNORE; POSITIVE with force_best, since no
                              anchor overlaps ground truth 1 more
        (0.2, 0.1)     0      NEGATIVE

    Args:
        iou: float [B, N, M].
        valid: bool [B, M], in any order; False is padding.
        positive_iou: at least this much is POSITIVE.
        negative_iou: less than this is NEGATIVE; between is IGNORE.
        force_best: make the anchors that overlap a ground truth most, ties
            included, POSITIVE. They keep their own index, which may be of
            another ground truth. A ground truth that touches no anchor
            forces none (Detectron2 then forces all of them).

    Returns:
        index int32 [B, N], the first ground truth of the largest IoU (0 in
        an image without any), and label int32 [B, N].
    """
    iou = ops.stop_gradient(ops.cast(iou, "float32"))
    iou = ops.pad(iou, ((0, 0), (0, 0), (0, 1)))
    best, index, forced = _best_overlap(iou, _one_more(valid))
    return index, _label(best, forced, positive_iou, negative_iou, force_best)


def match_boxes(
    anchors,
    boxes,
    valid,
    *,
    positive_iou: float,
    negative_iou: float,
    force_best: bool,
):
    """Match as `match`, from the boxes: memory grows with N, not N * M.

    Args:
        anchors: float [N, 4] or [B, N, 4], xyxy pixels.
        boxes: float [B, M, 4], xyxy pixels, the ground truth.
        valid, positive_iou, negative_iou, force_best: see `match`.

    Returns:
        index int32 [B, N] and label int32 [B, N], see `match`.
    """
    anchors = ops.stop_gradient(ops.cast(anchors, "float32"))
    if len(anchors.shape) == 2:
        anchors = ops.expand_dims(anchors, 0)
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    boxes = ops.pad(boxes, ((0, 0), (0, 1), (0, 0)))
    best, index, forced = _best_box(anchors, boxes, _one_more(valid))
    return index, _label(best, forced, positive_iou, negative_iou, force_best)


def _one_more(valid):
    """Add a slot of padding, so that there is one to slice without any."""
    return ops.pad(ops.cast(valid, "bool"), ((0, 0), (0, 1)))


@compiled.compiled
def _best_overlap(iou, valid):
    def column(row):
        return ops.squeeze(ops.slice(iou, (0, 0, row), _one(iou, 2)), 2)

    return _running_best(column, valid, ops.zeros_like(iou[:, :, 0]))


@compiled.compiled
def _best_box(anchors, boxes, valid):
    anchor = box_ops.planes(anchors)  # 5 of [1 or B, N]

    def column(row):
        box = ops.slice(boxes, (0, row, 0), _one(boxes, 1))  # [B, 1, 4]
        return box_ops.iou(anchor, box_ops.planes(box))

    zeros = ops.zeros_like(anchor[0] + boxes[:, :1, 0])  # [B, N]
    return _running_best(column, valid, zeros)


def _one(tensor, axis):
    """Return the tensor's shape with 1 at the axis, to slice one row."""
    shape = list(ops.shape(tensor))
    shape[axis] = 1
    return shape


def _running_best(column, valid, zeros):
    """Loop over ground truths with the best overlap so far.

    Args:
        column: function of m that returns float32 [B, N], the overlaps with
            ground truth m.
        valid: bool [B, M].
        zeros: float32 [B, N].

    Returns:
        best float32 [B, N], -1 without ground truth; index int32 [B, N];
        forced bool [B, N], whether the anchor is the best of some.
    """
    # Padding mostly comes last, and then costs nothing.
    slots = ops.arange(ops.shape(valid)[1], dtype="int32")
    end = ops.max(ops.where(valid, slots + 1, 0))

    def body(row, best, index, forced):
        here = ops.slice(valid, (0, row), _one(valid, 1))  # [B, 1]
        overlap = ops.where(here, column(row), -1.0)  # [B, N]
        most = ops.max(overlap, axis=1, keepdims=True)
        wins = overlap > best
        tops = ops.logical_and(overlap == most, overlap > 0.0)
        return (
            row + 1,
            ops.where(wins, overlap, best),
            ops.where(wins, row, index),
            ops.logical_or(forced, tops),
        )

    start = (0, zeros - 1.0, ops.cast(zeros, "int32"), zeros > 0.0)
    return ops.while_loop(lambda row, *_: row < end, body, start)[1:]


def _label(best, forced, positive_iou, negative_iou, force_best):
    label = ops.where(best < negative_iou, NEGATIVE, IGNORE)
    positive = best >= positive_iou
    if force_best:
        positive = ops.logical_or(positive, forced)
    return ops.cast(ops.where(positive, POSITIVE, label), "int32")
