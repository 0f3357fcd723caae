"""Which RoIs learn what, the second stage's losses, and detections."""

import functools

import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.models import roi
from keras_fair.models.rpn import Proposals
from keras_fair.ops import nms
from tests import modes, reference, shared
from tests.models import tiny

BACKGROUND = 3


def config(**changes):
    return tiny.faster_rcnn_config(**changes)


def truth():
    """Three objects, one object, none."""
    boxes = np.zeros((3, 4, 4), "float32")
    boxes[0, :3] = [[10, 10, 40, 40], [50, 10, 90, 30], [20, 40, 60, 62]]
    boxes[1, 2] = [30, 20, 70, 50]  # padding may come first
    labels = np.full((3, 4), -1, "int32")
    labels[0, :3], labels[1, 2] = [2, 0, 1], 1
    return {"boxes": boxes, "labels": labels}


def random_proposals(y, count=60):
    """Return boxes near objects and anywhere, the last ten of them padding."""
    rng = np.random.default_rng(0)
    boxes = np.stack([reference.random_boxes(rng, count) for _ in range(3)])
    for image in range(2):
        objects = y["boxes"][image][y["labels"][image] >= 0]
        near = objects[rng.integers(0, len(objects), 20)]
        boxes[image, :20] = near + rng.normal(0, 2, (20, 4))
    boxes[:, -10:] = 0
    valid = np.broadcast_to(np.arange(count) < count - 10, (3, count))
    return Proposals(boxes, 0.1 * boxes[..., 0], valid)


def matched(proposals, y):
    """Return boxes, gt_index and label (K background, -1 none) with loops."""
    found = []
    for image in range(len(y["labels"])):
        is_object = y["labels"][image] >= 0
        boxes = np.concatenate([y["boxes"][image], proposals.boxes[image]])
        overlaps = reference.pairwise_iou(boxes, y["boxes"][image])
        index, label = reference.match(overlaps, is_object, 0.5, 0.5, False)
        label = np.where(label == 1, y["labels"][image][index], BACKGROUND)
        valid = np.concatenate([is_object, proposals.valid[image]])
        found.append((boxes, index, np.where(valid, label, -1)))
    return found


def sample(proposals, y, config):
    return tiny.runner(
        lambda *values: roi.sample_rois(*values, config, seed=0)
    )(proposals, y)


def test_everything_is_drawn_where_it_fits():
    y = truth()
    proposals = random_proposals(y)
    everything = config(num_samples=256)
    rois = sample(proposals, y, everything)
    assert rois.boxes.shape == (3, 64, 4)  # 4 slots and 60 proposals
    for image, (boxes, index, label) in enumerate(matched(proposals, y)):
        # Positives first, then background, then what does not exist.
        rank = np.where(label == BACKGROUND, 1, np.where(label < 0, 2, 0))
        order = np.argsort(rank, kind="stable")
        np.testing.assert_array_equal(rois.boxes[image], boxes[order])
        np.testing.assert_array_equal(rois.labels[image], label[order])
        np.testing.assert_array_equal(rois.positive[image], rank[order] == 0)
        positive = rois.positive[image]
        np.testing.assert_array_equal(
            rois.gt_index[image][positive], index[order][positive]
        )


@pytest.fixture(scope="module")
def sampled():
    y = truth()
    proposals = random_proposals(y)
    return proposals, y, sample(proposals, y, config(num_samples=16))


def test_a_quarter_is_positive_and_background_fills_the_rest(sampled):
    _, _, rois = sampled
    assert rois.labels.shape == (3, 16)
    assert rois.positive.sum(1).tolist() == [4, 4, 0]
    assert (rois.labels == BACKGROUND).sum(1).tolist() == [12, 12, 16]


def test_positives_come_first_and_are_of_their_object(sampled):
    _, y, rois = sampled
    assert rois.positive[:2, :4].all()
    for image in range(2):
        for row in range(4):
            index = rois.gt_index[image, row]
            assert rois.labels[image, row] == y["labels"][image, index]
            overlap = reference.iou(
                rois.boxes[image, row], y["boxes"][image, index]
            )
            assert overlap >= 0.5


