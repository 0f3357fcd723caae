import pickle

import numpy as np
import pytest

from keras_fair import config
from keras_fair.checkpoints import convert, layouts
from keras_fair.models import backbones, retinanet

SMALL = config.RetinaNetConfig(
    num_classes=3,
    backbone=config.BackboneConfig(name="resnet18"),
    pyramid=config.PyramidConfig(filters=32),
    head_filters=32,
    head_depth=1,
)
TABLE = convert.torchvision.table(SMALL)
TORCH = convert.layouts.TORCH_VARIABLES
LOGITS = "head.classification_head.cls_logits.weight"


@pytest.fixture(scope="module")
def model():
    return retinanet.RetinaNet(SMALL)


def their_weights(model, table=TABLE, seed=0, variables=TORCH):
    """Random weights under the source's names, in its layout."""
    generator = np.random.default_rng(seed)
    return {
        convert.their_name(path, table, variables): generator.standard_normal(
            layouts.to_theirs(np.empty(weight.shape)).shape
        ).astype("float32")
        for path, weight in convert.weights_by_name(model).items()
    }


def write(tmp_path, arrays):
    path = tmp_path / "weights.pkl"
    path.write_bytes(pickle.dumps({"model": arrays}, 4))
    return path


def test_every_weight_is_loaded_in_our_layout(model, tmp_path):
    arrays = their_weights(model)
    path = write(tmp_path, arrays | {"bn1.num_batches_tracked": np.array(3)})
    report = convert.load_weights_from(model, path, "torchvision")
    weights = convert.weights_by_name(model)
    assert set(report.loaded) == set(weights) and not report.kept
    assert report.ignored == ("bn1.num_batches_tracked",)
    for name, weight in weights.items():
        theirs = arrays[convert.their_name(name, TABLE)]
        np.testing.assert_array_equal(
            layouts.to_theirs(np.asarray(weight)), theirs
        )


def test_every_mismatch_is_listed_and_nothing_is_loaded(model, tmp_path):
    arrays = their_weights(model, seed=1)
    del arrays["backbone.body.conv1.weight"]
    del arrays[LOGITS.replace("weight", "bias")]
    arrays[LOGITS] = arrays[LOGITS][:-1]
    arrays["backbone.extra"] = arrays["roi_heads.extra"] = np.zeros(1)
    before = [np.asarray(weight).copy() for weight in model.weights]
    with pytest.raises(ValueError) as caught:
        convert.load_weights_from(model, write(tmp_path, arrays), "torchvision")
    message = str(caught.value)
    assert "2 missing: backbone.body.conv1.weight, " in message
    assert "2 unexpected: backbone.extra, roi_heads.extra" in message
    assert (
        f"1 mismatched: {LOGITS} as head/class_logits/kernel: "
        "expected (3, 3, 32, 27), found (3, 3, 32, 26)"
    ) in message
    for old, weight in zip(before, model.weights):
        np.testing.assert_array_equal(np.asarray(weight), old)


def test_layers_to_keep_stay_and_are_reported(model, tmp_path):
    arrays = their_weights(model, seed=2)
    arrays[LOGITS] = np.zeros((9 * 7, 32, 3, 3), "f4")  # of seven classes
    weight = convert.weights_by_name(model)["head/class_logits/kernel"]
    before = np.asarray(weight).copy()
    keep = convert.class_layers(SMALL)
    report = convert.load_weights_from(
        model, write(tmp_path, arrays), "torchvision", keep=keep
    )
    assert report.kept == ("head/class_logits/kernel", "head/class_logits/bias")
    np.testing.assert_array_equal(np.asarray(weight), before)


@pytest.mark.parametrize("source", list(convert.SOURCES))
def test_a_backbone_is_loaded_without_the_classifier(source, tmp_path):
    backbone = backbones.build_backbone(SMALL.backbone)
    library = convert.SOURCES[source]
    arrays = their_weights(
        backbone, library.backbone_table(), variables=library.VARIABLES
    )
    classifier = {"fc.weight": np.zeros((5, 4)), "fc.bias": np.zeros(5)}
    if library is convert.detectron:
        classifier = {"fc1000_w": np.zeros((5, 4)), "fc1000_b": np.zeros(5)}
    path = write(tmp_path, arrays | classifier)
    report = convert.load_backbone_weights_from(backbone, path, source)
    assert set(report.ignored) == set(classifier)
    assert len(report.loaded) == len(backbone.weights)


def test_an_unknown_source_is_refused(model):
    with pytest.raises(
        ValueError, match="one of torchvision, detectron2, detectron"
    ):
        convert.load_weights_from(model, "file", "elsewhere")


def test_a_weight_without_a_row_is_refused():
    with pytest.raises(ValueError, match="no counterpart of the weight 'x/ker"):
        convert.their_name("x/kernel", TABLE)
