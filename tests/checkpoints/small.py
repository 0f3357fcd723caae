"""R-CNNs of torchvision's kind that are built in a second."""

import dataclasses

import keras
import numpy as np

from keras_fair import config
from keras_fair.checkpoints import coco_categories
from keras_fair.models import build_model

MASK_RCNN = config.MaskRCNNConfig(
    class_names=coco_categories.NAMES,
    category_ids=coco_categories.IDS,
    unused_logits=10,
    backbone=config.BackboneConfig(name="resnet18", stem_filters=8),
    pyramid=config.PyramidConfig(
        filters=8, min_level=2, max_level=6, coarse="pool"
    ),
    box_head_units=(16, 16),
    mask_depth=2,
    mask_filters=8,
)


KEYPOINT_RCNN = config.KeypointRCNNConfig(
    class_names=coco_categories.NAMES[:1],
    category_ids=coco_categories.IDS[:1],
    keypoint_names=coco_categories.KEYPOINT_NAMES,
    backbone=MASK_RCNN.backbone,
    pyramid=MASK_RCNN.pyramid,
    box_head_units=MASK_RCNN.box_head_units,
    keypoint_depth=2,
    keypoint_filters=8,
)


def model(seed: int = 0, base=MASK_RCNN, **changes):
    """Build one with random weights, its biases too."""
    keras.utils.set_random_seed(seed)
    made = build_model(dataclasses.replace(base, **changes))
    random = np.random.default_rng(seed)  # JAX would compile each shape
    for weight in made.weights:
        if weight.name in ("bias", "moving_mean"):
            weight.assign(random.standard_normal(weight.shape, "float32"))
    return made
