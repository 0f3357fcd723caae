"""The data contract: what `data` produces, `models` consume and return.

B images, H x W the padded canvas, M ground-truth slots, D detection slots,
S the side of a box-frame mask, K classes, P keypoints.

Frame: float32 pixels of the network input, after resizing and before
padding. They are continuous: column j covers [j, j + 1). A box is
(x1, y1, x2, y2) with width x2 - x1, no "+1". The image sits in the top-left
corner of the canvas, which is zero right of it and below it.

    x, known at inference (integers, so that mixed precision leaves them be)
        images       uint8 [B, H, W, 3]    RGB 0..255
        image_shape  int32 [B, 2]          height and width of the valid part
    y, the truth
        boxes        float32 [B, M, 4]     xyxy; zeros where padded
        labels       int32 [B, M]          0..K-1; -1 is padding
        masks        uint8 [B, M, S, S]    optional; 0 or 1 in the box's frame
        has_mask     bool [B, M]           optional; False: box without a mask
        keypoints    float32 [B, M, P, 3]  optional; x, y and 0, 1 or 2: not
                                           labelled (zeros), hidden, visible
        image_id     int64 [B]             for evaluation only
        original_shape  int32 [B, 2]       for evaluation only
    detections
        boxes        float32 [B, D, 4]     xyxy; zeros where padded
        scores       float32 [B, D]        descending; zeros where padded
        labels       int32 [B, D]          -1 where padded
        num_detections  int32 [B]          the first so many rows are valid
        masks        float32 [B, D, S, S]  optional; probabilities, box frame
        keypoints    float32 [B, D, P, 3]  optional; x, y, score; zeros where
                                           padded

An image without objects and a batch without objects are ordinary.
"""

import numpy as np

PADDING_LABEL = -1
DETECTION_KEYS = ("boxes", "scores", "labels", "num_detections")
STRIDE = 32  # of C5: the canvas divides by it, coarser levels round up


