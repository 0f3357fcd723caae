"""Keypoints <-> heat maps in the frames of RoIs. Mask R-CNN, section 5.

The paper has one-hot maps and leaves the rounding open; both directions are
Detectron2's, whose rule is Detectron's.

B images, R RoIs, K keypoints, S the side of a heat map, N = B * R * K maps.
"""

from keras import ops

WINDOW = 56  # pixels; see decode_heatmaps
CUBIC = -0.75  # of the interpolation; torch and OpenCV have it, too


def encode_keypoints(keypoints, boxes, size: int):
    """Return the cell of the heat map that each keypoint falls in.

    Example:
        >>> encode_keypoints([[[[5.0, 3.0, 2.0]]]], [[[4.0, 0, 8, 4]]], 4)
        [[[13]]]

    Args:
        keypoints: float32 [B, R, K, 3], x, y in pixels and the visibility;
            0 is not labelled.
        boxes: float32 [B, R, 4], xyxy pixels.
        size: S.

    Returns:
        int32 [B, R, K], y * S + x; -1 where a keypoint is not labelled or
        not in the box. The right and the lower edge are in it.
    """
    keypoints = ops.cast(keypoints, "float32")
    boxes = ops.cast(boxes, "float32")[:, :, None]  # [B, R, 1, 4]
    x, x_inside = _cell(keypoints[..., 0], boxes[..., 0], boxes[..., 2], size)
    y, y_inside = _cell(keypoints[..., 1], boxes[..., 1], boxes[..., 3], size)
    counts = ops.logical_and(x_inside, y_inside)
    counts = ops.logical_and(counts, keypoints[..., 2] > 0)
    return ops.where(counts, y * size + x, -1)


def _cell(position, first, last, size: int):
    """Return the cell along one axis, int32, and if it is one, bool."""
    side = last - first
    scale = size / ops.where(side > 0, side, 1.0)
    cell = ops.floor((position - first) * scale)
    cell = ops.where(position == last, size - 1.0, cell)
    inside = ops.logical_and(cell >= 0, cell < size)
    cell = ops.cast(ops.clip(cell, 0, size - 1), "int32")
    return cell, ops.logical_and(inside, side > 0)


def decode_heatmaps(logits, boxes):
    """Return the strongest pixel of each heat map, enlarged to its box.

    A map is enlarged to whole pixels by bicubic interpolation, and the centre
    of the largest pixel is the keypoint. Detectron2 looks at all pixels of
    the box, whose number differs from box to box; here it is the 56 x 56
    pixels around the peak of the map enlarged twice. For a box of up to 56
    pixels those are all. For a larger one the two differ where another peak
    is nearly as high: in 2 of 240 maps of the test with a second peak of 75
    to 99 % of the logit.

    Args:
        logits: float [B, R, S, S, K].
        boxes: float32 [B, R, 4], xyxy pixels; sides below 1 count as 1.

    Returns:
        float32 [B, R, K, 3]: x, y in pixels and the score, the softmax over
        the cells taken at that pixel, 0 to 1.
    """
    size, count = logits.shape[3], logits.shape[4]
    maps = ops.transpose(ops.cast(logits, "float32"), (0, 1, 4, 2, 3))
    maps = ops.reshape(maps, (-1, size, size))  # [N, S, S]
    # Near the peak the values are near 0 then, and products of matrices in
    # reduced precision (a GPU's TF32) lose nothing that matters.
    maps = maps - ops.max(maps, axis=(1, 2), keepdims=True)
    corners = ops.reshape(ops.cast(boxes, "float32"), (-1, 4))
    corners = ops.repeat(corners, count, axis=0)  # [N, 4]
    sides = ops.maximum(corners[:, 2:] - corners[:, :2], 1.0)
    pixels = ops.ceil(sides)  # [N, 2], how many there are
    pixel, value = _strongest_pixel(maps, pixels)
    position = corners[:, :2] + (pixel + 0.5) * sides / pixels
    # Interpolation overshoots; above 1 (Detectron2 lets it) is no score.
    score = value - ops.logsumexp(maps, axis=(1, 2))
    score = ops.exp(ops.minimum(score, 0.0))[:, None]
    found = ops.concatenate([position, score], axis=1)
    return ops.reshape(found, (*ops.shape(logits)[:2], count, 3))


