"""Box geometry: areas, overlaps, the R-CNN parameterisation, clipping.

A box is (x1, y1, x2, y2) in continuous pixels, width x2 - x1; see
contract.py. Everything is computed in float32. N and M count boxes.
"""

import math

from keras import ops

# log(1000 / 16): a 16-pixel anchor may grow to a 1000-pixel object.
MAX_LOG_SCALE = math.log(1000.0 / 16.0)
# Pixels. Smaller than float32 resolves at pixel 16, so real boxes have more;
# it keeps the logarithm and the division finite for padding.
MIN_SIDE = 1e-6


def corners(boxes):
    """Split boxes into their four coordinates, as float32.

    Overlaps are computed on whole planes of one coordinate: that is what
    vectorises in a loop over boxes.

    Args:
        boxes: float [..., 4], xyxy pixels.

    Returns:
        Four float32 tensors [...]: x1, y1, x2, y2.
    """
    boxes = ops.cast(boxes, "float32")
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def corner_area(box):
    """Return width * height of `corners`; an inverted side counts as 0."""
    x1, y1, x2, y2 = box
    return ops.maximum(x2 - x1, 0.0) * ops.maximum(y2 - y1, 0.0)


def intersection_and_union(box_a, box_b):
    """Return the two areas that every overlap measure is made of.

    Args:
        box_a, box_b: `corners` of boxes, of shapes that broadcast.

    Returns:
        float32 intersection and union, square pixels.
    """
    left = ops.maximum(box_a[0], box_b[0])
    top = ops.maximum(box_a[1], box_b[1])
    right = ops.minimum(box_a[2], box_b[2])
    bottom = ops.minimum(box_a[3], box_b[3])
    intersection = corner_area((left, top, right, bottom))
    union = corner_area(box_a) + corner_area(box_b) - intersection
    return intersection, union


def box_area(boxes):
    """Return the area of each box, 0 where a side is zero or inverted.

    Args:
        boxes: float [..., 4], xyxy pixels.

    Returns:
        float32 [...], square pixels.
    """
    return corner_area(corners(boxes))


def pairwise_iou(boxes_a, boxes_b):
    """Return the intersection over union of every pair.

    Example: (0, 0, 10, 10) and (0, 0, 10, 5) share 50 of 100 pixels: 0.5.

    Args:
        boxes_a: float [..., N, 4], xyxy pixels.
        boxes_b: float [..., M, 4], xyxy pixels.

    Returns:
        float32 [..., N, M]; 0 where both boxes have no area.
    """
    box_a = corners(ops.expand_dims(boxes_a, -2))
    box_b = corners(ops.expand_dims(boxes_b, -3))
    return iou(box_a, box_b)


def iou(box_a, box_b):
    """Return the IoU of two boxes given as `corners`; 0 for 0 / 0."""
    intersection, union = intersection_and_union(box_a, box_b)
    return intersection / ops.where(union > 0.0, union, 1.0)


def encode_boxes(boxes, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Express boxes relative to anchors. R-CNN's parameterisation.

    dx = (x - x_anchor) / w_anchor and dw = log(w / w_anchor), with x the
    centre; y and h likewise. Zero-size boxes and anchors give finite deltas.

    Args:
        boxes: float [..., N, 4], xyxy pixels.
        anchors: float [..., N, 4], xyxy pixels.
        weights: factors of (dx, dy, dw, dh); (10, 10, 5, 5) in box heads.

    Returns:
        float32 [..., N, 4]: (dx, dy, dw, dh).
    """
    x, y, width, height = _centres_and_sides(boxes)
    anchor_x, anchor_y, anchor_width, anchor_height = _centres_and_sides(
        anchors
    )
    width, height = ops.maximum(width, MIN_SIDE), ops.maximum(height, MIN_SIDE)
    anchor_width = ops.maximum(anchor_width, MIN_SIDE)
    anchor_height = ops.maximum(anchor_height, MIN_SIDE)
    return ops.stack(
        [
            weights[0] * (x - anchor_x) / anchor_width,
            weights[1] * (y - anchor_y) / anchor_height,
            weights[2] * ops.log(width / anchor_width),
            weights[3] * ops.log(height / anchor_height),
        ],
        axis=-1,
    )


def decode_boxes(deltas, anchors, weights=(1.0, 1.0, 1.0, 1.0)):
    """Undo `encode_boxes`; growth is limited to MAX_LOG_SCALE.

    Args:
        deltas: float [..., N, 4]: (dx, dy, dw, dh).
        anchors: float [..., N, 4], xyxy pixels.
        weights: as in `encode_boxes`.

    Returns:
        float32 [..., N, 4], xyxy pixels, not clipped to the image.
    """
    dx, dy, dw, dh = corners(deltas)
    x, y, width, height = _centres_and_sides(anchors)
    x = x + dx / weights[0] * width
    y = y + dy / weights[1] * height
    half_width = (
        0.5 * width * ops.exp(ops.minimum(dw / weights[2], MAX_LOG_SCALE))
    )
    half_height = (
        0.5 * height * ops.exp(ops.minimum(dh / weights[3], MAX_LOG_SCALE))
    )
    return ops.stack(
        [x - half_width, y - half_height, x + half_width, y + half_height],
        axis=-1,
    )


def clip_boxes(boxes, image_shape):
    """Move coordinates outside the image onto its border.

    Args:
        boxes: float [B, ..., 4], xyxy pixels.
        image_shape: int [B, 2], height and width in pixels.

    Returns:
        float32, the shape of `boxes`.
    """
    image_shape = ops.cast(image_shape, "float32")
    height, width = image_shape[:, 0], image_shape[:, 1]
    limit = ops.stack([width, height, width, height], axis=-1)  # [B, 4]
    between = (1,) * (len(boxes.shape) - 2)
    limit = ops.reshape(limit, (-1, *between, 4))
    return ops.minimum(ops.maximum(ops.cast(boxes, "float32"), 0.0), limit)


def _centres_and_sides(boxes):
    x1, y1, x2, y2 = corners(boxes)
    width, height = x2 - x1, y2 - y1
    return x1 + 0.5 * width, y1 + 0.5 * height, width, height
