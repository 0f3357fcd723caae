"""Mask^X R-CNN: what the transfer is given, makes and learns from."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.config import BackboneConfig, MaskXRCNNConfig
from keras_fair.models import MaskXRCNN, build_model, mask_x_rcnn, roi
from tests.models import tiny

TRUTH = tiny.batch_with_masks()[1]
LABELS = np.array([[2, 0, 1], [1, 1, -1]], "int32")
BRANCHES = ["", "mlp", "pooled_mlp", "fcn"]


@pytest.fixture(scope="module")
def model():
    return tiny.mask_x_rcnn()


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    sides = {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}
    return {
        name: rng.normal(size=(2, *sides[name], 8)).astype("float32")
        for name in sides
    }


@pytest.fixture(scope="module")
def boxes():
    return np.tile(np.float32([[4, 6, 30, 36]]), (2, 3, 1))


@pytest.mark.parametrize("branch", BRANCHES)
def test_logits_are_features_times_transferred_rows(branch, features, boxes):
    model = tiny.mask_x_rcnn(agnostic_branch=branch)
    if branch:
        rng = np.random.default_rng(0)
        for weight in model.agnostic_branch.weights:
            weight.assign(rng.normal(size=weight.shape))

    def parts(features, boxes, labels):
        pixels = model.mask_head.features(model.pool(features, boxes, 14))
        rows = model.box_head.rows("class+box")
        return (
            pixels,
            model.transfer(rows),
            model.mask_logits(features, boxes, labels),
        )

    pixels, weights, found = tiny.runner(parts)(features, boxes, LABELS)
    weights = weights[np.maximum(LABELS, 0)]
    expected = np.einsum("brhwc,brc->brhw", pixels, weights)
    if branch == "fcn":
        kernel, bias = map(np.asarray, model.agnostic_branch.weights)
        expected = expected + (pixels @ kernel + bias)[..., 0]
    elif branch:
        if branch == "pooled_mlp":
            pixels = pixels.reshape(2, 3, 7, 4, 7, 4, 8).mean((3, 5))
        kernel, bias = map(np.asarray, model.agnostic_branch.weights)
        added = pixels.reshape(2, 3, -1) @ kernel + bias
        expected = expected + added.reshape(2, 3, 28, 28)
    assert found.shape == (2, 3, 28, 28) and found.dtype == "float32"
    # float32 sums of up to 6,272 products.
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("branch", "weights"),
    [("mlp", 157_352_720), ("pooled_mlp", 9_835_280), ("fcn", 257)],
)
def test_the_agnostic_branch_has_the_papers_number_of_weights(branch, weights):
    config = MaskXRCNNConfig(agnostic_branch=branch)
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        model = MaskXRCNN(config)
        found = {
            name: sum(int(np.prod(w.shape)) for w in part.weights)
            for name, part in (
                ("branch", model.agnostic_branch),
                ("transfer", model.transfer),
                ("all", model),
            )
        }
    keras.utils.clear_session()
    assert found["branch"] == weights
    assert found["transfer"] == 1_376_768
    if branch == "mlp":  # section 3.4: more than three times the rest
        assert weights > 3 * (found["all"] - weights)


def test_with_many_classes_only_those_of_the_rois_are_transferred(
    model, features, boxes, monkeypatch
):
    run = tiny.runner(lambda *values: model.mask_logits(*values))
    expected = run(features, boxes, LABELS)
    monkeypatch.setattr(mask_x_rcnn, "MOST_CLASSES_AT_ONCE", 1)
    asked = []
    rows = model.class_rows
    monkeypatch.setattr(
        model, "class_rows", lambda labels: asked.append(labels) or rows(labels)
    )
    run = tiny.runner(lambda *values: model.mask_logits(*values))
    found = run(features, boxes, LABELS)
    assert [tuple(labels.shape) for labels in asked] == [(6,)]
    # The same products, summed in another order.
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("kind", "size"), [("class", 16), ("box", 64)])
def test_the_transfer_may_see_one_of_the_two_layers(kind, size):
    model = tiny.mask_x_rcnn(transfer_input=kind)
    rows = tiny.runner(model.class_rows)(np.int32([2, 0]))
    assert rows.shape == (2, size)
    expected = np.asarray(model.box_head.rows(kind))[[2, 0]]
    np.testing.assert_array_equal(rows, expected)


def test_embeddings_of_the_classes_are_given_and_do_not_learn():
    model = tiny.mask_x_rcnn(transfer_input="embeddings", embedding_dim=100)
    variable = model.class_embeddings
    assert variable.shape == (3, 100)
    assert variable.path not in {v.path for v in model.trainable_variables}
    # 300 draws of deviation 0.1 know the length to 4 %, four times.
    lengths = np.linalg.norm(np.asarray(variable), axis=1)
    assert lengths.mean() == pytest.approx(1, rel=0.16)
    given = np.random.default_rng(0).normal(size=(3, 100)).astype("float32")
    variable.assign(given)
    rows = tiny.runner(model.class_rows)(np.int32([2, 0]))
    np.testing.assert_array_equal(rows, given[[2, 0]])


def mask_gradients(model, features, y) -> dict:
    """Return the mask loss' gradient in every trainable variable, by path."""
    rois = roi.ground_truth_rois(y)
    rois = roi.Rois(*(ops.convert_to_numpy(part) for part in rois))
    variables = model.trainable_variables

    def loss(values, features, rois, y):
        pairs = list(zip(variables, values))
        with keras.StatelessScope(state_mapping=pairs):
            return model.mask_loss(features, rois, y, training=True)

    values = [ops.convert_to_numpy(variable) for variable in variables]
    found = tiny.gradient_runner(loss)(values, features, rois, y)
    return {v.path.split("/", 1)[-1]: g for v, g in zip(variables, found)}


