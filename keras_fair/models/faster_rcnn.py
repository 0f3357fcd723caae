"""Faster R-CNN on a feature pyramid: two stages, boxes.

Ren, He, Girshick, Sun: Faster R-CNN, NIPS 2015; Lin et al.: Feature Pyramid
Networks, CVPR 2017, sections 4 and 5.
"""

import keras
import numpy as np
from keras import ops

from keras_fair.config import FasterRCNNConfig
from keras_fair.layers.box_head import BoxHead
from keras_fair.models import choices, detector, pyramid_anchors, roi, rpn
from keras_fair.ops import roi_align


@keras.saving.register_keras_serializable(package="keras_fair")
class FasterRCNN(detector.Detector):
    """Faster R-CNN with RoIAlign on a feature pyramid.

    Input: the dict `x` of contract.py, or uint8 images [B, H, W, 3].
    Output: the pyramid as `features`, the first stage's `objectness`,
    `rpn_deltas` and `anchors` by level and its `proposals`; unless training
    also the detections of contract.py.
    Losses: `rpn_class_loss`, `rpn_box_loss`, `class_loss` (softmax),
    `box_loss` and `l2_loss`.

    Where it differs from the papers:
    * RoIAlign pools the features; FPN used RoIPool, Mask R-CNN changed it.
    * Both stages learn together ("approximate joint training", Mask R-CNN,
      appendix B); no gradient flows into the proposals.
    * The box loss is divided by all RoIs that count, as in all released
      code, and the ground truth joins the proposals.
    """

    config_class = FasterRCNNConfig
    loss_names = ("rpn_class_loss", "rpn_box_loss", "class_loss", "box_loss")

    def __init__(self, config, backbone=None, **kwargs):
        super().__init__(config, backbone, **kwargs)
        pyramid_anchors.check_levels(config.pyramid, config.proposals)
        _check(config)
        self.rpn_head = rpn.make_head(
            config.proposals, config.pyramid.filters, self.dtype_policy
        )
        self.box_head = BoxHead(
            config.num_classes,
            units=config.box_head_units,
            convolutions=config.box_head_convolutions,
            filters=config.pyramid.filters,
            norm=config.box_head_norm,
            class_agnostic=config.class_agnostic_boxes,
            unused_logits=config.unused_logits,
            dtype=self.dtype_policy,
            name="box_head",
        )
        self.seed_generator = keras.random.SeedGenerator()
        self.make_heads()
        self.build()

    def make_heads(self) -> None:
        """Make the further heads of a subclass."""

    def build(self, input_shape=None):
        """Make every weight; the image size does not matter."""
        self.rpn_head.build(self.build_features())
        self.box_head.build(self.roi_shape(self.config.roi_size))
        self.built = True

    def roi_shape(self, size: int) -> tuple:
        """Return the shape of pooled features, with batch and RoIs open."""
        return (None, None, size, size, self.config.pyramid.filters)

    def call(self, x, training=False):
        features, image_shape = self.features(x, training)
        objectness, deltas = self.rpn_head(features)
        anchors = pyramid_anchors.anchor_boxes(features, self.config.proposals)
        proposals = rpn.propose(
            objectness,
            deltas,
            anchors,
            image_shape,
            self.config.proposals,
            training,
        )
        outputs = {
            "features": features,
            "objectness": objectness,
            "rpn_deltas": deltas,
            "anchors": anchors,
            "proposals": proposals._asdict(),
        }
        if not training:
            outputs.update(self.detect(features, proposals, image_shape))
        return outputs

    def pool(self, features: dict, boxes, size: int):
        """Pool RoIs [B, R, 4] into [B, R, size, size, C]. FPN, Eq. 1."""
        config = self.config
        first, last = config.pyramid.min_level, config.roi_max_level
        trim = np.float32([0, 0, config.roi_trim, config.roi_trim])
        return roi_align.align_at_levels(
            {f"P{n}": features[f"P{n}"] for n in range(first, last + 1)},
            ops.cast(boxes, "float32") - trim,
            roi_align.assign_levels(boxes, first, last),
            size,
            sampling_ratio=config.roi_sampling_ratio,
            aligned=config.roi_aligned,
            implementation="auto",
        )

    def detect(self, features: dict, proposals, image_shape) -> dict:
        """Classify and refine the proposals; see contract.py."""
        rois = self.pool(features, proposals.boxes, self.config.roi_size)
        return roi.detect(
            proposals, *self.box_head(rois), image_shape, self.config
        )

    def compute_losses(self, x, y, outputs, training) -> dict:
        terms = rpn.rpn_losses(
            outputs["objectness"],
            outputs["rpn_deltas"],
            outputs["anchors"],
            y,
            self.config.proposals,
            self.seed_generator,
        )
        rois = roi.sample_rois(
            rpn.Proposals(**outputs["proposals"]),
            y,
            self.config,
            self.seed_generator,
        )
        features = outputs["features"]
        return {**terms, **self.roi_losses(features, rois, y, training)}

    def roi_losses(self, features, rois: roi.Rois, y, training) -> dict:
        """Return the second stage's loss terms.

        Args:
            features: the pyramid.
            rois: sampled regions.
            y: ground truth, see contract.py.
            training: whether batch normalisation learns.
        """
        pooled = self.pool(features, rois.boxes, self.config.roi_size)
        logits, deltas = self.box_head(pooled, training=training)
        return roi.box_losses(rois, logits, deltas, y, self.config)


def _check(config: FasterRCNNConfig) -> None:
    pyramid = config.pyramid
    if not pyramid.min_level <= config.roi_max_level <= pyramid.max_level:
        raise ValueError(
            f"Expected roi_max_level within P{pyramid.min_level} to "
            f"P{pyramid.max_level}. Received: {config.roi_max_level}."
        )
    choices.check(config, box_loss=("smooth_l1", "giou"))
