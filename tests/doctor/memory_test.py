import dataclasses
import math

import pytest

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    TrainConfig,
)
from keras_fair.doctor import memory
from keras_fair.models import build_model
from tests.models import tiny

BACKBONE = BackboneConfig("resnet18", stem_filters=8, frozen_stages=0)
CONFIG = tiny.mask_rcnn_config(backbone=BACKBONE)
DATA = DataConfig(canvases=((64, 96), (128, 96)))


def estimate(model, **train) -> memory.Memory:
    settings = TrainConfig(**{"batch_size": 2, **train})
    return memory.estimate(Experiment(model, DATA, settings))


@pytest.fixture(scope="module")
def full() -> memory.Memory:
    return estimate(CONFIG)


def test_weights_have_gradients_and_momenta(full):
    model = build_model(CONFIG)
    assert full.num_weights == model.count_params()
    learning = sum(math.prod(v.shape) for v in model.trainable_variables)
    assert full.weights == 4 * (full.num_weights + 2 * learning)
    assert full.total == full.weights + full.activations


def test_the_largest_canvas_counts(full):
    assert full.canvas == (128, 96)


def test_activations_are_of_the_images_on_the_device_at_a_time(full):
    parts = estimate(CONFIG, batch_size=12, accumulation=4)
    assert 2 * parts.activations == 3 * full.activations
    assert parts.weights == full.weights


def test_sixteen_bits_need_less(full):
    half = estimate(CONFIG, policy="mixed_bfloat16")
    assert 0.4 * full.activations < half.activations < full.activations


def test_frozen_stages_keep_nothing(full):
    backbone = dataclasses.replace(BACKBONE, frozen_stages=5)
    frozen = estimate(dataclasses.replace(CONFIG, backbone=backbone))
    assert frozen.activations < full.activations


def test_a_deeper_mask_branch_needs_more(full):
    deeper = dataclasses.replace(CONFIG, mask_depth=CONFIG.mask_depth + 2)
    assert estimate(deeper).activations > full.activations