def learning(gradients: dict) -> set:
    """Return the parts of the model with a gradient that is not zero."""
    return {path.split("/")[0] for path, g in gradients.items() if g.any()}


def test_by_default_masks_do_not_train_the_detection_weights(model, features):
    found = mask_gradients(model, features, TRUTH)
    assert learning(found) == {"mask_head", "transfer"}
    assert all(g.any() for path, g in found.items() if "transfer" in path)


def test_without_stop_gradient_masks_train_the_rows_of_their_classes(features):
    model = tiny.mask_x_rcnn(stop_gradient=False)
    y = {**TRUTH, "has_mask": TRUTH["labels"] == 1}
    found = mask_gradients(model, features, y)
    assert learning(found) == {"mask_head", "transfer", "box_head"}
    kernel = found["box_head/class_logits/kernel"]  # [16, 3 + 1]
    assert kernel[:, 1].any()
    assert not kernel[:, [0, 2, 3]].any()  # the others and background
    kernel = found["box_head/box_deltas/kernel"].reshape(16, 3, 4)
    assert kernel[:, 1].any(0).all()
    assert not kernel[:, [0, 2]].any()
    # Section 3.1 leaves the biases out.
    assert not found["box_head/class_logits/bias"].any()


def test_the_gradients_in_the_transfer_are_those_of_differences(features):
    model = tiny.mask_x_rcnn()
    # As large as trained ones, so that the loss feels the transfer.
    for layer in (model.box_head.class_logits, model.box_head.box_deltas):
        layer.kernel.assign(30 * layer.kernel)
    rois = roi.ground_truth_rois(TRUTH)
    kernel = model.transfer.dense_layers[0].kernel
    gradient = mask_gradients(model, features, TRUTH)["transfer/dense_0/kernel"]
    expected = np.linalg.norm(gradient)
    start, losses = np.asarray(kernel), []
    for step in (0.005, -0.005):
        kernel.assign(start + step * gradient / expected)
        # Anew, as JAX compiles the weights in.
        run = tiny.runner(lambda *v: model.mask_loss(*v, training=True))
        losses.append(run(features, rois, TRUTH))
    kernel.assign(start)
    slope = (losses[0] - losses[1]) / 0.01
    # Of the bend of the loss over such a step, and its rounding to 1e-6.
    assert slope == pytest.approx(expected, rel=1e-2)


def test_one_class_s_masks_teach_how_to_segment_the_others(features):
    model = tiny.mask_x_rcnn()
    boxes, every = TRUTH["boxes"][:, [0, 0, 0]], np.int32([[0, 1, 2]] * 2)

    def masks():  # a runner anew, as JAX compiles the weights in
        run = tiny.runner(lambda *v: model.mask_logits(*v))
        return run(features, boxes, every)  # of each class in the same box

    before = masks()
    assert (before[:, 0] != before[:, 1]).any()  # a class has its own
    y = {**TRUTH, "has_mask": TRUTH["labels"] == 1}
    gradients = mask_gradients(model, features, y)
    for weight in model.transfer.weights:
        weight.assign(weight - gradients[weight.path.split("/", 1)[-1]])
    change = (masks() - before).reshape(2, 3, -1)
    lengths = np.linalg.norm(change, axis=-1, keepdims=True)
    assert lengths.min() > 0
    cosine = change / lengths @ np.swapaxes(change / lengths, 1, 2)
    # Without a transfer those of 0 and 2 would not have moved. The classes'
    # rows are small at the start: the biases, which they share, decide.
    assert cosine[:, 1].min() > 0.9


