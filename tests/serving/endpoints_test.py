"""Which questions a model takes, and in which type it computes."""

import keras
import numpy as np
import pytest

from keras_fair.config import BackboneConfig
from keras_fair.models import RetinaNet
from keras_fair.serving import endpoints
from tests import modes
from tests.models import tiny


@modes.only_tensorflow
def test_only_mask_models_take_boxes():
    names = ["serving_default", "serve_bytes", "serve_features"]
    assert list(endpoints.endpoints(tiny.retinanet())) == names
    found = endpoints.endpoints(tiny.mask_x_rcnn())
    assert list(found) == [*names, "predict_masks"]


@modes.only_tensorflow
def test_a_model_of_reduced_precision_gets_a_float32_twin():
    backbone = BackboneConfig(name="resnet18", stem_filters=8)
    config = tiny.config(backbone=backbone)
    model = RetinaNet(config, dtype="mixed_bfloat16")
    twin = endpoints.in_float32(model)
    assert twin.compute_dtype == twin.backbone.layers[-1].compute_dtype
    assert twin.compute_dtype == "float32"
    for own, given in zip(twin.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, given)


@modes.only_tensorflow
def test_a_model_in_float32_is_taken_as_it_is():
    model = tiny.retinanet()
    assert endpoints.in_float32(model) is model


@modes.only_tensorflow
def test_a_given_backbone_of_reduced_precision_is_refused():
    with pytest.raises(ValueError, match="Build it in float32"):
        endpoints.in_float32(tiny.retinanet(dtype="mixed_float16"))


def test_keras_must_run_on_tensorflow(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(ValueError, match="Expected Keras on TensorFlow"):
        endpoints.in_float32(None)