def _strongest_pixel(maps, pixels):
    """Enlarge maps around their peaks and find the largest value.

    Args:
        maps: float32 [N, S, S].
        pixels: float32 [N, 2], width and height to enlarge to, whole.

    Returns:
        float32 [N, 2], x and y of a pixel, whole; float32 [N], its value.
    """
    fine = 2 * maps.shape[2]
    every = ops.arange(fine, dtype="float32")[None]
    weights = _weights(every, fine, maps.shape[2])  # [1, 2 S, S]
    peak = _enlarge(maps, weights, weights)
    peak = _first_largest(ops.reshape(peak, (-1, fine * fine)))
    columns = _window(peak % fine, fine, pixels[:, :1])
    rows = _window(peak // fine, fine, pixels[:, 1:])
    enlarged = _enlarge(
        maps,
        _weights(rows, pixels[:, 1:], maps.shape[2]),
        _weights(columns, pixels[:, :1], maps.shape[2]),
    )
    inside = ops.logical_and(
        rows[:, :, None] < pixels[:, None, 1:],
        columns[:, None, :] < pixels[:, None, :1],
    )
    enlarged = ops.where(inside, enlarged, -float("inf"))
    enlarged = ops.reshape(enlarged, (-1, WINDOW * WINDOW))
    best = _first_largest(enlarged)[:, None]
    x = ops.take_along_axis(columns, best % WINDOW, axis=1)
    y = ops.take_along_axis(rows, best // WINDOW, axis=1)
    return ops.concatenate([x, y], axis=1), ops.max(enlarged, axis=1)


def _first_largest(values):
    """Return argmax of float32 [N, M] along its rows, int32 [N].

    LiteRT converts these operators, and not the bits that Keras's own looks
    at to tell zero from minus zero. The values must be those of a product of
    matrices: what XLA computes twice, may differ from itself.
    """
    largest = ops.max(values, axis=1, keepdims=True)
    last = values.shape[1] - 1
    index = ops.arange(last + 1, dtype="int32")[None]
    return ops.min(ops.where(values == largest, index, last), axis=1)


def _window(peak, fine: int, pixels):
    """Return the pixels around a peak along one axis.

    Args:
        peak: int32 [N], 0..fine-1.
        fine: how many parts the peak is one of.
        pixels: float32 [N, 1], how many pixels the axis has.

    Returns:
        float32 [N, WINDOW], indices; those from `pixels` on do not exist.
    """
    peak = ops.cast(peak, "float32")[:, None]
    under = ops.floor((peak + 0.5) * pixels / fine)
    last_start = ops.maximum(pixels - WINDOW, 0.0)
    start = ops.clip(under - WINDOW // 2, 0.0, last_start)
    return start + ops.arange(WINDOW, dtype="float32")


def _enlarge(maps, down, across):
    """Return [N, T, T] of maps [N, S, S] and weights [N or 1, T, S]."""
    return ops.matmul(ops.matmul(down, maps), ops.transpose(across, (0, 2, 1)))


def _weights(index, pixels, size: int):
    """Return the share of each cell in some pixels along one axis.

    Args:
        index: float32 [N, T], pixels.
        pixels: float32 [N, 1] or a number: how many the axis has.
        size: S, how many cells it has.

    Returns:
        float32 [N, T, S].
    """
    centre = (index + 0.5) * size / pixels - 0.5  # in cells
    # Two more cells at each end, which repeat the outermost.
    cells = ops.arange(-2, size + 2, dtype="float32")
    weights = _cubic(ops.abs(centre[:, :, None] - cells))
    first = ops.sum(weights[:, :, :3], axis=2, keepdims=True)
    last = ops.sum(weights[:, :, -3:], axis=2, keepdims=True)
    return ops.concatenate([first, weights[:, :, 3:-3], last], axis=2)


def _cubic(distance):
    """Return the cubic convolution kernel (Keys, 1981) at a distance >= 0."""
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = ((distance - 5) * distance + 8) * distance - 4
    far = ops.where(distance < 2, CUBIC * far, 0.0)
    return ops.where(distance <= 1, near, far)
