"""Detectron's and seg_every_thing's pickles, made by rule.

Names and shapes are caffe2_blobs's. Most tests have a narrow network.
"""

import dataclasses

import keras
import numpy as np
import pytest

from keras_fair import config as config_lib
from keras_fair import models, presets
from keras_fair.checkpoints import convert, detectron, detectron_models
from tests.checkpoints import caffe2_blobs, caffe2_writer

SMALL = {
    "backbone": dataclasses.replace(detectron_models.BACKBONE, stem_filters=8),
    "pyramid": config_lib.PyramidConfig(
        filters=8, min_level=2, max_level=6, coarse="pool"
    ),
    "box_head_units": (16, 16),
}
MASKS = {"mask_depth": 4, "mask_filters": 8}
MASK_RCNN = dataclasses.replace(detectron_models.MASK_RCNN, **SMALL, **MASKS)
MASK_X = dataclasses.replace(detectron_models.MASK_X, **SMALL, **MASKS)
FULL_SIZES = {"stem": 64, "filters": 256, "units": 1024}
SMALL_SIZES = {"stem": 8, "filters": 8, "units": 16}


# What is in the files beside: a momentum for each blob that learns, and what
# the file of ImageNet's weights had.
UNREAD = {
    "fc6_w_momentum": (16, 8 * 49),
    "res3_0_branch2a_w_momentum": (16, 32, 1, 1),
    "conv1_b": (8,),
    "res2_0_branch2a_b": (8,),
    "res2_0_branch1_b": (32,),
    "fc1000_w": (10, 4),
    "fc1000_b": (10,),
}


def load(config, arrays: dict, tmp_path, source="detectron"):
    caffe2_writer.write(tmp_path / "model_final.pkl", arrays)
    model = models.build_model(config)
    path = tmp_path / "model_final.pkl"
    return model, convert.load_weights_from(model, path, source)


@pytest.fixture(scope="module")
def mask_rcnn(tmp_path_factory):
    """A model, its report and the blobs it was loaded from."""
    arrays = caffe2_blobs.values(
        caffe2_blobs.blobs("mask", **SMALL_SIZES) | UNREAD
    )
    folder = tmp_path_factory.mktemp("mask_rcnn")
    return (*load(MASK_RCNN, arrays, folder), arrays)


@pytest.fixture(scope="module")
def mask_x(tmp_path_factory):
    arrays = caffe2_blobs.values(caffe2_blobs.blobs("mask_x", **SMALL_SIZES))
    # Of the detector of Visual Genome, if that was trained before.
    arrays["cls_score_w_jcvbackup"] = np.zeros((302, 16), "f4")
    folder = tmp_path_factory.mktemp("mask_x")
    return (*load(MASK_X, arrays, folder, "seg_every_thing"), arrays)


def ours(model) -> dict:
    named = convert.weights_by_name(model)
    return {path: np.asarray(weight) for path, weight in named.items()}


@pytest.mark.parametrize(
    ("name", "kind", "backbone", "num_classes"),
    [
        ("detectron/e2e_faster_rcnn_R-50-FPN_2x", "faster", "R-50", 81),
        ("detectron/e2e_mask_rcnn_R-101-FPN_1x", "mask", "R-101", 81),
        ("detectron/e2e_keypoint_rcnn_R-50-FPN_s1x", "keypoint", "R-50", 2),
        ("detectron/retinanet_R-50-FPN_1x", "retinanet", "R-50", 81),
        ("detectron/rpn_R-50-FPN_1x", "rpn", "R-50", 81),
        ("seg_every_thing/e2e_baseline", "mask_agnostic", "R-50", 81),
        (
            "seg_every_thing/runtest_clsbox_2_layer_mlp_nograd",
            "mask_x",
            "R-50",
            3002,
        ),
    ],
)
def test_names_and_sizes_are_those_of_the_published_models(
    name, kind, backbone, num_classes
):
    config = presets.library_config(name)
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        model = models.build_model(config)
        sizes = {
            path: int(np.prod(weight.shape))
            for path, weight in convert.weights_by_name(model).items()
        }
        names = convert._their_names(model, detectron.table(config), detectron)
    keras.utils.clear_session()
    expected = caffe2_blobs.blobs(kind, backbone, num_classes, **FULL_SIZES)
    found = {
        name
        for name in names.values()
        if not name.endswith(("_bn_mean", "_bn_variance"))
    }
    assert found == set(expected)
    by_class = ("cls_score", "bbox_pred", "mask_fcn_logits")
    for path, name in names.items():
        # Background has rows there that ours lacks.
        if name in found and name[:-2] not in by_class:
            assert sizes[path] == np.prod(expected[name]), name


def test_every_blob_is_loaded_or_known_to_be_unread(mask_rcnn):
    model, report, _ = mask_rcnn
    assert len(report.loaded) == len(model.weights) and not report.kept
    assert set(report.ignored) == set(UNREAD)