def test_a_frozen_detector_stays_as_it_is_while_masks_learn():
    detector = tiny.faster_rcnn(seed=1)
    model = tiny.mask_x_rcnn(seed=0, freeze_detector=True)
    model.copy_detector(detector)
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    x, y = tiny.batch_with_masks()
    before = [np.asarray(w) for w in model.transfer.weights]
    model.train_on_batch(x, y)
    for part in ("backbone", "pyramid", "rpn_head", "box_head"):
        for own, given in zip(
            getattr(model, part).weights,
            getattr(detector, part).weights,
            strict=True,
        ):
            np.testing.assert_array_equal(own, given)
    after = [np.asarray(w) for w in model.transfer.weights]
    assert all((a != b).any() for a, b in zip(before, after))
    parts = {v.path.split("/")[1] for v in model.trainable_variables}
    assert parts == {"mask_head", "transfer"}


def test_a_frozen_detector_keeps_the_statistics_of_its_norms():
    norms = {
        "backbone": BackboneConfig(
            name="resnet18", stem_filters=8, norm="batch", frozen_stages=0
        ),
        "pyramid": dataclasses.replace(
            tiny.mask_x_rcnn_config().pyramid, norm="batch"
        ),
        "box_head_convolutions": 1,
        "box_head_norm": "batch",
    }
    model = build_model(
        tiny.mask_x_rcnn_config(
            mask_norm="batch", freeze_detector=True, **norms
        )
    )
    model.compile(keras.optimizers.SGD(0.1), jit_compile=False)
    parts = ("backbone", "pyramid", "rpn_head", "box_head", "mask_head")
    weights = {name: getattr(model, name).weights for name in parts}
    before = keras.tree.map_structure(np.array, weights)
    model.train_on_batch(*tiny.batch_with_masks())
    after = keras.tree.map_structure(np.array, weights)
    for name in parts[:-1]:
        for old, new in zip(before[name], after[name], strict=True):
            np.testing.assert_array_equal(old, new)
    statistics = [w.name.startswith("moving") for w in weights["mask_head"]]
    assert any(statistics)
    for old, new in zip(before["mask_head"], after["mask_head"]):
        assert (old != new).any()
    decayed = [w for w in model.trainable_variables if w.name == "kernel"]
    # No L2 of what cannot learn; these are the kernels after the step.
    squares = sum(float(ops.sum(ops.square(w))) for w in decayed)
    assert {w.path.split("/")[1] for w in decayed} == {"mask_head", "transfer"}
    assert float(model.loss_trackers["l2_loss"].result()) == pytest.approx(
        0.5e-4 * squares, rel=1e-2
    )


def test_a_detector_of_other_classes_is_not_copied():
    detector = tiny.faster_rcnn(num_classes=5)
    with pytest.raises(ValueError, match="same box_head.*class_logits"):
        tiny.mask_x_rcnn().copy_detector(detector)


def test_saved_weights_are_the_same_when_read(model, tmp_path):
    model.save_to_preset(str(tmp_path))
    copy = tiny.mask_x_rcnn(seed=5)
    copy.load_weights(tmp_path / "model.weights.h5")
    for own, given in zip(copy.weights, model.weights, strict=True):
        np.testing.assert_array_equal(own, given)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"transfer_input": "glove"}, "transfer_input as one of 'class'"),
        ({"agnostic_branch": "big"}, "agnostic_branch as one of ''"),
        ({"masks": "agnostic"}, "masks as one of 'class'"),
        ({"mask_head": "mlp"}, "mask_head as one of 'fcn'"),
        ({"paste": "exact"}, "paste as one of 'sampled', 'integer'"),
        (
            {"agnostic_branch": "pooled_mlp", "mask_roi_size": 7},
            "even mask_roi_size",
        ),
        ({"class_agnostic_boxes": True}, 'Use "class"'),
    ],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        tiny.mask_x_rcnn(**changes)


def test_three_thousand_classes_train_and_are_predicted(monkeypatch):
    model = tiny.mask_x_rcnn(num_classes=3000, score_threshold=0.0)
    model.compile(keras.optimizers.SGD(1e-5))
    x, y = tiny.batch_with_masks()
    y["labels"] = np.where(y["labels"] < 0, -1, y["labels"] + 2990)
    y["labels"] = y["labels"].astype("int32")
    losses = model.train_on_batch(x, y, return_dict=True)
    assert np.isfinite(list(losses.values())).all()
    assert losses["mask_loss"] > 0
    found = model.predict_on_batch(x)
    contract.check_detections(found)
    assert found["num_detections"].tolist() == [100, 100]
    assert found["labels"].max() > mask_x_rcnn.MOST_CLASSES_AT_ONCE
    monkeypatch.setattr(mask_x_rcnn, "MOST_CLASSES_AT_ONCE", 3000)
    run = tiny.runner(lambda *values: model.predict_masks(*values))
    expected = run(x, found["boxes"], found["labels"])
    # The same products, summed in another order.
    np.testing.assert_allclose(found["masks"], expected, atol=1e-5)
    assert len(np.unique(np.round(expected[0, :, 14, 14], 6))) > 1
