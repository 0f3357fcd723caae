"""Proposals and the losses of the first stage."""

import functools

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.config import ProposalConfig
from keras_fair.models import RPN
from keras_fair.models import rpn as rpn_ops
from keras_fair.ops import anchors
from tests import reference, shared
from tests.models import tiny

LEVELS = ("P2", "P3", "P4", "P5", "P6")


def golden_config(**changes) -> ProposalConfig:
    """Return the counts with which torchvision made the golden values."""
    values = {
        "candidates_per_level_training": 200,
        "candidates_per_level": 100,
        "max_proposals_training": 120,
        "max_proposals": 60,
        "num_samples": 32768,  # more than there are anchors
    }
    return ProposalConfig(**{**values, **changes})


@pytest.fixture(scope="module")
def golden():
    return shared.fixture("ops_rpn.npz")


@pytest.fixture(scope="module")
def head(golden):
    """torchvision's objectness, deltas, anchors and image shapes."""
    objectness, deltas, grid = {}, {}, {}
    height, width = golden["padded"]
    for number, name in enumerate(LEVELS):
        logits = golden[f"in_obj{number}"]  # [2, 3, rows, columns]
        rows, columns = logits.shape[2:]
        objectness[name] = logits.transpose(0, 2, 3, 1).reshape(2, -1)
        level = golden[f"in_delta{number}"].reshape(2, 3, 4, rows, columns)
        level = level.transpose(0, 3, 4, 1, 2)
        deltas[name] = level.reshape(2, -1, 4)
        grid[name] = anchors.pyramid_anchors(
            [(rows, columns)],
            [(height // rows, width // columns)],  # torchvision's strides
            [(float(golden["anchor_sizes"][number]),)],
            (0.5, 1.0, 2.0),
            cell=anchors.rounded_cell_anchors,
        )
    return objectness, deltas, grid, golden["image_sizes"].astype("int32")


@pytest.fixture(scope="module")
def truth(golden):
    boxes = np.zeros((2, 3, 4), "float32")
    boxes[0, :2], boxes[1, :1] = golden["in_gt0"], golden["in_gt1"]
    labels = np.array([[0, 0, -1], [0, -1, -1]], "int32")
    return {"boxes": boxes, "labels": labels}


@functools.cache
def propose_runner(config, training):
    return tiny.runner(
        lambda *values: rpn_ops.propose(*values, config, training)
    )


def propose(head, config, training=False):
    return propose_runner(config, training)(*head)


@functools.cache
def loss_runner(config):
    return tiny.runner(
        lambda *values: rpn_ops.rpn_losses(*values, config, seed=0)
    )


def losses_of(objectness, deltas, grid, y, config):
    return loss_runner(config)(objectness, deltas, grid, y)


@pytest.fixture(scope="module")
def proposals(head):
    return propose(head, golden_config())


def test_proposals_are_torchvisions_box_for_box(golden, proposals):
    assert proposals.valid.all()
    for image in range(2):
        # A few roundings of coordinates up to 96.
        np.testing.assert_allclose(
            proposals.boxes[image],
            golden[f"eval_proposals{image}"],
            atol=1e-4,
        )


def test_proposals_descend_and_stay_in_their_image(golden, proposals):
    assert (np.diff(proposals.logits, axis=1) <= 0).all()
    assert proposals.boxes.min() >= 0
    for image, (height, width) in enumerate(golden["image_sizes"]):
        assert (proposals.boxes[image, :, 2] <= width).all()
        assert (proposals.boxes[image, :, 3] <= height).all()
    sides = proposals.boxes[..., 2:] - proposals.boxes[..., :2]
    assert (sides > 0).all()


def test_training_has_its_own_counts(golden, head):
    found = propose(head, golden_config(), training=True)
    assert found.boxes.shape == (2, 120, 4)
    assert found.valid.sum(1).tolist() == golden["train_n"].tolist()


def test_what_is_missing_is_padding(head):
    objectness, deltas, grid, image_shape = head
    box = np.float32([20, 20, 29, 29])
    same = {name: 0 * grid[name] + box for name in LEVELS}
    still = {name: 0 * deltas[name] for name in LEVELS}
    for name in LEVELS:
        still[name][1, ..., 0] = -1000.0  # left of the second image
    found = propose((objectness, still, same, image_shape), golden_config())
    # Of equal boxes, NMS leaves one a level.
    assert found.valid.sum(1).tolist() == [5, 0]
    assert found.valid[0, :5].all()
    np.testing.assert_array_equal(found.boxes[0, :5], [box] * 5)
    assert not found.boxes[~found.valid].any()
    assert not found.logits[~found.valid].any()


def test_proposals_with_a_short_side_are_dropped_before_suppression(head):
    found = propose(head, golden_config(min_side=12.0))
    sides = found.boxes[..., 2:] - found.boxes[..., :2]
    assert found.valid.any(1).all()
    assert sides[found.valid].min() >= 12.0


def test_no_gradient_flows_through_proposals(head):
    objectness, deltas, grid, image_shape = head

    def total(logits_and_deltas, grid, image_shape):
        found = rpn_ops.propose(
            *logits_and_deltas, grid, image_shape, golden_config(), True
        )
        return ops.sum(found.boxes) + ops.sum(found.logits)

    gradients = tiny.gradient_runner(total)(
        (objectness, deltas), grid, image_shape
    )
    assert not any(g.any() for g in keras.tree.flatten(gradients))


def sampled_anchors(grid, y) -> int:
    """Count the anchors of both images that are not between thresholds."""
    grid, count = np.concatenate(list(grid.values())), 0
    for boxes, labels in zip(y["boxes"], y["labels"]):
        overlaps = reference.pairwise_iou(grid, boxes)
        _, label = reference.match(overlaps, labels >= 0, 0.7, 0.3, True)
        count += (label >= 0).sum()
    return count


@pytest.mark.parametrize("normalizer", ["num_samples", "sampled"])
def test_losses_are_torchvisions(golden, head, truth, normalizer):
    objectness, deltas, grid, _ = head
    config = golden_config(normalizer=normalizer)
    found = losses_of(objectness, deltas, grid, truth, config)
    factor = 1.0
    if normalizer == "num_samples":
        # torchvision divides by the anchors that it found, Detectron by those
        # that were asked for.
        factor = config.num_samples * 2 / sampled_anchors(grid, truth)
    assert {name: value * factor for name, value in found.items()} == {
        "rpn_class_loss": pytest.approx(golden["loss_objectness"], rel=1e-5),
        "rpn_box_loss": pytest.approx(golden["loss_rpn_box_reg"], rel=1e-5),
    }


def test_as_many_anchors_learn_as_are_asked_for(head, truth):
    objectness, deltas, grid, _ = head
    config = golden_config(num_samples=64)

    def total(logits_and_deltas, grid, y):
        terms = rpn_ops.rpn_losses(*logits_and_deltas, grid, y, config, seed=0)
        return ops.sum(ops.stack(list(terms.values())))

    logits, deltas = tiny.gradient_runner(total)(
        (objectness, deltas), grid, truth
    )
    logits = np.concatenate(list(logits.values()), axis=1)
    deltas = np.concatenate(list(deltas.values()), axis=1)
    assert (logits != 0).sum(1).tolist() == [64, 64]
    # The gradient of a positive is p - 1: only positives learn boxes.
    np.testing.assert_array_equal(deltas.any(-1), logits < 0)
    assert (logits < 0).any(1).all()


def test_without_objects_all_is_background(head, truth):
    objectness, deltas, grid, _ = head
    nothing = {"boxes": 0 * truth["boxes"], "labels": 0 * truth["labels"] - 1}
    found = losses_of(objectness, deltas, grid, nothing, golden_config())
    assert found["rpn_box_loss"] == 0
    logits = np.concatenate(list(objectness.values()), axis=1)
    expected = reference.sigmoid_cross_entropy(0, logits).sum() / 65536
    assert found["rpn_class_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.fixture(scope="module")
def model():
    return tiny.rpn()


def test_detections_are_proposals_of_label_0(model):
    x, _ = tiny.batch()
    found = tiny.runner(lambda x: model.detections(model(x)))(x)
    contract.check_detections(found)
    assert found["boxes"].shape == (2, 20, 4)
    assert found["num_detections"].tolist() == [20, 20]
    assert not found["labels"].any()
    # Objectness starts near 0, which is one half.
    assert found["scores"] == pytest.approx(np.full((2, 20), 0.5), abs=0.2)


def test_the_model_trains_on_a_batch_with_and_without_objects(model):
    names = (*model.loss_names, "l2_loss")

    def losses(x, y):
        outputs = model(x, training=True)
        assert "boxes" not in outputs  # nobody needs them while training
        total = model.compute_loss(x, y, outputs)
        return total, [model.loss_trackers[name].result() for name in names]

    run = tiny.runner(losses)
    for empty in (False, True):
        total, terms = run(*tiny.batch(empty=empty))
        assert np.isfinite(terms).all()
        assert total == pytest.approx(sum(terms), rel=1e-5)
        assert (terms[1] == 0) == empty


def test_a_saved_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(read, RPN)
    assert read.config == model.config
    for found, expected in zip(
        read.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_anchors_for_another_number_of_levels_are_refused():
    proposals = tiny.proposals(anchor_sizes=((8.0,), (16.0,)))
    with pytest.raises(ValueError, match="anchor_sizes for each of P2.*P6"):
        RPN(tiny.rpn_config(proposals=proposals), tiny.backbone())


def test_an_unknown_normalizer_is_refused():
    proposals = tiny.proposals(normalizer="batch")
    with pytest.raises(ValueError, match="normalizer as one of 'num_samples'"):
        RPN(tiny.rpn_config(proposals=proposals), tiny.backbone())
