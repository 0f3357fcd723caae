"""Faster R-CNN: its losses, detections and what has no gradient."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.models import FasterRCNN, roi
from keras_fair.models import rpn as rpn_ops
from tests import reference
from tests.models import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.faster_rcnn()


def loss_runner(model):
    """Return a runner from x and y to the total and the tracked terms."""

    def losses(x, y):
        outputs = model(x, training=True)
        assert "boxes" not in outputs  # nobody needs them while training
        total = model.compute_loss(x, y, outputs)
        trackers = model.loss_trackers.items()
        return total, {name: mean.result() for name, mean in trackers}

    return tiny.runner(losses)


@pytest.fixture(scope="module")
def losses_of(model):
    return loss_runner(model)


@pytest.fixture(scope="module")
def detected(model):
    x, _ = tiny.batch()
    return x, tiny.runner(model)(x)


def test_the_total_is_the_sum_of_the_terms(losses_of):
    total, terms = losses_of(*tiny.batch())
    assert sorted(terms) == [
        "box_loss",
        "class_loss",
        "l2_loss",
        "rpn_box_loss",
        "rpn_class_loss",
    ]
    assert all(np.isfinite(term) and term > 0 for term in terms.values())
    assert total == pytest.approx(sum(terms.values()), rel=1e-5)


def test_batches_without_objects_train_background(losses_of):
    total, terms = losses_of(*tiny.batch(empty=True))
    assert np.isfinite(total)
    assert terms["rpn_box_loss"] == terms["box_loss"] == 0
    assert terms["rpn_class_loss"] > 0 and terms["class_loss"] > 0


def test_detections_obey_the_contract_and_stay_in_the_image(model, detected):
    x, outputs = detected
    found = model.detections(outputs)
    contract.check_detections(found)
    assert sorted(found) == sorted(contract.DETECTION_KEYS)
    assert found["boxes"].shape == (2, 100, 4)
    assert found["num_detections"].min() > 0
    height, width = x["image_shape"][-1]
    assert found["boxes"][-1, :, 2].max() <= width
    assert found["boxes"][-1, :, 3].max() <= height


def test_detections_are_of_the_pooled_proposals(model, detected):
    """The second stage, called part by part."""
    x, outputs = detected

    def second_stage(features, proposals, image_shape):
        pooled = model.pool(features, proposals["boxes"], 7)
        logits, deltas = model.box_head(pooled)
        proposals = rpn_ops.Proposals(**proposals)
        return roi.detect(proposals, logits, deltas, image_shape, model.config)

    found = tiny.runner(second_stage)(
        outputs["features"], outputs["proposals"], x["image_shape"]
    )
    assert outputs["proposals"]["boxes"].shape == (2, 20, 4)
    np.testing.assert_array_equal(found["labels"], outputs["labels"])
    np.testing.assert_allclose(found["boxes"], outputs["boxes"], atol=1e-3)


def test_rois_are_pooled_up_to_their_largest_level(model):
    rng = np.random.default_rng(0)
    sides = {"P2": 16, "P3": 8, "P4": 4, "P5": 2, "P6": 1}
    features = {
        name: rng.normal(size=(1, side, side, 8)).astype("float32")
        for name, side in sides.items()
    }
    boxes = np.array([[[0, 0, 10, 10], [0, 0, 2000, 2000]]], "float32")
    pool = tiny.runner(lambda *values: model.pool(*values, 7))
    before = pool(features, boxes)
    features["P6"] += 1.0
    np.testing.assert_array_equal(pool(features, boxes), before)
    features["P5"] += 1.0
    after = pool(features, boxes)
    np.testing.assert_array_equal(after[0, 0], before[0, 0])
    assert (after[0, 1] != before[0, 1]).any()


def test_exactly_nothing_flows_into_roi_coordinates(model, detected):
    x, outputs = detected
    _, y = tiny.batch()
    # So that proposals, not only objects, are positive and learn boxes.
    generous = tiny.faster_rcnn_config(positive_iou=0.05, num_samples=256)

    def second_stage(rpn_and_features, anchors, image_shape, y):
        objectness, deltas, features = rpn_and_features
        proposals = rpn_ops.propose(
            objectness,
            deltas,
            anchors,
            image_shape,
            model.config.proposals,
            training=True,
        )
        rois = roi.sample_rois(proposals, y, generous, seed=0)
        terms = model.roi_losses(features, rois, y, training=True)
        return terms["class_loss"] + terms["box_loss"]

    names = ("objectness", "rpn_deltas", "features")
    objectness, deltas, features = tiny.gradient_runner(second_stage)(
        tuple(outputs[name] for name in names),
        outputs["anchors"],
        x["image_shape"],
        y,
    )
    for name in outputs["anchors"]:
        assert not objectness[name].any()
        assert not deltas[name].any()
    assert features["P2"].any()  # while the features learn


def test_pooling_has_no_gradient_in_its_boxes(model, detected):
    def total(boxes, features):
        return ops.sum(ops.square(model.pool(features, boxes, 7)))

    _, outputs = detected
    gradient = tiny.gradient_runner(total)(
        outputs["proposals"]["boxes"], outputs["features"]
    )
    assert gradient.shape == (2, 20, 4)
    assert not gradient.any()


def test_only_the_hardest_rois_learn_in_a_step():
    # Section 4.3 of OHEM. Four proposals and one object, apart from each
    # other: each has its own cells of P2.
    model = tiny.faster_rcnn(hard_examples=2)
    proposals = np.zeros((1, 4, 4), "float32")
    proposals[..., :2] = [[0, 0], [32, 0], [64, 0], [0, 32]]
    proposals[..., 2:] = proposals[..., :2] + 16
    y = {
        "boxes": np.float32([[[64, 36, 80, 52]]]),
        "labels": np.int32([[1]]),
    }
    sides = {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}
    rng = np.random.default_rng(0)
    features = {
        name: (9 * rng.normal(size=(1, *side, 8))).astype("float32")
        for name, side in sides.items()
    }
    rest = {
        "objectness": {"P2": np.zeros((1, 1), "float32")},
        "rpn_deltas": {"P2": np.zeros((1, 1, 4), "float32")},
        "anchors": {"P2": np.float32([[0, 0, 8, 8]])},
        "proposals": {
            "boxes": proposals,
            "logits": np.zeros((1, 4), "float32"),
            "valid": np.ones((1, 4), bool),
        },
    }

    def loss(features, rest, y):
        return model.compute_loss(None, y, {"features": features, **rest})

    gradient = tiny.gradient_runner(loss)(features, rest, y)["P2"]
    rois = np.concatenate([y["boxes"], proposals], axis=1)
    logits, deltas = tiny.runner(
        lambda *values: model.box_head(model.pool(*values, 7))
    )(features, rois)
    labels = [1, 3, 3, 3, 3]
    hardness = reference.softmax_cross_entropy(labels, logits[0])
    beta = model.config.box_loss_beta
    hardness[0] += reference.smooth_l1_loss(0, deltas[0, 0, 1], beta).sum()
    hardest = set(np.argsort(hardness)[-2:].tolist())
    learns = set()
    for row, (x1, y1, x2, y2) in enumerate(rois[0].astype(int) // 4):
        if gradient[0, y1:y2, x1:x2].any():
            learns.add(row)
    assert learns == hardest


def test_variants_of_the_box_head_learn():
    # torchvision's second version with class-agnostic boxes and GIoU.
    model = tiny.faster_rcnn(
        box_head_convolutions=4,
        box_head_norm="batch",
        box_head_units=(16,),
        class_agnostic_boxes=True,
        box_loss="giou",
    )
    x, y = tiny.batch()
    _, terms = loss_runner(model)(x, y)
    assert all(np.isfinite(term) and term > 0 for term in terms.values())
    assert terms["box_loss"] < 2.0  # the largest GIoU loss
    found = model.box_head.compute_output_spec(
        keras.KerasTensor((None, None, 7, 7, 8))
    )
    assert [output.shape for output in found] == [
        (None, None, 4),
        (None, None, 1, 4),
    ]


def test_a_saved_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(read, FasterRCNN)
    assert read.config == model.config
    for found, expected in zip(
        read.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("level", [1, 7])
def test_rois_of_a_level_that_is_not_there_are_refused(level):
    with pytest.raises(ValueError, match="roi_max_level within P2 to P6"):
        tiny.faster_rcnn(roi_max_level=level)


def test_an_unknown_box_loss_is_refused():
    with pytest.raises(
        ValueError, match="box_loss as one of 'smooth_l1', 'giou'"
    ):
        tiny.faster_rcnn(box_loss="l2")


def test_anchors_for_another_number_of_levels_are_refused():
    proposals = tiny.proposals(anchor_sizes=((8.0,), (16.0,)))
    with pytest.raises(ValueError, match="anchor_sizes for each of P2.*P6"):
        tiny.faster_rcnn(proposals=proposals)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        # Two samples a bin, at a quarter and three of each cell, on a square
        # of cells: its mean is that of linear pieces.
        ({"roi_aligned": False}, [1.5, 2.5]),
        ({"roi_aligned": True}, [1.0, 2.0]),
    ],
)
def test_rois_are_moved_by_half_a_cell_where_aligned(changes, expected):
    model = tiny.faster_rcnn(**changes)
    ramp = np.arange(24, dtype="f4")[None, None, :, None]
    features = {
        f"P{level}": np.broadcast_to(ramp, (1, 16, 24, 8))
        for level in range(2, 6)
    }
    pooled = tiny.runner(lambda *values: model.pool(*values, 7))(
        features, np.float32([[[4, 4, 32, 32]]])
    )
    np.testing.assert_allclose(pooled[0, 0, 0, :2, 0], expected, rtol=1e-6)


def test_trimmed_rois_end_earlier_on_the_level_of_the_whole():
    model = tiny.faster_rcnn(roi_trim=1.0)
    features = {
        f"P{level}": np.full((1, 64 >> level, 96 >> level, 8), level, "f4")
        for level in range(2, 6)
    }
    ramp = np.arange(24, dtype="f4")[None, None, :, None]
    features["P2"] = np.broadcast_to(ramp, (1, 16, 24, 8))
    boxes = np.float32([[[8, 8, 37, 37], [0, 0, 112, 112]]])
    pooled = tiny.runner(lambda *values: model.pool(*values, 7))(
        features, boxes
    )
    # 28 pixels are left, 7 cells of P2; the ramp's value is the cell's index
    # at its centre.
    np.testing.assert_allclose(
        pooled[0, 0, 0, :, 0], 8 / 4 + np.arange(7), rtol=1e-6
    )
    # 111 pixels would be pooled from P2.
    assert pooled[0, 1, 0, 0, 0] == pytest.approx(3)