def test_every_roi_is_a_different_proposal_or_object(sampled):
    proposals, y, rois = sampled
    for image in range(3):
        drawn = {tuple(box) for box in rois.boxes[image].tolist()}
        given = [*proposals.boxes[image, :-10], *y["boxes"][image]]
        assert len(drawn) == 16
        assert drawn <= {tuple(box.tolist()) for box in given}


def test_ground_truth_is_positive_without_any_proposal():
    y = truth()
    nothing = Proposals(
        np.zeros((3, 2, 4), "float32"),
        np.zeros((3, 2), "float32"),
        np.zeros((3, 2), bool),
    )
    rois = sample(nothing, y, config())
    assert rois.positive.sum(1).tolist() == [3, 1, 0]
    np.testing.assert_array_equal(rois.boxes[0, :3], y["boxes"][0, :3])
    assert rois.labels[0].tolist() == [2, 0, 1, -1, -1, -1]
    assert rois.labels[2].tolist() == [-1] * 6


@modes.only_tensorflow
@pytest.mark.parametrize("mode", ["graph", "xla"])
@pytest.mark.parametrize("num_samples", [16, 256])
def test_as_many_rois_whatever_number_of_objects(mode, num_samples):
    import tensorflow as tf

    y = truth()
    proposals = random_proposals(y)
    settings = config(num_samples=num_samples)

    def run(boxes, labels):
        y = {"boxes": boxes, "labels": labels}
        return roi.sample_rois(proposals, y, settings, seed=0)

    signature = [
        tf.TensorSpec((3, None, 4), tf.float32),
        tf.TensorSpec((3, None), tf.int32),
    ]
    run = tf.function(
        run,
        input_signature=signature,
        autograph=False,
        jit_compile=mode == "xla",
    )
    concrete = run.get_concrete_function()
    assert concrete.structured_outputs.labels.shape == (3, num_samples)
    for slots in (1, 4):
        few = {key: value[:, :slots] for key, value in y.items()}
        found = run(few["boxes"], few["labels"])
        expected = sample(proposals, few, settings)
        positive = found.positive.numpy()
        np.testing.assert_array_equal(positive.sum(1), expected.positive.sum(1))
        if num_samples == 256:  # everything, so nothing is random
            count = 60 + slots
            for part, other in zip(found, expected):
                np.testing.assert_array_equal(part[:, :count], other)
            assert (found.labels[:, count:].numpy() == -1).all()


@functools.cache
def loss_runner(config):
    return tiny.runner(lambda *values: roi.box_losses(*values, config))


def losses_of(rois, logits, deltas, y, config):
    return loss_runner(config)(rois, logits, deltas, y)


def gradients_of(rois, logits, deltas, y, config):
    """Return the gradients of both losses in logits and deltas."""

    def total(logits_and_deltas, rois, y):
        terms = roi.box_losses(rois, *logits_and_deltas, y, config)
        return terms["class_loss"] + terms["box_loss"]

    return tiny.gradient_runner(total)((logits, deltas), rois, y)


def fast_rcnn_golden():
    """Return torchvision's inputs in our order, in two images of twelve.

    There background is class 0 and regression targets are given; here it is
    the last class and the objects are boxes, so they are decoded first.
    """
    golden = shared.fixture("ops_losses.npz")
    logits = np.roll(golden["in_fr_logits"], -1, axis=1)
    deltas = golden["in_fr_reg"].reshape(24, 6, 4)[:, 1:]
    labels = (golden["in_fr_labels"] - 1) % 6  # 0 becomes 5
    rng = np.random.default_rng(0)
    boxes = reference.random_boxes(rng, 24) + np.float32([0, 0, 9, 9])
    objects = [
        reference.decode_box(delta, box, (10, 10, 5, 5))
        for delta, box in zip(golden["in_fr_targets"], boxes)
    ]
    rois = roi.Rois(
        boxes.reshape(2, 12, 4),
        labels.reshape(2, 12).astype("int32"),
        np.tile(np.arange(12, dtype="int32"), (2, 1)),
        labels.reshape(2, 12) < 5,
    )
    objects = np.array(objects, "float32").reshape(2, 12, 4)
    y = {"boxes": objects, "labels": rois.labels}
    values = (logits.reshape(2, 12, 6), deltas.reshape(2, 12, 5, 4))
    return golden, (rois, *values, y)


