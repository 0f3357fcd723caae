"""Parts with weights: `keras.layers.Layer` with explicit arguments."""

from keras_fair.layers.feature_pyramid import FeaturePyramid
from keras_fair.layers.frozen_batch_norm import FrozenBatchNorm
from keras_fair.layers.retinanet_head import RetinaNetHead

__all__ = ["FeaturePyramid", "FrozenBatchNorm", "RetinaNetHead"]
