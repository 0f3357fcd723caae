"""A detector so small that a test may build, train and save it."""

import keras
import numpy as np

from keras_fair.config import PyramidConfig, RetinaNetConfig
from keras_fair.models import RetinaNet

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