def test_losses_and_gradients_are_torchvisions():
    golden, values = fast_rcnn_golden()
    settings = config(num_classes=5, box_loss_beta=1 / 9)
    found = losses_of(*values, settings)
    # The targets are decoded and encoded again: 1e-5 of them is lost.
    assert found["class_loss"] == pytest.approx(golden["fr_cls"], rel=1e-5)
    assert found["box_loss"] == pytest.approx(golden["fr_box"], rel=1e-5)

    logits, deltas = gradients_of(*values, settings)
    np.testing.assert_allclose(
        logits.reshape(24, 6),
        np.roll(golden["fr_cls_grad"], -1, axis=1),
        atol=1e-7,  # of values up to 1 / 24
    )
    expected = golden["fr_box_grad"].reshape(24, 6, 4)[:, 1:]
    np.testing.assert_allclose(deltas.reshape(24, 5, 4), expected, atol=2e-6)


def paper_losses(rois, logits, deltas, y, settings):
    """Return each RoI's class loss and box loss, with loops."""
    class_loss = np.zeros(rois.labels.shape)
    box_loss = np.zeros(rois.labels.shape)
    for image, row in np.ndindex(rois.labels.shape):
        label = rois.labels[image, row]
        class_loss[image, row] = reference.softmax_cross_entropy(
            [label], logits[image, row][None]
        )[0]
        if not rois.positive[image, row]:
            continue
        own = deltas[image, row, label if deltas.shape[2] > 1 else 0]
        box = y["boxes"][image, rois.gt_index[image, row]]
        anchor = rois.boxes[image, row]
        weights = settings.box_weights
        if settings.box_loss == "giou":
            decoded = reference.decode_box(own, anchor, weights)
            box_loss[image, row] = reference.giou_loss(box, decoded)
        else:
            wanted = reference.encode_box(box, anchor, weights)
            beta = settings.box_loss_beta
            box_loss[image, row] = reference.smooth_l1_loss(
                wanted, own, beta
            ).sum()
    return class_loss, box_loss


def predictions(boxes: int):
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 2, (3, 16, 4)).astype("float32")
    return logits, rng.normal(0, 1, (3, 16, boxes, 4)).astype("float32")


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"class_agnostic_boxes": True},
        {"box_loss": "giou"},
        {"box_loss_beta": 0.0},
    ],
    ids=["smooth_l1", "agnostic", "giou", "l1"],
)
def test_losses_are_averages_over_the_rois(sampled, changes):
    _, y, rois = sampled
    labels = rois.labels.copy()
    labels[1, 14:] = -1  # two RoIs fewer
    rois = rois._replace(labels=labels)
    settings = config(**changes)
    values = predictions(1 if settings.class_agnostic_boxes else 3)
    class_loss, box_loss = paper_losses(rois, *values, y, settings)
    found = losses_of(rois, *values, y, settings)
    # 46 RoIs; a sum of float32 terms of one size.
    assert found["class_loss"] == pytest.approx(class_loss.sum() / 46, rel=1e-5)
    assert found["box_loss"] == pytest.approx(box_loss.sum() / 46, rel=1e-5)


def test_a_batch_without_rois_has_no_loss(sampled):
    _, y, rois = sampled
    none = rois._replace(labels=rois.labels * 0 - 1, positive=rois.labels < -1)
    found = losses_of(none, *predictions(3), y, config())
    assert found == {"class_loss": 0.0, "box_loss": 0.0}


