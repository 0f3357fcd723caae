"""Parts with weights: `keras.layers.Layer` with explicit arguments."""

from keras_fair.layers.box_head import BoxHead
from keras_fair.layers.feature_pyramid import FeaturePyramid
from keras_fair.layers.frozen_batch_norm import FrozenBatchNorm
from keras_fair.layers.keypoint_head import KeypointHead
from keras_fair.layers.mask_head import MaskHead, MaskMLPHead
from keras_fair.layers.mask_proposal_head import MaskProposalHead
from keras_fair.layers.retinanet_head import RetinaNetHead
from keras_fair.layers.rpn_head import RPNHead
from keras_fair.layers.weight_transfer import WeightTransfer

__all__ = [
    "BoxHead",
    "FeaturePyramid",
    "FrozenBatchNorm",
    "KeypointHead",
    "MaskHead",
    "MaskMLPHead",
    "MaskProposalHead",
    "RPNHead",
    "RetinaNetHead",
    "WeightTransfer",
]
