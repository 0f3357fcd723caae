"""Recomputing the backbone: the same gradients from less memory."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.config import BackboneConfig
from keras_fair.models import backbones, recompute
from tests.models import tiny

# Prints how many MB wait for the gradient, in TensorFlow's eager mode: there
# nothing is optimised away, and freed at once.
MEMORY = """
import os, resource, sys
import keras, numpy as np, tensorflow as tf
from keras_fair.config import BackboneConfig
from keras_fair.models import backbones, recompute

config = BackboneConfig("resnet50", stem_filters=16, frozen_stages=2)
backbone = backbones.build_backbone(config)
run = recompute.in_blocks(backbone) if sys.argv[1] == "yes" else backbone
pixels = np.ones((1, 1024, 1024, 3), "float32")

def size():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 2**20

before = size()
with tf.GradientTape() as tape:
    value = tf.reduce_sum(run(pixels, training=True)["C5"])
print(size() - before)
"""


def stepped(is_recomputed: bool) -> list:
    """Return a RetinaNet's weights after a step."""
    model = tiny.retinanet()
    if is_recomputed:
        model.recompute_backbone()
    model.compile(keras.optimizers.SGD(0.1))
    x, y = tiny.batch()
    model.train_on_batch(x, y)
    return model.get_weights()


def test_a_step_is_the_same():
    for found, expected in zip(stepped(True), stepped(False), strict=True):
        # The same operations, compiled in other groups.
        np.testing.assert_allclose(found, expected, atol=1e-6)


def waiting_memory(is_recomputed: bool) -> int:
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, "yes" if is_recomputed else "no"],
        env={**os.environ, "PYTHONPATH": ".", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout.splitlines()[-1])


@pytest.mark.slow
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow" or sys.platform != "linux",
    reason="XLA on a CPU may keep what is to be computed again",
)
def test_less_waits_for_the_gradient():
    assert waiting_memory(True) < 0.5 * waiting_memory(False)


def test_features_are_those_of_the_backbone():
    backbone = tiny.backbone()
    pixels = ops.ones((1, 64, 64, 3))
    found = recompute.in_blocks(backbone)(pixels, training=False)
    expected = backbone(pixels)
    assert found.keys() == expected.keys()
    for name, feature in expected.items():
        np.testing.assert_allclose(found[name], feature, atol=1e-6)


def test_batch_normalisation_that_learns_is_refused():
    config = BackboneConfig("resnet18", stem_filters=4, norm="batch")
    backbone = backbones.build_backbone(config)
    with pytest.raises(ValueError, match="Expected backbone.norm=frozen"):
        recompute.in_blocks(backbone)


def test_stages_that_are_no_chain_are_refused():
    pixels = keras.Input((64, 64, 3))
    first = keras.layers.Conv2D(4, 3, strides=4, padding="same")(pixels)
    second = keras.layers.Conv2D(4, 3, strides=8, padding="same")(pixels)
    backbone = keras.Model(pixels, {"C2": first, "C3": second})
    with pytest.raises(ValueError, match="follows from the one before alone"):
        recompute.in_blocks(backbone)