def hard_rois(rois):
    """Give the RoIs apart from the first two of an image their own place."""
    place = np.arange(16)
    left, top = 20 * (place % 4), 15 * (place // 4)
    boxes = np.stack([left, top, left + 18, top + 14], -1).astype("float32")
    boxes[1] = boxes[0] + np.float32([0, 0, 1, 0])  # IoU 18 / 19
    return rois._replace(boxes=np.stack([boxes] * 3))


def test_hard_examples_are_those_of_largest_loss(sampled):
    _, y, rois = sampled
    rois = hard_rois(rois)
    settings = config(hard_examples=5)
    logits, deltas = predictions(3)
    # The first two overlap. Both are wrong; the first is more so.
    for row, wrong_logit in enumerate((99.0, 8.0)):
        wrong = (rois.labels[:, row] + 1) % 4
        logits[:, row] = wrong_logit * np.eye(4)[wrong]
        deltas[:, row] = 0.0
    class_loss, box_loss = paper_losses(rois, logits, deltas, y, settings)
    loss = class_loss + box_loss
    kept = np.zeros(loss.shape, bool)
    for image in range(3):
        hard = reference.nms(rois.boxes[image], loss[image], 0.7, 5)
        kept[image, hard] = True
    assert kept[:, 0].all() and not kept[:, 1].any()

    found = losses_of(rois, logits, deltas, y, settings)
    assert found["class_loss"] == pytest.approx(
        class_loss[kept].sum() / 15, rel=1e-5
    )
    assert found["box_loss"] == pytest.approx(
        box_loss[kept].sum() / 15, rel=1e-5
    )
    of_logits, of_deltas = gradients_of(rois, logits, deltas, y, settings)
    np.testing.assert_array_equal(of_logits.any(-1), kept)
    learns = kept & rois.positive
    np.testing.assert_array_equal(of_deltas.any((-1, -2)), learns)


def test_padding_is_no_hard_example(sampled):
    _, y, rois = sampled
    labels = np.full((3, 16), -1, "int32")
    labels[:, :2] = BACKGROUND
    few = hard_rois(rois)._replace(labels=labels, positive=labels < -1)
    few.boxes[:, 1] += 40.0
    logits, deltas = predictions(3)
    settings = config(hard_examples=5)
    class_loss, _ = paper_losses(few, logits, deltas, y, settings)
    found = losses_of(few, logits, deltas, y, settings)
    assert found["class_loss"] == pytest.approx(class_loss.sum() / 6, rel=1e-5)


def test_logits_of_no_class_take_their_share_of_the_scores():
    proposals = Proposals(
        np.float32([[[4, 4, 30, 30]]]), np.ones((1, 1)), np.ones((1, 1), bool)
    )
    logits = np.float32([[[2.0, 1.0, 0.0, 3.0, 4.0, -1.0]]])  # 3 + 1 + 2
    found = tiny.runner(
        lambda *values: roi.detect(*values, config(unused_logits=2))
    )(proposals, logits, np.zeros((1, 1, 3, 4)), np.int32([[64, 96]]))
    shares = np.exp(logits[0, 0]) / np.exp(logits[0, 0]).sum()
    # Softmax in float32; the third is below the threshold of 0.05.
    assert found["num_detections"].tolist() == [1]
    assert found["labels"][0, 0] == 0
    assert found["scores"][0, 0] == pytest.approx(shares[0], rel=1e-6)
    assert shares[1] < 0.05 < shares[0]


@pytest.mark.parametrize(("boxes", "min_side"), [(3, 0.0), (1, 9.0)])
def test_detections_are_the_papers(boxes, min_side):
    proposals = random_proposals(truth())
    rng = np.random.default_rng(2)
    logits = rng.normal(0, 2, (3, 60, 4)).astype("float32")
    deltas = rng.normal(0, 0.5, (3, 60, boxes, 4)).astype("float32")
    image_shape = np.array([[64, 96], [50, 80], [64, 96]], "int32")
    settings = config(max_detections=40, score_threshold=0.2, min_side=min_side)
    found = tiny.runner(lambda *values: roi.detect(*values, settings))(
        proposals, logits, deltas, image_shape
    )
    contract.check_detections(found)
    for image in range(3):
        scores = np.exp(logits[image] - logits[image].max(1, keepdims=True))
        scores = (scores / scores.sum(1, keepdims=True))[:, :3]
        scores[~proposals.valid[image]] = 0.0
        decoded = np.array(
            [
                [
                    reference.clip_box(
                        reference.decode_box(delta, box, (10, 10, 5, 5)),
                        *image_shape[image],
                    )
                    for delta in row
                ]
                for row, box in zip(
                    deltas[image].astype("float64"), proposals.boxes[image]
                )
            ],
            "float32",
        )
        side = (decoded[..., 2:] - decoded[..., :2]).min(-1)
        # What the border of the image leaves nothing of is no detection.
        scores = np.where((side > 0) & (side >= min_side), scores, 0.0)
        pairs = reference.multiclass_nms(decoded, scores, 0.2, 0.5, 40)
        count = found["num_detections"][image]
        assert count == len(pairs) > 10
        rows, labels = np.array(pairs).T
        np.testing.assert_array_equal(found["labels"][image, :count], labels)
        # Roundings of float32 coordinates up to 96 pixels.
        np.testing.assert_allclose(
            found["boxes"][image, :count],
            decoded[rows, labels if boxes > 1 else 0],
            atol=1e-4,
        )
        np.testing.assert_allclose(
            found["scores"][image, :count], scores[rows, labels], rtol=1e-5
        )


def test_of_thousands_of_classes_only_what_a_softmax_can_score_is_tried(
    monkeypatch,
):
    """Sixty proposals of one object, each of two classes."""
    settings = config(num_classes=3000, max_detections=8)
    boxes = np.tile(np.float32([[[8, 8, 50, 50]]]), (1, 60, 1))
    proposals = Proposals(boxes, np.ones((1, 60)), np.ones((1, 60), bool))
    logits = np.full((1, 60, 3001), -20, "float32")
    rows = np.arange(60)
    logits[0, rows, rows // 30] = 2.0
    # The best 80 pairs are of three classes; others come after them.
    logits[0, rows, np.maximum(rows - 40, 0) + 2] = np.where(rows < 41, 0, -0.2)
    tried = []
    class_nms = nms.class_nms
    monkeypatch.setattr(
        nms,
        "class_nms",
        lambda boxes, *rest: (
            tried.append(boxes.shape[1]) or class_nms(boxes, *rest)
        ),
    )
    found = tiny.runner(lambda *values: roi.detect(*values, settings))(
        proposals, logits, np.zeros((1, 60, 1, 4)), np.int32([[64, 96]])
    )
    # A score above 0.05 is one of at most twenty.
    assert max(tried) == 60 * 20
    scores = np.exp(logits[0]) / np.exp(logits[0]).sum(1, keepdims=True)
    pairs = reference.multiclass_nms(
        np.tile(boxes[0, :, None], (1, 3000, 1)), scores[:, :3000], 0.05, 0.5, 8
    )
    assert found["labels"][0].tolist() == [label for _, label in pairs]
    assert len(set(found["labels"][0])) == 8


def test_positive_rois_are_all_of_them(sampled):
    _, _, rois = sampled
    kept = tiny.runner(lambda rois: roi.positive_rois(rois, config()))(rois)
    assert kept.labels.shape == (3, 4)  # a quarter of 16
    np.testing.assert_array_equal(kept.boxes, rois.boxes[:, :4])
    np.testing.assert_array_equal(kept.positive.sum(1), [4, 4, 0])


def test_rows_in_use_are_the_largest_count_where_that_may_vary():
    def used(count):
        return ops.ones((16,))[: roi.rows_in_use(count, 8)]

    rows = {
        counts: len(tiny.runner(used)(np.array(counts, "int32")))
        for counts in [(3, 5), (0, 0), (9, 1)]
    }
    if modes.on_tensorflow():
        assert rows == {(3, 5): 5, (0, 0): 1, (9, 1): 8}
    else:
        assert rows == {(3, 5): 8, (0, 0): 8, (9, 1): 8}


def test_objects_as_rois_are_their_own_matches():
    y = truth()
    rois = tiny.runner(roi.ground_truth_rois)(y)
    np.testing.assert_array_equal(rois.boxes, y["boxes"])
    np.testing.assert_array_equal(rois.positive, y["labels"] >= 0)
    assert rois.gt_index.tolist() == [[0, 1, 2, 3]] * 3
