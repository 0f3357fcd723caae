"""What is drawn in tests, and what changed by it."""

import numpy as np

from keras_fair import visualization


def grey(height=100, width=200):
    return np.full((height, width, 3), 128, "uint8")


def objects(*boxes, **more):
    return {
        "boxes": np.array(boxes, "float32").reshape(-1, 4),
        "labels": np.zeros(len(boxes), "int32"),
        **more,
    }


def pixels(picture):
    return np.asarray(picture).astype(int)


def changed(picture, image):
    """Bool [H, W]: where the picture differs from the image."""
    return (pixels(picture) != image).any(-1)


# Large enough a box that its label hides no part of its right side.
BOX = (20, 30, 180, 90)
RED = visualization.class_color(0)
