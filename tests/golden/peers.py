"""Another library's detector: its weights, inputs and recorded outputs.

The weights follow a rule from their names and shapes, so that any model can
be filled without a download; see the README of the golden values.
"""

import dataclasses
import importlib.util

import keras
import numpy as np

from keras_fair import models
from keras_fair.checkpoints import (
    convert,
    detectron2_models,
    torchvision_models,
    writers,
)
from tests import shared

SIZE = (256, 320)  # of both images
EVERY = 32768  # sample so many anchors and RoIs: all of them
SOURCES = {"tv": "torchvision", "d2": "detectron2"}
CONFIGS = {"tv": torchvision_models.MODELS, "d2": detectron2_models.MODELS}


class Peer:
    """One of the golden models, and ours with its weights.

    Args:
        name: of the file of golden values, "tv_retinanet_resnet50_fpn" say.
        folder: a temporary one, for the file of weights.
        **changes: fields of the config.
    """

    def __init__(self, name: str, folder, **changes):
        self.golden = shared.fixture(f"{name}.npz")
        self.library = name[:2]
        self.source = SOURCES[self.library]
        config = CONFIGS[self.library][name[3:]]
        self.is_rcnn = "rcnn" in name
        self.first_label = 0
        if self.library == "tv":
            config = _every_slot(config, self.is_rcnn)
            self.first_label = 1 if self.is_rcnn else 0
        self.config = dataclasses.replace(config, **changes)
        self.model = models.build_model(self.config)
        self.weights = _weights(name, self.library)
        path = folder / f"{name}.safetensors"
        writers.write(path, self.weights)
        self.report = convert.load_weights_from(self.model, path, self.source)

    def use_threshold(self, image: str) -> None:
        """Set the score threshold that the peer had for this image."""
        threshold = float(self.golden[f"{image}/score_thresh"])
        self.model.config = dataclasses.replace(
            self.model.config, score_threshold=threshold
        )

    def floor(self, image: str) -> float:
        """Return the peer's own error of rounding, relative to the largest.

        It is the difference to float64, or between two kinds of kernels.
        """
        kind = "f64" if self.library == "tv" else "alt"
        return float(self.golden[f"{image}/{kind}_rel_err_fpn"].max())


def _every_slot(config, is_rcnn: bool):
    """Return a config in which each of the 90 or 91 slots is a class."""
    none = {"class_names": (), "category_ids": ()}
    if is_rcnn:
        return dataclasses.replace(
            config, num_classes=90, unused_logits=0, **none
        )
    return dataclasses.replace(config, num_classes=91, **none)


def _weights(name: str, library: str) -> dict:
    path = shared.FOLDER / "fixtures" / "weights_rule.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    rule = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(rule)
    arrays = {}
    lines = (path.parent / f"{name}.keys.txt").read_text().splitlines()
    for line in lines:
        key, text = line.split(" ")
        shape = tuple(int(side) for side in text.split("x") if side)
        background = 0 if library == "tv" else -1
        arrays[key] = np.asarray(rule.weight(key, shape, background))
    return arrays


def image(name: str) -> np.ndarray:
    """Return uint8 [1, 256, 320, 3], RGB."""
    return shared.fixture("images.npz")[name][None]


def numpy(tree):
    """Turn tensors into arrays."""
    return keras.tree.map_structure(keras.ops.convert_to_numpy, tree)


def relative_error(found, expected) -> float:
    """Return the largest difference in units of the largest value."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def pair_detections(found, expected):
    """Return, for each expected detection, the row of its equal among ours.

    Boxes within 0.05 pixels, scores within 1e-3, the same label; the order
    of scores that close to each other is chance.

    Args:
        found: boxes [D, 4], scores [D], labels [D].
        expected: likewise.
    """
    assert len(found[0]) == len(expected[0])
    box = np.abs(found[0][None] - expected[0][:, None]).max(-1) < 0.05
    score = np.abs(found[1][None] - expected[1][:, None]) < 1e-3
    same = box & score & (found[2][None] == expected[2][:, None])
    rows = same.argmax(1)
    assert same.any(1).all() and len(set(rows)) == len(rows)
    return rows
