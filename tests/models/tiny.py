"""Detectors so small that a test may build, train and save them."""

import keras
import numpy as np
from keras import ops

from keras_fair.config import (
    FasterRCNNConfig,
    KeypointRCNNConfig,
    MaskProposalsConfig,
    MaskRCNNConfig,
    MaskXRCNNConfig,
    ProposalConfig,
    PyramidConfig,
    RetinaNetConfig,
    RPNConfig,
)
from keras_fair.models import (
    RPN,
    FasterRCNN,
    KeypointRCNN,
    MaskProposalNetwork,
    MaskRCNN,
    MaskXRCNN,
    RetinaNet,
)
from tests import modes

HEIGHT, WIDTH = 64, 96


def backbone(dtype=None) -> keras.Model:
    """Return five strided convolutions with the outputs C2 to C5."""
    pixels = keras.Input((None, None, 3))
    outputs, x = {}, pixels
    for level in range(1, 6):
        x = keras.layers.Conv2D(
            8,
            3,
            strides=2,
            padding="same",
            activation="relu",
            dtype=dtype,
            kernel_initializer="he_normal",
            name=f"res{level}",
        )(x)
        outputs[f"C{level}"] = x
    del outputs["C1"]
    return keras.Model(pixels, outputs, name="tiny")


def config(**changes) -> RetinaNetConfig:
    """Return P3 to P5, six anchors a location, three classes."""
    values = {
        "num_classes": 3,
        "pyramid": PyramidConfig(filters=8, max_level=5),
        "head_depth": 1,
        "head_filters": 8,
        "anchor_sizes": ((16.0, 24.0), (32.0, 45.0), (64.0, 90.0)),
    }
    return RetinaNetConfig(**{**values, **changes})


def retinanet(seed: int = 0, dtype=None, **changes) -> RetinaNet:
    """Return a RetinaNet on `backbone`; equal seeds give equal weights."""
    keras.utils.set_random_seed(seed)
    return RetinaNet(config(**changes), backbone(dtype), dtype=dtype)


def proposals(**changes) -> ProposalConfig:
    """Return one anchor size a level, P2 to P6, and few proposals."""
    values = {
        "anchor_sizes": ((8.0,), (16.0,), (32.0,), (64.0,), (128.0,)),
        "max_proposals_training": 50,
        "max_proposals": 20,
        "num_samples": 32,
    }
    return ProposalConfig(**{**values, **changes})


def rpn_config(**changes) -> RPNConfig:
    return RPNConfig(**{**_first_stage(), **changes})


def faster_rcnn_config(**changes) -> FasterRCNNConfig:
    return FasterRCNNConfig(**{**_two_stages(), **changes})


def mask_rcnn_config(**changes) -> MaskRCNNConfig:
    values = {**_two_stages(), "mask_depth": 1, "mask_filters": 8}
    return MaskRCNNConfig(**{**values, **changes})


def mask_x_rcnn_config(**changes) -> MaskXRCNNConfig:
    values = {**_two_stages(), "mask_depth": 1, "mask_filters": 8}
    return MaskXRCNNConfig(**{**values, **changes})


def keypoint_rcnn_config(**changes) -> KeypointRCNNConfig:
    keypoints = {
        "num_keypoints": 3,
        "keypoint_depth": 1,
        "keypoint_filters": 8,
    }
    return KeypointRCNNConfig(**{**_two_stages(), **keypoints, **changes})


def mask_proposals_config(**changes) -> MaskProposalsConfig:
    """Return half the paper's sizes: objects of 16 pixels on P2."""
    values = {
        "pyramid": _first_stage()["pyramid"],
        "windows": (3, 5),
        "object_sides": (4.0, 5.66),
        "head_filters": 16,
        "mask_size": 8,
        "num_samples": 32,
        "max_detections": 20,
    }
    return MaskProposalsConfig(**{**values, **changes})


def _first_stage() -> dict:
    pyramid = PyramidConfig(filters=8, min_level=2, max_level=6, coarse="pool")
    return {"pyramid": pyramid, "proposals": proposals()}


def _two_stages() -> dict:
    heads = {"num_classes": 3, "box_head_units": (16, 16), "num_samples": 16}
    return {**_first_stage(), **heads}


def rpn(seed: int = 0, dtype=None, **changes) -> RPN:
    """Return an RPN on `backbone`; equal seeds give equal weights."""
    keras.utils.set_random_seed(seed)
    return RPN(rpn_config(**changes), backbone(dtype), dtype=dtype)


def mask_proposals(seed: int = 0, dtype=None, **changes):
    """Return a MaskProposalNetwork on `backbone`; see `rpn`."""
    keras.utils.set_random_seed(seed)
    config = mask_proposals_config(**changes)
    return MaskProposalNetwork(config, backbone(dtype), dtype=dtype)


