"""What a training may start from: weights, a preset, a Faster R-CNN's."""

import numpy as np
import pytest

from keras_fair import models
from keras_fair.config import BackboneConfig, PixelConfig
from keras_fair.models import build_model, load_initial_weights
from tests.models import tiny

BACKBONE = {"backbone": BackboneConfig(name="resnet18", stem_filters=8)}


@pytest.fixture(scope="module")
def detector():
    return build_model(tiny.faster_rcnn_config(**BACKBONE))


@pytest.fixture(scope="module")
def folder(detector, tmp_path_factory):
    folder = tmp_path_factory.mktemp("preset")
    detector.save_to_preset(str(folder))
    return folder


@pytest.mark.parametrize("name", ["", "model.weights.h5"])
def test_a_model_starts_from_a_folder_or_file_of_its_kind(
    detector, folder, name
):
    model = build_model(tiny.faster_rcnn_config(**BACKBONE))
    load_initial_weights(model, str(folder / name))
    for own, given in zip(model.weights, detector.weights, strict=True):
        np.testing.assert_array_equal(own, given)


def test_a_mask_rcnn_starts_from_a_faster_rcnn(detector, folder):
    model = build_model(tiny.mask_x_rcnn_config(**BACKBONE))
    before = [np.asarray(weight) for weight in model.transfer.weights]
    load_initial_weights(model, str(folder))
    for part in ("backbone", "pyramid", "rpn_head", "box_head"):
        own, given = getattr(model, part), getattr(detector, part)
        for one, other in zip(own.weights, given.weights, strict=True):
            np.testing.assert_array_equal(one, other)
    for one, other in zip(before, model.transfer.weights):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("make", [tiny.rpn, tiny.retinanet])
def test_a_detector_of_another_kind_is_no_start(make, tmp_path, monkeypatch):
    given = make()
    monkeypatch.setattr(models, "load_preset", lambda path: given)
    name = type(given).__name__
    with pytest.raises(ValueError, match=f"FasterRCNN.*Received: {name}"):
        load_initial_weights(tiny.mask_x_rcnn(), str(tmp_path))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"roi_aligned": False}, "roi_aligned is False and was True"),
        (
            {"pixels": PixelConfig(channel_order="rgb")},
            "pixels.channel_order is 'rgb' and was 'bgr'",
        ),
        ({"class_names": ("c", "a", "b")}, "was \\['a', 'b', 'c'\\]"),
    ],
)
def test_a_detector_is_frozen_with_its_own_settings(changes, message, tmp_path):
    names = {"class_names": ("a", "b", "c")}
    config = tiny.faster_rcnn_config(**BACKBONE, **names)
    build_model(config).save_to_preset(str(tmp_path))

    def start(**changes):
        config = tiny.mask_x_rcnn_config(**{**BACKBONE, **names, **changes})
        load_initial_weights(build_model(config), str(tmp_path))

    start(freeze_detector=True, max_detections=7)
    start(**changes)  # it learns on
    with pytest.raises(ValueError, match=message):
        start(freeze_detector=True, **changes)


def test_other_classes_are_no_start(folder):
    model = build_model(tiny.faster_rcnn_config(num_classes=5, **BACKBONE))
    with pytest.raises(ValueError):
        load_initial_weights(model, str(folder))
