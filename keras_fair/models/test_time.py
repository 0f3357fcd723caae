"""Test-time augmentation: what is found in several views becomes one.

He, Gkioxari, Dollár, Girshick: Mask R-CNN, ICCV 2017, appendix B. A view is
an image at one size, plain or mirrored. What is found in all views is united
by suppression within each class; masks are predicted in each view for the
united boxes and averaged. `training/test_time.py` walks over a data set.

Everything but the model and the suppression is NumPy. B images, D
detections, V views.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_fair import contract
from keras_fair.config import RPNConfig
from keras_fair.models.mask_rcnn import MaskRCNN
from keras_fair.ops import nms


class View(NamedTuple):
    """How the images of a batch are shown to the model."""

    image_shape: np.ndarray  # int32 [B, 2], height and width, pixels
    is_flipped: bool  # left and right are swapped


def flip_images(images, image_shape):
    """Mirror each image within its valid part, left to right.

    Args:
        images: uint8 [B, H, W, 3], see contract.py.
        image_shape: int32 [B, 2], height and width of the valid part.

    Returns:
        uint8 [B, H, W, 3]; zeros right of and below the valid part.
    """
    flipped = np.zeros_like(images)
    for row, (height, width) in enumerate(image_shape):
        flipped[row, :height, :width] = images[row, :height, :width][:, ::-1]
    return flipped


def move(detections: dict, source: View, target: View) -> dict:
    """Return the boxes as another view of the same images shows them.

    Args:
        detections: see contract.py; masks are left out.
        source: the view of the boxes.
        target: the view that is wanted.
    """
    limit = _corner(target)
    boxes = detections["boxes"] * (limit / _corner(source))
    boxes = np.clip(boxes, 0.0, limit)
    if source.is_flipped != target.is_flipped:
        width = limit[..., 0]
        x1, y1, x2, y2 = np.moveaxis(boxes, -1, 0)
        boxes = np.stack([width - x2, y1, width - x1, y2], axis=-1)
    valid = detections["labels"] != contract.PADDING_LABEL
    boxes = np.where(valid[..., None], boxes, 0.0).astype("float32")
    others = contract.DETECTION_KEYS[1:]
    return {"boxes": boxes, **{key: detections[key] for key in others}}


def unite(found: list[dict], config) -> dict:
    """Suppress, within each class, what several views found of one object.

    Args:
        found: V times detections of the same images in the same view.
        config: of the model; its NMS threshold and limit of detections.

    Returns:
        detections, see contract.py. Of a single view: those that came in.
    """
    if len(found) == 1:
        return found[0]
    boxes, scores, labels = (
        np.concatenate([detections[key] for detections in found], axis=1)
        for key in ("boxes", "scores", "labels")
    )  # [B, V * D]
    candidates = np.where(labels == contract.PADDING_LABEL, -np.inf, scores)
    # Every proposal of an RPN has the one label 0.
    is_rpn = isinstance(config, RPNConfig)
    index, valid = nms.class_nms(
        boxes,
        candidates,
        labels,
        config.proposals.nms_iou if is_rpn else config.nms_iou,
        config.proposals.max_proposals if is_rpn else config.max_detections,
    )
    united = nms.detections(boxes, scores, labels, index, valid)
    return {key: ops.convert_to_numpy(united[key]) for key in united}


class MaskPredictor(keras.Model):
    """`MaskRCNN.predict_masks` behind Keras's compiled prediction.

    Input: the `images` and `image_shape` of contract.py with `boxes` float32
    [B, D, 4] and `labels` int32 [B, D]. Output: float32 [B, D, 28, 28].
    """

    def __init__(self, model: MaskRCNN):
        # Boxes are pixels: no half precision may touch them on their way.
        super().__init__(dtype="float32", autocast=False)
        self.model = model
        self.jit_compile = model.jit_compile
        self.built = True

    def call(self, x, training=False):
        return self.model.predict_masks(x, x["boxes"], x["labels"])


def _corner(view: View):
    """Return each image's lower right corner twice, float32 [B, 1, 4]."""
    corner = np.asarray(view.image_shape)[:, None, ::-1]
    return np.tile(corner, 2).astype("float32")
