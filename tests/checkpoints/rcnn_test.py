"""R-CNNs between our models and other libraries' files."""

import dataclasses

import numpy as np
import pytest

from keras_fair.checkpoints import (
    coco_categories,
    convert,
    readers,
    torchvision,
    writers,
)
from tests.checkpoints import small

CUSTOM = {"class_names": (), "category_ids": (), "unused_logits": 0}
BOX = "roi_heads.box_predictor"
MASK = "roi_heads.mask_predictor.mask_fcn_logits"
OLDER = {
    "rpn.head.conv.0.0.weight": "rpn.head.conv.weight",
    "roi_heads.mask_head.1.0.bias": "roi_heads.mask_head.mask_fcn2.bias",
    "backbone.fpn.layer_blocks.3.0.weight": (
        "backbone.fpn.layer_blocks.3.weight"
    ),
}


@pytest.fixture(scope="module")
def model():
    return small.model()


@pytest.fixture(scope="module")
def again():
    """Another one like `model`, to be loaded into."""
    return small.model(seed=2)


@pytest.fixture(scope="module")
def three():
    """A model of three classes."""
    return small.model(seed=4, num_classes=3, **CUSTOM)


def values(model) -> dict:
    named = convert.weights_by_name(model)
    return {path: np.asarray(weight) for path, weight in named.items()}


def assert_equal(found: dict, expected: dict) -> None:
    assert list(found) == list(expected)
    for path, array in expected.items():
        np.testing.assert_array_equal(found[path], array)


@pytest.mark.parametrize(
    ("target", "name"),
    [("torchvision", "weights.pth"), ("detectron2", "weights.safetensors")],
)
def test_there_and_back_is_bit_equal(
    target, name, model, again, three, tmp_path
):
    ours = model
    if target == "detectron2":
        ours, again = three, small.model(seed=2, num_classes=3, **CUSTOM)
    convert.export_weights_to(ours, tmp_path / name, target)
    report = convert.load_weights_from(again, tmp_path / name, target)
    assert len(report.loaded) == len(ours.weights) and not report.kept
    assert_equal(values(again), values(ours))


def test_coco_has_91_slots_there_with_background_first(model):
    ours = values(model)
    theirs = convert.their_arrays(ours, model.config, "torchvision")
    logits = theirs[f"{BOX}.cls_score.weight"]
    kernel = ours["box_head/class_logits/kernel"]
    assert logits.shape == (91, 16)
    np.testing.assert_array_equal(logits[0], kernel[:, 80])
    np.testing.assert_array_equal(logits[90], kernel[:, 79])
    # Category 13 follows 11: nothing has the id 12.
    np.testing.assert_array_equal(logits[13], kernel[:, 11])
    np.testing.assert_array_equal(logits[12], kernel[:, 81])
    boxes = theirs[f"{BOX}.bbox_pred.weight"]
    expected = ours["box_head/box_deltas/kernel"][:, 4 * 79 :].T
    np.testing.assert_array_equal(boxes[4 * 90 :], expected)
    assert not boxes[:4].any() and not boxes[48:52].any()
    masks = theirs[f"{MASK}.weight"]
    assert masks.shape == (91, 8, 1, 1) and not masks[0].any()


def test_slots_that_a_model_lacks_never_win(model):
    ours = values(model)
    for variable in ("kernel", "bias"):
        path = f"box_head/class_logits/{variable}"
        ours[path] = ours[path][..., :81]
    config = dataclasses.replace(model.config, unused_logits=0)
    theirs = convert.their_arrays(ours, config, "torchvision")
    bias = theirs[f"{BOX}.cls_score.bias"]
    slots = list(coco_categories.UNUSED_IDS)
    assert (bias[slots] == torchvision.NEVER).all()
    assert (np.delete(bias, slots) > torchvision.NEVER).all()