def faster_rcnn(seed: int = 0, dtype=None, **changes) -> FasterRCNN:
    """Return a Faster R-CNN on `backbone`; see `rpn`."""
    keras.utils.set_random_seed(seed)
    config = faster_rcnn_config(**changes)
    return FasterRCNN(config, backbone(dtype), dtype=dtype)


def mask_rcnn(seed: int = 0, dtype=None, **changes) -> MaskRCNN:
    """Return a Mask R-CNN on `backbone`; see `rpn`."""
    keras.utils.set_random_seed(seed)
    return MaskRCNN(mask_rcnn_config(**changes), backbone(dtype), dtype=dtype)


def mask_x_rcnn(seed: int = 0, dtype=None, **changes) -> MaskXRCNN:
    """Return a Mask^X R-CNN on `backbone`; see `rpn`."""
    keras.utils.set_random_seed(seed)
    config = mask_x_rcnn_config(**changes)
    return MaskXRCNN(config, backbone(dtype), dtype=dtype)


def keypoint_rcnn(seed: int = 0, dtype=None, **changes) -> KeypointRCNN:
    """Return a Keypoint R-CNN on `backbone`; see `rpn`."""
    keras.utils.set_random_seed(seed)
    config = keypoint_rcnn_config(**changes)
    return KeypointRCNN(config, backbone(dtype), dtype=dtype)


def batch(seed: int = 0, size: int = 2, empty: bool = False):
    """Return x and y of contract.py: noise with bright boxes in it."""
    random = np.random.default_rng(seed)
    images = random.integers(0, 60, (size, HEIGHT, WIDTH, 3)).astype("uint8")
    boxes = np.zeros((size, 3, 4), "float32")
    labels = np.full((size, 3), -1, "int32")
    image_shape = np.tile(np.array([HEIGHT, WIDTH], "int32"), (size, 1))
    image_shape[-1] = HEIGHT - 10, WIDTH - 20
    images[-1, HEIGHT - 10 :] = 0
    images[-1, :, WIDTH - 20 :] = 0
    for image in range(0 if empty else size):
        for row in range(1 + image % 2):
            left, top = 4 + 30 * row, 6 + 5 * row
            boxes[image, row] = left, top, left + 26, top + 30
            labels[image, row] = (image + row) % 3
            region = images[image, top : top + 30, left : left + 26]
            region[..., labels[image, row]] = 220
    x = {"images": images, "image_shape": image_shape}
    return x, {"boxes": boxes, "labels": labels}


def batch_with_masks(seed: int = 0, size: int = 2, empty: bool = False):
    """Return `batch`, whose objects are the lower left half of their box."""
    x, y = batch(seed, size, empty)
    triangle = np.tril(np.ones((28, 28), "uint8"))
    y["has_mask"] = y["labels"] >= 0
    y["masks"] = y["has_mask"][..., None, None] * triangle
    return x, y


def batch_with_keypoints(empty: bool = False):
    """Return `batch` with three keypoints, the third hidden or not labelled.

    They are a pixel inside the box's left upper, right lower and right upper
    corner.
    """
    x, y = batch(empty=empty)
    x1, y1, x2, y2 = np.moveaxis(y["boxes"] + [1, 1, -1, -1], -1, 0)
    places = np.stack([x1, y1, x2, y2, x2, y1], -1)
    places = places.reshape(*y["labels"].shape, 3, 2)
    visibility = np.tile(np.float32([2, 2, 1]), (*y["labels"].shape, 1))
    visibility[1, 0, 2] = 0
    visibility[y["labels"] < 0] = 0
    places = np.where(visibility[..., None] > 0, places, 0)
    keypoints = np.concatenate([places, visibility[..., None]], axis=-1)
    y["keypoints"] = keypoints.astype("float32")
    return x, y


def runner(function):
    """Return the function for trees of arrays: eager, or jitted on JAX.

    JAX compiles each eager operator for each new shape. Variables that the
    function changes, such as a seed, keep their values.
    """

    def stateless(*values):
        with keras.StatelessScope():
            return function(*values)

    on_tensorflow = modes.on_tensorflow()
    function_in_mode = modes.in_mode(
        stateless, "eager" if on_tensorflow else "xla"
    )

    def run(*values):
        values = keras.tree.map_structure(ops.convert_to_tensor, values)
        return keras.tree.map_structure(
            ops.convert_to_numpy, function_in_mode(*values)
        )

    return run


def gradient_runner(function):
    """Return a `runner` of the gradient of a scalar in the first argument.

    Zeros stand where that argument has no influence.
    """
    if not modes.on_tensorflow():
        import jax

        return runner(jax.grad(function))
    import tensorflow as tf

    def differentiate(tree, *values):
        flat = keras.tree.flatten(tree)
        with tf.GradientTape() as tape:
            tape.watch(flat)
            total = function(tree, *values)
        gradients = tape.gradient(total, flat, unconnected_gradients="zero")
        return keras.tree.pack_sequence_as(
            tree, [tf.convert_to_tensor(gradient) for gradient in gradients]
        )

    return runner(differentiate)