def check_inputs(x: dict) -> None:
    """Check one batch of inputs, as NumPy arrays.

    Raises:
        ValueError: a missing key, a wrong dtype or shape, a canvas that is
            not a multiple of 32, or an image larger than its canvas.
    """
    images = _array(x, "images", "uint8", (None, None, None, 3))
    batch, height, width, _ = images.shape
    image_shape = _array(x, "image_shape", "int32", (batch, 2))
    if height % STRIDE or width % STRIDE:
        up = [-(-side // STRIDE) * STRIDE for side in (height, width)]
        raise ValueError(
            f"Expected images whose height and width divide by {STRIDE} (the "
            f"stride of C5). Received: {(height, width)}. Pad to {tuple(up)}."
        )
    if (image_shape < 1).any() or (image_shape > (height, width)).any():
        raise ValueError(
            f"Expected image_shape within 1..{(height, width)}, the canvas. "
            f"Received: {image_shape.tolist()}."
        )


def check_targets(y: dict, num_classes: int) -> None:
    """Check one batch of ground truth, as NumPy arrays.

    Raises:
        ValueError: a missing key, a wrong dtype or shape, a label outside
            -1..num_classes-1, a box that is not finite or has no area, a
            padded row that is not zero, a mask that is not square or has
            values other than 0 and 1, or one where `has_mask` is False, a
            keypoint that is not finite or, without a label, not zero.
    """
    boxes = _array(y, "boxes", "float32", (None, None, 4))
    labels = _array(y, "labels", "int32", boxes.shape[:2])
    if ((labels < PADDING_LABEL) | (labels >= num_classes)).any():
        raise ValueError(
            f"Expected labels from -1 (padding) to {num_classes - 1}. "
            f"Received: {sorted(set(labels.ravel().tolist()))}."
        )
    valid = labels != PADDING_LABEL
    _check_boxes(boxes, valid)
    if "masks" in y:
        _check_masks(y, valid)
    if "keypoints" in y:
        _check_keypoints(y, valid)


def check_detections(detections: dict) -> None:
    """Check one batch of detections, as NumPy arrays.

    Raises:
        ValueError: a missing key, a wrong dtype or shape, scores that rise,
            boxes or scores that are not finite, or rows beyond
            `num_detections` that are not padding.
    """
    boxes = _array(detections, "boxes", "float32", (None, None, 4))
    scores = _array(detections, "scores", "float32", boxes.shape[:2])
    labels = _array(detections, "labels", "int32", boxes.shape[:2])
    count = _array(detections, "num_detections", "int32", boxes.shape[:1])
    if (np.diff(scores, axis=1) > 0).any():
        raise ValueError("Expected scores in descending order.")
    valid = np.arange(boxes.shape[1]) < count[:, None]
    if (valid != (labels != PADDING_LABEL)).any():
        raise ValueError(
            "Expected label -1 exactly in the rows from num_detections on."
        )
    for values in (boxes, scores):
        if not np.isfinite(values).all() or values[~valid].any():
            raise ValueError(
                "Expected finite boxes and scores, zeros where padded."
            )
    if "masks" in detections:
        shape = (*boxes.shape[:2], None, None)
        _array(detections, "masks", "float32", shape)
    if "keypoints" in detections:
        shape = (*boxes.shape[:2], None, 3)
        keypoints = _array(detections, "keypoints", "float32", shape)
        if not np.isfinite(keypoints).all() or keypoints[~valid].any():
            raise ValueError("Expected finite keypoints, zeros where padded.")


def _check_boxes(boxes, valid) -> None:
    wrong = ~np.isfinite(boxes).all(-1)
    wrong |= valid & ~(boxes[..., 2:] > boxes[..., :2]).all(-1)
    wrong |= ~valid & (boxes != 0).any(-1)
    if wrong.any():
        image, row = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            "Expected finite boxes (x1, y1, x2, y2) with x2 > x1 and y2 > y1, "
            "and zeros where the label is -1. Received: "
            f"{boxes[image, row].tolist()} in image {image}, row {row}."
        )


def _check_masks(y: dict, valid) -> None:
    masks = _array(y, "masks", "uint8", (*valid.shape, None, None))
    if masks.shape[2] != masks.shape[3]:
        raise ValueError(
            f"Expected square masks [B, M, S, S]. Received: {masks.shape}."
        )
    if masks.size and masks.max() > 1:
        raise ValueError(f"Expected masks of 0 and 1. Received: {masks.max()}.")
    has_mask = valid
    if "has_mask" in y:
        has_mask = _array(y, "has_mask", "bool", valid.shape)
    if (has_mask & ~valid).any():
        raise ValueError("Expected no has_mask that is True in a padded row.")
    if masks[~has_mask].any():
        raise ValueError("Expected zeros in a mask whose has_mask is False.")


def _check_keypoints(y: dict, valid) -> None:
    keypoints = _array(y, "keypoints", "float32", (*valid.shape, None, 3))
    visibility = keypoints[..., 2]
    wrong = ~np.isfinite(keypoints).all(-1) | ~np.isin(visibility, (0, 1, 2))
    has_label = valid[..., None] & (visibility != 0)
    wrong |= ~has_label & keypoints.any(-1)
    if wrong.any():
        image, row, index = np.argwhere(wrong)[0].tolist()
        raise ValueError(
            "Expected keypoints as finite x, y and 0, 1 or 2, and zeros where "
            "that is 0 or the row is padding. Received: "
            f"{keypoints[image, row, index].tolist()} in image {image}, row "
            f"{row}, keypoint {index}."
        )


def _array(values: dict, key: str, dtype: str, shape: tuple):
    """Return the entry as an array of that dtype and shape (None is any)."""
    if key not in values:
        raise ValueError(
            f"Expected the key {key!r}. Received: {sorted(values)}."
        )
    array = np.asarray(values[key])
    fits = len(array.shape) == len(shape) and all(
        wanted in (None, side) for wanted, side in zip(shape, array.shape)
    )
    if array.dtype != dtype or not fits:
        raise ValueError(
            f"Expected {key!r} as {dtype} {list(shape)} (None is any). "
            f"Received: {array.dtype} {list(array.shape)}."
        )
    return array
