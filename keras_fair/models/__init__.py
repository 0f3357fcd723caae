"""The detectors, one file per paper, and how to build one from a config."""

import os

from keras_fair import presets
from keras_fair.config import (
    FasterRCNNConfig,
    KeypointRCNNConfig,
    MaskProposalsConfig,
    MaskRCNNConfig,
    MaskXRCNNConfig,
    RetinaNetConfig,
    RPNConfig,
)
from keras_fair.models.backbones import as_backbone, build_backbone
from keras_fair.models.faster_rcnn import FasterRCNN
from keras_fair.models.keypoint_rcnn import KeypointRCNN
from keras_fair.models.mask_proposals import MaskProposalNetwork
from keras_fair.models.mask_rcnn import MaskRCNN
from keras_fair.models.mask_x_rcnn import MaskXRCNN
from keras_fair.models.retinanet import RetinaNet
from keras_fair.models.rpn import RPN

__all__ = [
    "MODELS",
    "RPN",
    "FasterRCNN",
    "KeypointRCNN",
    "MaskProposalNetwork",
    "MaskRCNN",
    "MaskXRCNN",
    "RetinaNet",
    "as_backbone",
    "build_backbone",
    "build_model",
    "load_initial_weights",
    "load_preset",
]

MODELS = {
    RetinaNetConfig: RetinaNet,
    RPNConfig: RPN,
    MaskProposalsConfig: MaskProposalNetwork,
    FasterRCNNConfig: FasterRCNN,
    KeypointRCNNConfig: KeypointRCNN,
    MaskRCNNConfig: MaskRCNN,
    MaskXRCNNConfig: MaskXRCNN,
}


def build_model(config, **kwargs):
    """Return the model of that config with random weights.

    Raises:
        TypeError: the config belongs to no model.
    """
    if type(config) not in MODELS:
        names = ", ".join(known.__name__ for known in MODELS)
        raise TypeError(
            f"Expected one of {names}. Received: {type(config).__name__}."
        )
    return MODELS[type(config)](config, **kwargs)


def load_preset(folder: str, **kwargs):
    """Return the model of a preset folder with its weights.

    Raises:
        FileNotFoundError: the folder lacks a preset's files.
    """
    model_class = MODELS[type(presets.read_config(folder))]
    return model_class.from_preset(folder, **kwargs)


def load_initial_weights(model, path: str) -> None:
    """Set the weights that a training starts from.

    Args:
        model: a detector.
        path: a .weights.h5 file of such a model; or a preset folder, of such
            a model or, for a Mask R-CNN, of a Faster R-CNN, whose mask
            branch then stays as it is.

    Raises:
        ValueError: weights of another shape or kind of model, or missing
            ones; a detector that is frozen here, of other settings.
    """
    if not os.path.isdir(path):
        model.load_weights(path)
        return
    given = load_preset(path)
    if isinstance(model, MaskRCNN) and isinstance(given, FasterRCNN):
        model.check_frozen(given.config)
    if type(given) is not type(model) and isinstance(model, MaskRCNN):
        model.copy_detector(given)
    else:
        model.load_weights(os.path.join(path, presets.WEIGHTS_NAME))