def test_background_moves_from_the_first_class_to_the_last(mask_rcnn):
    model, _, theirs = mask_rcnn
    found = ours(model)
    logits = found["box_head/class_logits/kernel"]
    assert logits.shape == (16, 81)
    np.testing.assert_array_equal(logits[:, 80], theirs["cls_score_w"][0])
    np.testing.assert_array_equal(logits[:, 0], theirs["cls_score_w"][1])
    np.testing.assert_array_equal(
        found["box_head/box_deltas/bias"], theirs["bbox_pred_b"][4:]
    )
    np.testing.assert_array_equal(
        found["mask_head/mask_logits/kernel"][0, 0].T,
        theirs["mask_fcn_logits_w"][1:, :, 0, 0],
    )


def test_class_agnostic_boxes_are_the_second_of_two(mask_rcnn):
    _, _, theirs = mask_rcnn
    two = {"bbox_pred_b": theirs["bbox_pred_b"][:8]}
    config = dataclasses.replace(MASK_RCNN, class_agnostic_boxes=True)
    found = detectron.to_our_rows(two, config)["bbox_pred_b"]
    np.testing.assert_array_equal(found, two["bbox_pred_b"][4:])


def test_the_first_dense_layer_reads_by_channel(mask_rcnn):
    model, _, theirs = mask_rcnn
    kernel = ours(model)["box_head/dense_0/kernel"].reshape(7, 7, 8, 16)
    np.testing.assert_array_equal(
        kernel.transpose(3, 2, 0, 1), theirs["fc6_w"].reshape(16, 8, 7, 7)
    )


def test_a_norm_is_a_scale_and_an_offset_exactly(mask_rcnn):
    model, _, theirs = mask_rcnn
    pixels = np.random.default_rng(0).standard_normal((1, 2, 2, 8), "float32")
    found = model.backbone.get_layer("stem_norm")(pixels)
    expected = pixels * theirs["res_conv1_bn_s"] + theirs["res_conv1_bn_b"]
    # Fused or not: one rounding of numbers of 0.1.
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-7)


def test_what_is_missing_is_named_as_in_the_file(mask_rcnn, tmp_path):
    model, _, theirs = mask_rcnn
    arrays = dict(theirs)
    arrays["conv9_w"] = arrays.pop("conv_rpn_fpn2_w")
    del arrays["res_conv1_bn_s"]
    caffe2_writer.write(tmp_path / "w.pkl", arrays)
    with pytest.raises(ValueError, match="unexpected: conv9_w") as caught:
        convert.load_weights_from(model, tmp_path / "w.pkl", "detectron")
    assert "missing: res_conv1_bn_s, " in str(caught.value)
    assert "conv_rpn_fpn2_w." in str(caught.value)


def leaky_relu(x):
    return np.where(x > 0, x, 0.1 * x)


def test_mask_weights_are_transferred_as_there(mask_x):
    """Compute them from the blobs as its Caffe2 operators do."""
    model, report, theirs = mask_x
    assert report.ignored == ("cls_score_w_jcvbackup",)
    known = [theirs["cls_score_w"], theirs["bbox_pred_w"].reshape(81, -1)]
    hidden = np.concatenate(known, axis=1) @ theirs["bbox2mask_mlp_l1_w"].T
    hidden = leaky_relu(hidden + theirs["bbox2mask_mlp_l1_b"])
    expected = hidden @ theirs["mask_fcn_logits_w_flat_w"].T
    expected = expected + theirs["mask_fcn_logits_w_flat_b"]
    found = model.mask_weights(np.arange(80, dtype="int32")[None])
    # Sums of 80 products of 1/64.
    np.testing.assert_allclose(np.asarray(found)[0], expected[1:], atol=1e-5)


def test_the_agnostic_mask_reads_by_channel(mask_x):
    model, _, theirs = mask_x
    pixels = np.random.default_rng(0).standard_normal((2, 8, 28, 28), "f4")
    expected = pixels.reshape(2, -1) @ theirs["mask_mlp_logits_raw_w"].T
    expected = expected + theirs["mask_mlp_logits_raw_b"]
    ordered = pixels.transpose(0, 2, 3, 1)[None]
    found = np.asarray(model.agnostic_branch(ordered))[0, ..., 0]
    # Sums of 6272 products of 1/8.
    np.testing.assert_allclose(
        found.reshape(2, -1), expected, atol=1e-4, rtol=1e-5
    )


def test_the_transfer_does_not_depend_on_the_classes():
    assert convert.class_layers(MASK_X) == (
        "box_head/class_logits",
        "box_head/box_deltas",
    )


def test_nothing_is_written_for_detectron(mask_rcnn, tmp_path):
    with pytest.raises(ValueError, match="one of torchvision, detectron2. R"):
        convert.export_weights_to(mask_rcnn[0], tmp_path / "w", "detectron")


def test_a_backbone_that_detectron_lacks_is_refused():
    backbone = config_lib.BackboneConfig(name="resnet18")
    config = dataclasses.replace(MASK_RCNN, backbone=backbone)
    with pytest.raises(ValueError, match="Received the backbone 'resnet18'"):
        detectron.table(config)


ZOO = {**detectron_models.MODELS, **detectron_models.SEG_EVERY_THING_MODELS}


@pytest.mark.parametrize("name", ZOO)
def test_presets_resize_and_paste_as_detectron(name):
    model = ZOO[name]
    assert model.pixels.resize == "bilinear"
    if isinstance(model, config_lib.MaskRCNNConfig):
        assert model.paste == "integer"
