"""How much memory a training step needs, by counting what must be kept.

An estimate that is simple to check, no measurement: the gradients of
activations and the workspace of convolutions are left out, and regions are
counted as many as there may be. On a CPU, with ResNet-50 and two images, a
step raised the process' memory, counted from before the weights, to

    RetinaNet, 512 x 512     1.7 GB, estimated 1.6
    RetinaNet, 256 x 320     1.3 GB, estimated 0.8
    Mask R-CNN, 256 x 320    1.7 GB, estimated 1.8
"""

import math
from typing import NamedTuple

import keras

from keras_fair import models
from keras_fair.config import Experiment, RetinaNetConfig

FLOAT = 4  # bytes: of weights and losses, whatever the policy
STATES = 2  # a gradient and a momentum for each weight that learns
CONVOLUTION = 2  # tensors that are kept of one: its output, the activation's
PYRAMID = 3  # of a level: lateral, sum, output
LOSS = 4  # of a logit: itself, its probability, its target, its loss


class Memory(NamedTuple):
    """Bytes of one training step on one device."""

    canvas: tuple[int, int]  # height and width
    batch_size: int
    num_weights: int
    weights: int  # with gradients and momenta
    activations: int

    @property
    def total(self) -> int:
        return self.weights + self.activations


def estimate(experiment: Experiment) -> Memory:
    """Count the weights, and the activations that wait for their gradient.

    Counted once each, for a batch on the largest canvas: the outputs of the
    backbone's layers from the first that learns on, the levels of the
    pyramid, the layers of the heads, and the logits with their losses.

    Args:
        experiment: the config.
    """
    settings = experiment.train
    model = models.build_model(experiment.model, dtype=settings.policy)
    canvas = max(experiment.data.canvases, key=math.prod)
    batch_size = max(1, settings.batch_size // settings.accumulation)
    width = 2 if "16" in settings.policy else FLOAT
    learning = sum(math.prod(v.shape) for v in model.trainable_variables)
    activations = _backbone(model.backbone, canvas)
    levels = _levels(experiment.model.pyramid, canvas)
    heads, losses = _heads(experiment.model, levels)
    kept = (activations + heads) * width + losses * FLOAT
    return Memory(
        tuple(canvas),
        batch_size,
        model.count_params(),
        FLOAT * (model.count_params() + STATES * learning),
        batch_size * (math.prod(canvas) * 3 * (1 + width) + kept),
    )


def _backbone(backbone: keras.Model, canvas: tuple) -> int:
    """Return the numbers that one image keeps of the backbone."""
    operations = [
        operation
        for operation in backbone.operations
        if len(getattr(operation.output, "shape", ())) == 4
    ]
    learns = [
        bool(getattr(operation, "trainable_variables", ()))
        for operation in operations
    ]
    if not any(learns):
        return 0
    kept = [each.output for each in operations[learns.index(True) :]]
    shapes = keras.Model(backbone.inputs[0], kept).compute_output_shape(
        (1, *canvas, 3)
    )
    return sum(math.prod(shape) for shape in shapes)


def _levels(pyramid, canvas: tuple) -> list[int]:
    """Return the cells of each level of one image."""
    return [
        math.prod(-(-side // 2**level) for side in canvas)
        for level in range(pyramid.min_level, pyramid.max_level + 1)
    ]


def _heads(config, levels: list[int]) -> tuple[int, int]:
    """Return the activations and the losses' numbers of one image."""
    kept = PYRAMID * config.pyramid.filters
    losses = 0
    if isinstance(config, RetinaNetConfig):
        towers = 2 * config.head_depth * CONVOLUTION
        kept += towers * config.head_filters
        anchors = len(config.anchor_sizes[0]) * len(config.anchor_ratios)
        losses = anchors * (config.num_classes + 4) * LOSS
    elif hasattr(config, "proposals"):
        proposals = config.proposals
        kept += proposals.head_depth * CONVOLUTION * config.pyramid.filters
        anchors = len(proposals.anchor_sizes[0]) * len(proposals.anchor_ratios)
        losses = anchors * 5 * LOSS
    cells = sum(levels)
    return cells * kept + _regions(config), cells * losses


def _regions(config) -> int:
    """Return the numbers that the second stage keeps of one image."""
    if not hasattr(config, "roi_size"):
        return 0
    positives = round(config.num_samples * config.positive_fraction)
    filters = config.pyramid.filters
    layers = 1 + CONVOLUTION * config.box_head_convolutions
    kept = config.roi_size**2 * filters * layers + sum(config.box_head_units)
    total = config.num_samples * kept
    if hasattr(config, "mask_roi_size"):
        side, width = config.mask_roi_size, config.mask_filters
        kept = side**2 * (filters + config.mask_depth * CONVOLUTION * width)
        kept += (2 * side) ** 2 * (width * CONVOLUTION + config.num_classes)
        total += positives * kept
    if hasattr(config, "keypoint_roi_size"):
        side, width = config.keypoint_roi_size, config.keypoint_filters
        kept = side**2 * (filters + config.keypoint_depth * CONVOLUTION * width)
        kept += (4 * side) ** 2 * config.num_keypoints * CONVOLUTION
        total += positives * kept
    return total
