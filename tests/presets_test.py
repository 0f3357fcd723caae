import dataclasses

import numpy as np
import pytest

from keras_fair import config, models, presets
from keras_fair.checkpoints import convert
from tests.checkpoints import small


@pytest.fixture(scope="module")
def model():
    return small.model()


@pytest.fixture
def weights(model, tmp_path, monkeypatch):
    """A file of torchvision's model "small"."""
    monkeypatch.setitem(
        presets.LIBRARIES, "torchvision", {"small": small.MASK_RCNN}
    )
    path = tmp_path / "small.pth"
    convert.export_weights_to(model, path, "torchvision")
    return str(path)


def values(model) -> dict:
    named = convert.weights_by_name(model)
    return {path: np.asarray(weight) for path, weight in named.items()}


def test_another_library_s_model_is_read_by_name(model, weights):
    made = models.MaskRCNN.from_preset("torchvision/small", weights=weights)
    assert made.config == small.MASK_RCNN
    assert not made.loading_report.kept
    found = values(made)
    for path, array in values(model).items():
        np.testing.assert_array_equal(found[path], array)


@pytest.mark.parametrize("source", ["library", "folder"])
def test_other_classes_start_their_layers_anew(
    source, model, weights, tmp_path
):
    if source == "library":
        made = models.MaskRCNN.from_preset(
            "torchvision/small", weights=weights, num_classes=3
        )
    else:
        model.save_to_preset(str(tmp_path / "preset"))
        made = models.MaskRCNN.from_preset(
            str(tmp_path / "preset"), num_classes=3
        )
    assert made.config == dataclasses.replace(
        small.MASK_RCNN,
        num_classes=3,
        unused_logits=0,
        class_names=(),
        category_ids=(),
    )
    report = made.loading_report
    assert {path.rpartition("/")[0] for path in report.kept} == set(
        convert.class_layers(made.config)
    )
    assert len(report.loaded) == len(made.weights) - 6
    found, expected = values(made), values(model)
    for path in report.loaded:
        np.testing.assert_array_equal(found[path], expected[path])


def test_embeddings_of_other_classes_are_the_user_s_to_give(tmp_path):
    values_of_config = {**vars(small.MASK_RCNN), "unused_logits": 0}
    given = models.MaskXRCNN(
        config.MaskXRCNNConfig(
            **values_of_config, transfer_input="embeddings", embedding_dim=5
        )
    )
    given.save_to_preset(str(tmp_path))

    same = models.MaskXRCNN.from_preset(str(tmp_path))
    made = models.MaskXRCNN.from_preset(str(tmp_path), num_classes=3)

    np.testing.assert_array_equal(same.class_embeddings, given.class_embeddings)
    assert made.class_embeddings.shape == (3, 5)
    assert np.any(np.asarray(made.class_embeddings), axis=1).all()
    assert "class_embeddings" in made.loading_report.kept
    # The transfer serves any class.
    assert "transfer/dense_0/kernel" in made.loading_report.loaded


@pytest.mark.parametrize(
    ("name", "config_class"),
    [
        ("torchvision/maskrcnn_resnet50_fpn", config.MaskRCNNConfig),
        ("torchvision/retinanet_resnet50_fpn_v2", config.RetinaNetConfig),
        ("detectron2/rpn_R_50_FPN_1x", config.RPNConfig),
        ("detectron2/faster_rcnn_X_101_32x8d_FPN_3x", config.FasterRCNNConfig),
    ],
)
def test_the_names_are_those_of_the_libraries(name, config_class):
    assert type(presets.library_config(name)) is config_class


def test_a_published_detector_names_coco_s_categories():
    found = presets.library_config("detectron2/mask_rcnn_R_50_FPN_3x")
    by_id = dict(zip(found.category_ids, found.class_names, strict=True))
    assert len(by_id) == found.num_classes == 80
    assert (by_id[1], by_id[13], by_id[90]) == (
        "person",
        "stop sign",
        "toothbrush",
    )


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match="torchvision/maskrcnn_resnet50_fpn, "):
        presets.library_config("torchvision/maskrcnn")


def test_a_name_without_weights_is_explained():
    with pytest.raises(FileNotFoundError, match="with weights="):
        models.MaskRCNN.from_preset("torchvision/maskrcnn_resnet50_fpn")


def test_a_preset_of_another_model_is_refused(weights):
    with pytest.raises(TypeError, match="Expected RetinaNetConfig"):
        models.RetinaNet.from_preset("torchvision/small", weights=weights)
