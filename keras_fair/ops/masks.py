"""Masks between their box's frame, an RoI and the image.

A mask of S x S cells covers its box: cell j spans [j, j + 1) / S of it.
Sampling is bilinear between cell centres, 0 outside the box. It is separable:
one matrix of weights for rows, one for columns.

B images, R RoIs, D detections, S the side of a mask, O of a target, C
channels, K classes, h x w the image.
"""

import numpy as np
from keras import ops


def crop_masks(masks, boxes, rois, output_size: int):
    """Cut each box-frame mask into its RoI. Mask R-CNN, section 3.1.

    A target's cell is 1 where the mask is at least 0.5, averaged over the
    cell: the intersection of the RoI with the mask, resized.

    Args:
        masks: uint8 or float [B, R, S, S], 0..1, in the frames of `boxes`.
        boxes: float32 [B, R, 4], xyxy pixels; zeros (padding) give zeros.
        rois: float32 [B, R, 4], xyxy pixels.
        output_size: O, 28 in the paper.

    Returns:
        float32 [B, R, O, O], 0 or 1.
    """
    shares = crop_shares(masks, boxes, rois, output_size, samples=2)
    return ops.cast(shares >= 0.5, "float32")


def crop_shares(masks, boxes, rois, output_size: int, *, samples: int):
    """Do `crop_masks` without the threshold: the mask's mean in each cell.

    Args:
        masks, boxes, rois, output_size: see `crop_masks`.
        samples: points per target cell and side that are averaged.

    Returns:
        float32 [B, R, O, O], 0..1.
    """
    boxes, rois = ops.cast(boxes, "float32"), ops.cast(rois, "float32")
    grid = (output_size, masks.shape[-1], samples)
    rows = _crop_weights(boxes[..., 1::2], rois[..., 1::2], *grid)
    columns = _crop_weights(boxes[..., ::2], rois[..., ::2], *grid)
    return _resample(masks, rows, columns)


def _crop_weights(box, roi, output_size: int, size: int, samples: int):
    """Return [..., O, S]: the share of each mask cell in each target cell.

    Args:
        box: float32 [..., 2], first and last pixel of the mask's box.
        roi: float32 [..., 2], of the RoI.
        output_size: O.
        size: S.
        samples: points per target cell that are averaged.
    """
    steps = np.arange(output_size * samples, dtype="float32") + 0.5
    steps = steps / np.float32(output_size * samples)
    position = roi[..., :1] + (roi[..., 1:] - roi[..., :1]) * steps
    weights = _box_weights(position, box, size)  # [..., O * samples, S]
    shape = (*ops.shape(weights)[:-2], output_size, samples, size)
    return ops.mean(ops.reshape(weights, shape), axis=-2)


def _box_weights(position, box, size: int):
    """Return the weight of each of S cells at each position of the image.

    Args:
        position: float32 [..., N], pixels.
        box: float32 [..., 2], first and last pixel of the mask's box.
        size: S.

    Returns:
        float32 [..., N, S]; zeros for a box without extent.
    """
    extent = box[..., 1:] - box[..., :1]
    valid = ops.cast(extent > 0.0, "float32")
    cell = (position - box[..., :1]) / ops.where(extent > 0.0, extent, 1.0)
    return _weights(cell * size - 0.5, size) * valid[..., None]


def _weights(cell, size: int):
    """Return bilinear weights [..., N, S] of positions in cells, [..., N]."""
    centres = np.arange(size, dtype="float32")
    return ops.maximum(1.0 - ops.abs(cell[..., None] - centres), 0.0)


def _resample(masks, rows, columns):
    """Return rows @ masks @ columns^T, float32."""
    masks = ops.matmul(rows, ops.cast(masks, "float32"))
    return ops.matmul(masks, ops.swapaxes(columns, -1, -2))


def paste_masks(masks, boxes, height: int, width: int, threshold=0.5):
    """Put box-frame masks into the image: which pixels are the object.

    Detectron2's rule: a pixel belongs to the object if the mask at the
    pixel's centre is at least the threshold.

    Args:
        masks: float [D, S, S], probabilities in the frames of `boxes`.
        boxes: float32 [D, 4], xyxy pixels of that image.
        height: h.
        width: w.
        threshold: of the probability.

    Returns:
        bool [D, h, w]. A box without area, such as padding, has no pixels.
    """
    boxes = ops.cast(boxes, "float32")
    rows, columns = _pixel_weights(boxes, height, width, masks.shape[-1])
    return _paste(masks, rows, columns, lambda image: image >= threshold)


