"""Region proposals on a pyramid: the first stage, and a model of its own.

Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015; Lin et al.: Feature Pyramid
Networks, CVPR 2017, section 4.1.

B images, A anchors of a level, M ground-truth slots, P proposals.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_fair import contract, losses
from keras_fair.config import ProposalConfig, RPNConfig
from keras_fair.layers.rpn_head import RPNHead
from keras_fair.models import choices, detector, pyramid_anchors
from keras_fair.ops import boxes, matching, nms, sampling


class Proposals(NamedTuple):
    """Class-agnostic boxes by descending score, without gradient."""

    boxes: object  # float32 [B, P, 4], xyxy pixels, zeros where padded
    logits: object  # float32 [B, P], zeros where padded
    valid: object  # bool [B, P], the True ones first


def propose(
    objectness: dict,
    deltas: dict,
    anchors: dict,
    image_shape,
    config: ProposalConfig,
    training: bool,
) -> Proposals:
    """Decode each level's best anchors, NMS per level, keep the best of all.

    Args:
        objectness: "P2" ... of float32 [B, A], logits.
        deltas: likewise, float32 [B, A, 4].
        anchors: likewise, float32 [A, 4], xyxy pixels.
        image_shape: int32 [B, 2]; boxes are clipped to it.
        config: counts and the NMS threshold.
        training: which of the two counts.
    """
    count = config.candidates_per_level
    most = config.max_proposals
    if training:
        count = config.candidates_per_level_training
        most = config.max_proposals_training
    levels = []
    for number, name in enumerate(objectness):
        logits, rows, _ = nms.top_pairs(objectness[name][..., None], count)
        decoded = boxes.decode_boxes(
            ops.take_along_axis(deltas[name], rows[..., None], axis=1),
            ops.take(anchors[name], rows, axis=0),
        )
        decoded = boxes.clip_boxes(decoded, image_shape)
        # Nothing is left of an anchor outside the image.
        large = boxes.is_large_enough(decoded, config.min_side)
        logits = ops.where(large, logits, -np.inf)
        levels.append((decoded, logits, ops.zeros_like(rows) + number))
    found, logits, level = (
        ops.concatenate(parts, axis=1) for parts in zip(*levels)
    )
    index, valid = nms.class_nms(found, logits, level, config.nms_iou, most)
    kept = ops.take_along_axis(found, index[..., None], axis=1)
    logits = ops.take_along_axis(logits, index, axis=1)
    return Proposals(
        ops.stop_gradient(ops.where(valid[..., None], kept, 0.0)),
        ops.stop_gradient(ops.where(valid, logits, 0.0)),
        valid,
    )


def rpn_losses(
    objectness: dict, deltas: dict, anchors: dict, y, config, seed
) -> dict:
    """Cross-entropy and box loss over sampled anchors. FPN, section 4.1.

    Both are divided by the anchors that `num_samples` asks for, as in
    Detectron, whether there are so many or not; or by those that are sampled.

    Args:
        objectness, deltas, anchors: see `propose`.
        y: ground truth, see contract.py.
        config: thresholds and counts.
        seed: keras.random.SeedGenerator.

    Returns:
        float32 scalars rpn_class_loss and rpn_box_loss.
    """
    objectness = ops.concatenate(list(objectness.values()), axis=1)
    deltas = ops.concatenate(list(deltas.values()), axis=1)
    anchors = ops.concatenate(list(anchors.values()), axis=0)
    index, label = matching.match_boxes(
        anchors,
        y["boxes"],
        y["labels"] != contract.PADDING_LABEL,
        positive_iou=config.positive_iou,
        negative_iou=config.negative_iou,
        force_best=True,
    )  # [B, A of all levels]
    label = sampling.subsample(
        label, config.num_samples, config.positive_fraction, seed
    )
    positive = label == matching.POSITIVE
    class_loss = losses.sigmoid_cross_entropy(positive, objectness)
    class_loss = ops.where(label == matching.IGNORE, 0.0, class_loss)
    truth = ops.take_along_axis(y["boxes"], index[..., None], axis=1)
    # Whatever stands where nothing is positive must stay finite.
    truth = ops.where(positive[..., None], truth, anchors)
    box_loss = losses.smooth_l1_loss(
        boxes.encode_boxes(truth, anchors), deltas, beta=config.box_loss_beta
    )
    box_loss = ops.where(positive, ops.sum(box_loss, axis=-1), 0.0)
    if config.normalizer == "sampled":
        sampled = ops.cast(label != matching.IGNORE, "float32")
        count = ops.maximum(ops.sum(sampled), 1.0)
    else:
        images = ops.cast(ops.shape(positive)[0], "float32")
        count = config.num_samples * images
    return {
        "rpn_class_loss": ops.sum(class_loss) / count,
        "rpn_box_loss": ops.sum(box_loss) / count,
    }


def make_head(config: ProposalConfig, filters: int, dtype) -> RPNHead:
    """Return the layer that scores every anchor."""
    choices.check(config, normalizer=("num_samples", "sampled"))
    return RPNHead(
        num_anchors=len(config.anchor_sizes[0]) * len(config.anchor_ratios),
        filters=filters,
        depth=config.head_depth,
        dtype=dtype,
        name="rpn_head",
    )


@keras.saving.register_keras_serializable(package="keras_fair")
class RPN(detector.Detector):
    """A region proposal network alone. FPN, section 4.1.

    Input: the dict `x` of contract.py, or uint8 images [B, H, W, 3].
    Output: by level `objectness` float32 [B, A], `box_deltas` float32
    [B, A, 4] and `anchors` float32 [A, 4]; unless training also detections,
    all with label 0 and the objectness as score.
    Losses: `rpn_class_loss`, `rpn_box_loss`, `l2_loss`.

    Where it differs from the paper: objectness is one logit and not two, as
    in all released code.
    """

    config_class = RPNConfig
    loss_names = ("rpn_class_loss", "rpn_box_loss")

    def __init__(self, config, backbone=None, **kwargs):
        super().__init__(config, backbone, **kwargs)
        pyramid_anchors.check_levels(config.pyramid, config.proposals)
        self.rpn_head = make_head(
            config.proposals, config.pyramid.filters, self.dtype_policy
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.build()

    def build(self, input_shape=None):
        """Make every weight; the image size does not matter."""
        self.rpn_head.build(self.build_features())
        self.built = True

    def call(self, x, training=False):
        features, image_shape = self.features(x, training)
        objectness, deltas = self.rpn_head(features)
        anchors = pyramid_anchors.anchor_boxes(features, self.config.proposals)
        outputs = {
            "objectness": objectness,
            "box_deltas": deltas,
            "anchors": anchors,
        }
        if not training:
            found = propose(
                objectness,
                deltas,
                anchors,
                image_shape,
                self.config.proposals,
                training=False,
            )
            valid = ops.cast(found.valid, "int32")
            scores = ops.where(found.valid, ops.sigmoid(found.logits), 0.0)
            outputs["boxes"] = found.boxes
            outputs["scores"] = scores
            outputs["labels"] = valid + contract.PADDING_LABEL
            outputs["num_detections"] = ops.sum(valid, axis=1)
        return outputs

    def compute_losses(self, x, y, outputs, training) -> dict:
        return rpn_losses(
            outputs["objectness"],
            outputs["box_deltas"],
            outputs["anchors"],
            y,
            self.config.proposals,
            self.seed_generator,
        )
