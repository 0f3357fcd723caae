"""One exported model for all tests: writing it takes half a minute."""

import pathlib

import numpy as np
import pytest

from keras_fair.config import PixelConfig
from keras_fair.serving import saved_model
from tests.models import tiny

CLASS_NAMES = ("cat", "dog", "señor")


@pytest.fixture(scope="session")
def mask_rcnn():
    """A Mask R-CNN whose masks differ by class and pixel."""
    model = tiny.mask_rcnn(
        pixels=PixelConfig(short_side=96, max_long_side=128),
        class_names=CLASS_NAMES,
    )
    layer = model.mask_head.mask_logits
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape)
    layer.kernel.assign(0.1 * kernel)
    return model


@pytest.fixture(scope="session")
def exported(mask_rcnn, tmp_path_factory) -> pathlib.Path:
    """Its first version, as a server reads it."""
    folder = tmp_path_factory.mktemp("served") / "mask_rcnn"
    return pathlib.Path(saved_model.export_saved_model(mask_rcnn, str(folder)))
