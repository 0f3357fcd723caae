"""Image files as inputs of a detector, one at a time."""

import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from keras_fair.config import PixelConfig
from keras_fair.data import sizes, transforms

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")
# Canvases grow in these steps, so that a graph is traced for few sizes.
CANVAS_STEP = 128


class ImageFile(NamedTuple):
    """One image as it was and as the network takes it."""

    path: str
    pixels: np.ndarray  # uint8 [h, w, 3]
    x: dict  # see contract.py, a batch of one


def find(paths: list[str]) -> list[str]:
    """Return the image files among files and, recursively, in folders.

    Raises:
        FileNotFoundError: a path does not exist, or there is no image.
    """
    found = []
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(pathlib.Path(path).rglob("*"))
            found += [str(p) for p in inside if p.suffix.lower() in SUFFIXES]
        elif os.path.isfile(path):
            found.append(path)
        else:
            raise FileNotFoundError(f"No image file or folder {path!r}.")
    if not found:
        raise FileNotFoundError(
            f"No file that ends in {', '.join(SUFFIXES)} in {paths}."
        )
    return found


def read(paths: list[str], pixels: PixelConfig) -> Iterator[ImageFile]:
    """Decode, resize and pad image files, one after the other.

    Args:
        paths: image files.
        pixels: the model's, for the size and the rule of resizing.

    Raises:
        ValueError: a file that is no image, by name.
    """
    for path in paths:
        image = transforms.read_image(tf.constant(path)).numpy()
        if not image.size:
            raise ValueError(
                f"Expected an image in {path!r}; it cannot be read or decoded."
            )
        shape = sizes.resized_shapes(
            [image.shape[:2]],
            pixels.short_side,
            pixels.max_long_side,
            pixels.resize,
        )[0]
        canvas = -(-shape // CANVAS_STEP) * CANVAS_STEP
        resized = transforms.resize_image(image, shape, pixels.resize)
        padded = transforms.pad_image(resized, canvas)
        x = {"images": padded[None].numpy(), "image_shape": shape[None]}
        yield ImageFile(path, image, x)