def test_other_classes_have_a_slot_each_and_background(three):
    theirs = convert.their_arrays(values(three), three.config, "torchvision")
    assert theirs[f"{BOX}.cls_score.bias"].shape == (4,)
    assert theirs[f"{BOX}.bbox_pred.bias"].shape == (16,)
    np.testing.assert_array_equal(
        theirs[f"{MASK}.bias"][1:], values(three)["mask_head/mask_logits/bias"]
    )


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("torchvision", "roi_heads.box_head.fc6.weight"),
        ("detectron2", "roi_heads.box_head.fc1.weight"),
    ],
)
def test_the_first_dense_layer_reads_by_channel(target, name, three):
    theirs = convert.their_arrays(values(three), three.config, target)[name]
    by_cell = values(three)["box_head/dense_0/kernel"].reshape(7, 7, 8, 16)
    by_channel = theirs.reshape(16, 8, 7, 7)
    np.testing.assert_array_equal(by_channel, by_cell.transpose(3, 2, 0, 1))


def test_the_transposed_convolution_keeps_its_inputs_first(model):
    ours = values(model)
    theirs = convert.their_arrays(ours, model.config, "torchvision")
    kernel = ours["mask_head/upsampling/kernel"]  # height, width, out, in
    np.testing.assert_array_equal(
        theirs["roi_heads.mask_predictor.conv5_mask.weight"],
        kernel.transpose(3, 2, 0, 1),
    )


def test_older_names_of_the_published_files_are_known(model, again, tmp_path):
    theirs = convert.their_arrays(values(model), model.config, "torchvision")
    older = {OLDER.get(name, name): array for name, array in theirs.items()}
    assert len(set(older) - set(theirs)) == len(OLDER)
    writers.write(tmp_path / "w.pth", older)
    for weight in again.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    convert.load_weights_from(again, tmp_path / "w.pth", "torchvision")
    assert_equal(values(again), values(model))


def test_an_older_retinanet_counts_its_activations():
    name = "head.regression_head.conv.6.weight"
    assert torchvision._newer_name(name) == (
        "head.regression_head.conv.3.0.weight"
    )


def test_only_layers_of_the_classes_start_anew(model, three, tmp_path):
    convert.export_weights_to(model, tmp_path / "w.pth", "torchvision")
    report = convert.load_weights_from(
        three,
        tmp_path / "w.pth",
        "torchvision",
        keep=convert.class_layers(three.config),
    )
    assert set(report.kept) == {
        f"{layer}/{variable}"
        for layer in (
            "box_head/class_logits",
            "box_head/box_deltas",
            "mask_head/mask_logits",
        )
        for variable in ("kernel", "bias")
    }
    before, after = values(model), values(three)
    for path in report.loaded:
        np.testing.assert_array_equal(after[path], before[path])


def test_without_leave_another_number_of_classes_is_an_error(
    model, three, tmp_path
):
    convert.export_weights_to(model, tmp_path / "w.pth", "torchvision")
    with pytest.raises(ValueError, match="6 mismatched") as caught:
        convert.load_weights_from(three, tmp_path / "w.pth", "torchvision")
    assert f"{BOX}.cls_score.weight as box_head/class_logits" in str(
        caught.value
    )


def test_agnostic_heads_do_not_depend_on_the_classes():
    config = dataclasses.replace(
        small.MASK_RCNN, class_agnostic_boxes=True, masks="agnostic"
    )
    assert convert.class_layers(config) == ("box_head/class_logits",)


def test_detectron2_has_no_unused_logits(model, tmp_path):
    with pytest.raises(ValueError, match="unused_logits=10"):
        convert.export_weights_to(model, tmp_path / "w.pth", "detectron2")
    assert not list(tmp_path.iterdir())


def test_caffe2_s_norms_are_completed():
    arrays = {"res2.0.conv1.norm.weight": np.full(3, 2.0, "f4")}
    complete = convert.detectron2.to_our_backbone(arrays)
    assert complete["res2.0.conv1.norm.running_mean"].tolist() == [0, 0, 0]
    assert complete["res2.0.conv1.norm.running_var"].tolist() == [1, 1, 1]


def test_a_file_of_torchvision_is_what_torch_loads(model, tmp_path):
    torch = pytest.importorskip("torch")
    convert.export_weights_to(model, tmp_path / "w.pth", "torchvision")
    found = torch.load(tmp_path / "w.pth", weights_only=True)
    for name, array in readers.read(tmp_path / "w.pth").items():
        np.testing.assert_array_equal(found[name].numpy(), array)
