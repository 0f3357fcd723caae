"""Slow float64 truths of the RoI operations, one RoI and one bin at a time.

Coordinates are rounded to float32 first, as every implementation gets them.
"""

import math

import numpy as np


def level_of(box, min_level: int, max_level: int) -> int:
    """FPN, Eq. 1, in float64."""
    x1, y1, x2, y2 = np.asarray(box, "float64")
    area = max(x2 - x1, 0.0) * max(y2 - y1, 0.0)
    if area == 0.0:
        return min_level
    level = math.floor(4 + math.log2(math.sqrt(area) / 224))
    return min(max(level, min_level), max_level)


def axis_weights(
    first, last, length: int, output_size: int, ratio: int, aligned: bool
):
    """Return [P, length]: how much each cell counts in each bin's mean.

    RoIAlign is separable: one such matrix for rows and one for columns.
    """
    shift = np.float32(0.5 if aligned else 0.0)
    start, size = first - shift, (last - shift) - (first - shift)
    if not aligned:
        size = max(size, np.float32(1.0))
    count = ratio or max(math.ceil(np.float64(size) / output_size), 0)
    weights = np.zeros((output_size, length))
    for bin_index in range(output_size):
        for sample in range(count):
            step = (bin_index + (sample + 0.5) / count) / output_size
            position = np.float64(start) + np.float64(size) * step
            if -1.0 <= position <= length:
                position = min(max(position, 0.0), length - 1.0)
                low = int(position)
                high = min(low + 1, length - 1)
                weights[bin_index, low] += (low + 1 - position) / count
                weights[bin_index, high] += (position - low) / count
    return weights


def roi_weights(feature_shape, box, level: int, **rule):
    """Return the row and the column matrix of one RoI."""
    scale = np.float32(1 / 2**level)
    x1, y1, x2, y2 = np.asarray(box, "float32") * scale
    rows = axis_weights(y1, y2, feature_shape[1], **rule)
    return rows, axis_weights(x1, x2, feature_shape[2], **rule)


def roi_align(features, boxes, output_size, ratio=2, aligned=True):
    """features {"P2": [B, H, W, C]}, boxes [B, R, 4] -> [B, R, P, P, C]."""
    levels = sorted(int(name[1:]) for name in features)
    rule = {"output_size": output_size, "ratio": ratio, "aligned": aligned}
    pooled = []
    for image, image_boxes in enumerate(boxes):
        for box in image_boxes:
            level = level_of(box, levels[0], levels[-1])
            feature = _of_level(features, level)
            rows, columns = roi_weights(feature.shape, box, level, **rule)
            image_feature = feature[image].astype("float64")
            pooled.append(
                np.einsum("ph,hwc,qw->pqc", rows, image_feature, columns)
            )
    channels = next(iter(features.values())).shape[-1]
    shape = (*boxes.shape[:2], output_size, output_size, channels)
    return np.reshape(pooled, shape)


def roi_align_gradient(features, boxes, upstream, ratio=2, aligned=True):
    """Return d(sum(pooled * upstream)) / d(features), a dict like them."""
    levels = sorted(int(name[1:]) for name in features)
    output_size = upstream.shape[2]
    rule = {"output_size": output_size, "ratio": ratio, "aligned": aligned}
    gradients = {k: np.zeros(v.shape, "float64") for k, v in features.items()}
    for image, image_boxes in enumerate(boxes):
        for roi, box in enumerate(image_boxes):
            level = level_of(box, levels[0], levels[-1])
            gradient = _of_level(gradients, level)
            rows, columns = roi_weights(gradient.shape, box, level, **rule)
            gradient[image] += np.einsum(
                "ph,pqc,qw->hwc", rows, upstream[image, roi], columns
            )
    return gradients


def _of_level(features, level: int):
    """Return the entry whose name ends in that level."""
    return next(v for k, v in features.items() if int(k[1:]) == level)


def quantised_box(box, stride: int):
    """RoIPool's first rounding: whole cells, both ends included."""
    return [
        int(math.copysign(math.floor(abs(v) + 0.5), v))
        for v in np.asarray(box, "float32") / np.float32(stride)
    ]


def roi_pool(feature, boxes, output_size, stride):
    """feature [B, H, W, C] of one level -> [B, R, P, P, C]."""
    batch, height, width, channels = feature.shape
    shape = (batch, boxes.shape[1], output_size, output_size, channels)
    pooled = np.zeros(shape, feature.dtype)
    for image, roi, row, column in np.ndindex(*shape[:4]):
        x1, y1, x2, y2 = quantised_box(boxes[image, roi], stride)
        cells = feature[
            image,
            _bin(y1, y2, row, output_size, height),
            _bin(x1, x2, column, output_size, width),
        ]
        if cells.size:
            pooled[image, roi, row, column] = cells.max((0, 1))
    return pooled


def _bin(first, last, index, output_size, length):
    """Return the slice of cells of one quantised bin, cut at the border."""
    size = np.float32(max(last - first + 1, 1)) / np.float32(output_size)
    start = math.floor(np.float32(index) * size) + first
    stop = math.ceil(np.float32(index + 1) * size) + first
    return slice(min(max(start, 0), length), min(max(stop, 0), length))
