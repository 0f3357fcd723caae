"""Keypoint R-CNNs between our models and other libraries' files."""

import keras
import numpy as np
import pytest

from keras_fair import models, presets
from keras_fair.checkpoints import convert, readers, writers
from keras_fair.layers import keypoint_head
from tests.checkpoints import small

# What only this model has, with the sizes of the published files.
HEAD = {
    "torchvision": {
        **{f"roi_heads.keypoint_head.{2 * i}": 512 for i in range(8)},
        "roi_heads.keypoint_predictor.kps_score_lowres": 17,
    },
    "detectron2": {
        **{f"roi_heads.keypoint_head.conv_fcn{i + 1}": 512 for i in range(8)},
        "roi_heads.keypoint_head.score_lowres": 17,
    },
}
NAMES = {"torchvision": "keypointrcnn_resnet50_fpn"}
NAMES["detectron2"] = "keypoint_rcnn_R_50_FPN_3x"
# Weights beside those of a ResNet-50 (53 convolutions with a normalisation
# of four each), by two: pyramid, proposals, box head and predictors.
LAYERS = 8 + 3 + 4


@pytest.fixture(scope="module")
def model():
    return small.model(base=small.KEYPOINT_RCNN)


@pytest.fixture(scope="module")
def again():
    """Another one, to be loaded into."""
    return small.model(seed=5, base=small.KEYPOINT_RCNN)


@pytest.mark.parametrize("library", list(HEAD))
def test_names_and_sizes_are_those_of_the_published_files(library):
    config = presets.library_config(f"{library}/{NAMES[library]}")
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        made = models.build_model(config)
        arrays = {
            path: np.broadcast_to(np.float32(0), weight.shape)
            for path, weight in convert.weights_by_name(made).items()
        }
    keras.utils.clear_session()
    theirs = convert.their_arrays(arrays, config, library)
    assert len(theirs) == 5 * 53 + 2 * (LAYERS + len(HEAD[library]))
    found = {
        name.removesuffix(".bias"): len(array)
        for name, array in theirs.items()
        if "keypoint" in name and name.endswith(".bias")
    }
    assert found == HEAD[library]
    last = theirs[f"{list(HEAD[library])[-1]}.weight"]
    assert last.shape == (512, 17, 4, 4)
    # torchvision's own figure, without normalisations; there, background has
    # a box, too.
    frozen = (".bn", ".norm.", "downsample.1.")
    background = 0 if library == "torchvision" else 4 * 1025
    assert 59_137_258 - background == sum(
        array.size
        for name, array in theirs.items()
        if not any(part in name for part in frozen)
    )


@pytest.mark.parametrize("library", list(HEAD))
def test_there_and_back_is_bit_equal(library, model, again, tmp_path):
    path = tmp_path / "weights.pth"
    convert.export_weights_to(model, path, library)
    for weight in again.weights:
        weight.assign(np.zeros(weight.shape, "float32"))
    report = convert.load_weights_from(again, path, library)
    assert len(report.loaded) == len(model.weights)
    assert not report.kept and not report.ignored
    for ours, theirs in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(ours), np.asarray(theirs))


@pytest.mark.parametrize("library", list(HEAD))
def test_a_preset_of_people_is_read_by_name(
    library, model, tmp_path, monkeypatch
):
    monkeypatch.setitem(presets.LIBRARIES, library, {"small": model.config})
    convert.export_weights_to(model, tmp_path / "weights.pth", library)
    made = models.KeypointRCNN.from_preset(
        f"{library}/small", weights=str(tmp_path / "weights.pth")
    )
    assert made.config.keypoint_names[16] == "right_ankle"
    assert made.config.category_ids == (1,)


def test_a_missing_layer_and_one_too_many_are_listed(model, tmp_path):
    path = tmp_path / "weights.pth"
    convert.export_weights_to(model, path, "torchvision")
    arrays = dict(readers.read(path))
    arrays["roi_heads.keypoint_head.1.weight"] = arrays.pop(
        "roi_heads.keypoint_head.0.weight"
    )
    writers.write(path, arrays)
    with pytest.raises(ValueError) as caught:
        convert.load_weights_from(model, path, "torchvision")
    assert "1 missing: roi_heads.keypoint_head.0.weight." in str(caught.value)
    assert "1 unexpected: roi_heads.keypoint_head.1.weight" in str(caught.value)


def test_other_people_keep_the_keypoints():
    config = small.KEYPOINT_RCNN
    assert convert.class_layers(config) == (
        "box_head/class_logits",
        "box_head/box_deltas",
    )


def transposed_convolution(features, kernel):
    """Return torch's ConvTranspose2d, stride 2, padding 1, by its definition.

    Args:
        features: [in, H, W].
        kernel: [in, out, 4, 4].
    """
    _, height, width = features.shape
    padded = np.zeros((kernel.shape[1], 2 * height + 2, 2 * width + 2))
    for y in range(height):
        for x in range(width):
            part = np.einsum("i,iokl->okl", features[:, y, x], kernel)
            padded[:, 2 * y : 2 * y + 4, 2 * x : 2 * x + 4] += part
    return padded[:, 1:-1, 1:-1]


def test_the_transposed_convolution_spreads_as_torch_s_does():
    random = np.random.default_rng(0)
    theirs = random.standard_normal((5, 3, 4, 4)).astype("float32")
    features = random.standard_normal((5, 2, 3)).astype("float32")
    head = keypoint_head.KeypointHead(3, depth=0)
    head.build((None, None, 2, 3, 5))
    kernel = convert.layouts.to_ours(theirs)
    head.keypoint_logits.set_weights([kernel, np.zeros(3)])
    maps = head.keypoint_logits(features.transpose(1, 2, 0)[None])
    expected = transposed_convolution(features, theirs).transpose(1, 2, 0)
    # 20 products of numbers around 1, in float32.
    np.testing.assert_allclose(np.asarray(maps)[0], expected, atol=2e-5)