def paste_probabilities(masks, boxes, height: int, width: int):
    """Do `paste_masks` without the threshold: float32 [D, h, w]."""
    boxes = ops.cast(boxes, "float32")
    rows, columns = _pixel_weights(boxes, height, width, masks.shape[-1])
    return _paste(masks, rows, columns, lambda image: image)


def _pixel_weights(boxes, height: int, width: int, size: int):
    rows = _box_weights(_centres(height), boxes[..., 1::2], size)
    return rows, _box_weights(_centres(width), boxes[..., ::2], size)


def _centres(length: int):
    return np.arange(length, dtype="float32") + 0.5


def paste_integer_probabilities(masks, boxes, height: int, width: int):
    """Paste by the older rule, of Detectron and torchvision; for parity.

    The mask gets a border of one zero cell, the box grows as much and is cut
    to whole pixels, and the mask is resized to those, ends included.

    Args:
        masks: float [D, S, S], probabilities in the frames of `boxes`.
        boxes: float32 [D, 4], xyxy pixels of that image.
        height: h.
        width: w.

    Returns:
        float32 [D, h, w]; Detectron's threshold is > 0.5.
    """
    boxes = ops.cast(boxes, "float32")
    size = masks.shape[-1]
    rows = _integer_weights(boxes[..., 1::2], height, size)
    columns = _integer_weights(boxes[..., ::2], width, size)
    return _paste(masks, rows, columns, lambda image: image)


def _integer_weights(box, length: int, size: int):
    """Return [D, length, S]: weights of the cells within the padded mask."""
    half = (box[:, 1:] - box[:, :1]) * 0.5 * ((size + 2) / size)
    centre = (box[:, 1:] + box[:, :1]) * 0.5
    # Towards zero, as a cast to integers does.
    first = ops.cast(ops.cast(centre - half, "int32"), "float32")
    last = ops.cast(ops.cast(centre + half, "int32"), "float32")
    extent = ops.maximum(last - first + 1.0, 1.0)
    offset = np.arange(length, dtype="float32") - first  # [D, length]
    cell = (offset + 0.5) * ((size + 2) / extent) - 0.5
    inside = (offset >= 0.0) & (offset < extent)
    # Cell 0 of the padded mask is its border.
    weights = _weights(ops.clip(cell, 0.0, size + 1.0) - 1.0, size)
    return weights * ops.cast(inside, "float32")[..., None]


def _paste(masks, rows, columns, finish):
    """Resample one mask at a time: one float canvas, not D of them."""
    if masks.shape[0] == 0:
        return finish(_resample(masks, rows, columns))
    return ops.map(lambda one: finish(_resample(*one)), (masks, rows, columns))


def mask_logits_for_labels(features, kernel, bias, labels):
    """Apply the last 1x1 mask layer for each RoI's own class only.

    Example: with 80 classes, this is an eightieth of the layer's work.

    Args:
        features: float [B, R, H, W, C], before the last layer.
        kernel: float [C, K] or [1, 1, C, K], the layer's.
        bias: float [K].
        labels: int32 [B, R], 0..K-1; padding (-1) gets class 0's logits.

    Returns:
        [B, R, H, W] in the dtype of the features.
    """
    channels, num_classes = kernel.shape[-2:]
    labels = ops.maximum(labels, 0)
    by_class = ops.transpose(ops.reshape(kernel, (channels, num_classes)))
    logits = weighted_sum(features, ops.take(by_class, labels, axis=0))
    bias = ops.cast(ops.take(bias, labels, axis=0), features.dtype)
    return logits + bias[..., None, None]


def weighted_sum(features, weights):
    """Apply a 1x1 layer of one output, of its own for each RoI.

    Args:
        features: float [B, R, H, W, C].
        weights: float [B, R, C].

    Returns:
        [B, R, H, W] in the dtype of the features.
    """
    shape = ops.shape(features)
    flat = ops.reshape(features, (*shape[:2], shape[2] * shape[3], shape[4]))
    weights = ops.cast(weights, features.dtype)[..., None]
    return ops.reshape(ops.matmul(flat, weights), shape[:4])
