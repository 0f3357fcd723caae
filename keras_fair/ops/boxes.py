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
    """Split float [..., 4] into four float32 tensors: x1, y1, x2, y2."""
    boxes = ops.cast(boxes, "float32")
    return boxes[..., 0], boxes[..., 1], boxes[..., 2], boxes[..., 3]


def planes(boxes):
    """Split boxes into what overlaps are computed from.

    A loop over boxes vectorises on whole planes of one coordinate.

    Args:
        boxes: float [..., 4], xyxy pixels.

    Returns:
        Five float32 tensors [...]: x1, y1, x2, y2, area.
    """
    x1, y1, x2, y2 = corners(boxes)
    return x1, y1, x2, y2, _rectangle_area(x1, y1, x2, y2)


def box_area(boxes):
    """Return the area of each box, 0 where a side is zero or inverted.

    Args:
        boxes: float [..., 4], xyxy pixels.

    Returns:
        float32 [...], square pixels.
    """
    return _rectangle_area(*corners(boxes))


def is_large_enough(boxes, min_side: float):
    """Tell which boxes have an area and no side shorter than that.

    Args:
        boxes: float [..., 4], xyxy pixels.
        min_side: pixels.

    Returns:
        bool [...].
    """
    x1, y1, x2, y2 = corners(boxes)
    side = ops.minimum(x2 - x1, y2 - y1)
    return ops.logical_and(side > 0.0, side >= min_side)


def intersection_and_union(a, b):
    """Return the two areas that every overlap measure is made of.

    Args:
        a, b: `planes` of boxes, of shapes that broadcast.

    Returns:
        float32 intersection and union, square pixels.
    """
    left, top = ops.maximum(a[0], b[0]), ops.maximum(a[1], b[1])
    right, bottom = ops.minimum(a[2], b[2]), ops.minimum(a[3], b[3])
    intersection = _rectangle_area(left, top, right, bottom)
    return intersection, a[4] + b[4] - intersection


def hull_area(a, b):
    """Return the area of the smallest box around both; see above."""
    left, top = ops.minimum(a[0], b[0]), ops.minimum(a[1], b[1])
    right, bottom = ops.maximum(a[2], b[2]), ops.maximum(a[3], b[3])
    return _rectangle_area(left, top, right, bottom)


def iou(a, b):
    """Return intersection over union of two `planes`; 0 for 0 / 0."""
    intersection, union = intersection_and_union(a, b)
    return intersection / ops.where(union > 0.0, union, 1.0)


def pairwise_iou(boxes_a, boxes_b):
    """Return the intersection over union of every pair.

    Example: (0, 0, 10, 10) and (0, 0, 10, 5) share 50 of 100 pixels: 0.5.

    Args:
        boxes_a: float [..., N, 4], xyxy pixels.
        boxes_b: float [..., M, 4], xyxy pixels.

    Returns:
        float32 [..., N, M]; 0 where both boxes have no area.
    """
    a = planes(ops.expand_dims(boxes_a, -2))  # [..., N, 1]
    b = planes(ops.expand_dims(boxes_b, -3))  # [..., 1, M]
    return iou(a, b)


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


def _rectangle_area(x1, y1, x2, y2):
    area = ops.maximum(x2 - x1, 0.0) * ops.maximum(y2 - y1, 0.0)
    # Changes no value. It keeps XLA from fusing the product into a following
    # sum, which rounds differently: every mode gives the same bits.
    return ops.maximum(area, 0.0)
