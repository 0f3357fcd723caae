import numpy as np
import pytest

from keras_fair.ops import boxes as box_ops
from keras_fair.ops import matching
from tests import modes, reference, shared

RPN = {"positive_iou": 0.7, "negative_iou": 0.3, "force_best": True}
RULES = [
    RPN,
    {"positive_iou": 0.5, "negative_iou": 0.4, "force_best": True},
    {"positive_iou": 0.5, "negative_iou": 0.5, "force_best": False},
]
# Anchors and ground truth share a coarse grid, so that overlaps tie.
COARSE = 20.0


def problem(seed, num_anchors=60, num_truths=7, step=None):
    """Two images of different ground truth, padding anywhere among it."""
    rng = np.random.default_rng(seed)
    anchors = reference.random_boxes(rng, num_anchors)
    truths = np.stack(
        [reference.random_boxes(rng, num_truths) for _ in range(2)]
    )
    if step:
        anchors = np.round(anchors / step) * np.float32(step)
        truths = np.round(truths / step) * np.float32(step)
    valid = rng.uniform(size=(2, num_truths)) < 0.7
    return anchors, truths, valid


def expected_match(anchors, truths, valid, **rule):
    results = [
        reference.match(reference.pairwise_iou(anchors, t), v, **rule)
        for t, v in zip(truths, valid)
    ]
    return [np.stack(result) for result in zip(*results)]


def match_boxes(anchors, truths, valid, mode="eager", **rule):
    return modes.run(
        lambda a, t, v: matching.match_boxes(a, t, v, **rule),
        anchors,
        truths,
        valid,
        mode=mode,
    )


def match(iou, valid, mode="eager", **rule):
    return modes.run(
        lambda i, v: matching.match(i, v, **rule), iou, valid, mode=mode
    )


@pytest.mark.parametrize("force_best", [False, True])
def test_the_example_of_the_docstring(force_best):
    iou = np.array([[[0.8, 0.1], [0.2, 0.5], [0.2, 0.1]]], "float32")
    valid = np.ones((1, 2), bool)
    index, label = match(iou, valid, **{**RPN, "force_best": force_best})
    assert index.tolist() == [[0, 1, 0]]
    middle = matching.POSITIVE if force_best else matching.IGNORE
    assert label.tolist() == [[matching.POSITIVE, middle, matching.NEGATIVE]]
    assert index.dtype == label.dtype == "int32"


def test_thresholds_belong_to_positive_and_to_ignore():
    iou = np.array([[[0.7], [0.3], [0.29]]], "float32")
    rule = {**RPN, "force_best": False}
    _, label = match(iou, np.ones((1, 1), bool), **rule)
    assert label.tolist() == [
        [matching.POSITIVE, matching.IGNORE, matching.NEGATIVE]
    ]


def test_a_forced_anchor_keeps_the_truth_it_overlaps_most():
    iou = np.array([[[0.6, 0.2], [0.9, 0.1]]], "float32")
    index, label = match(iou, np.ones((1, 2), bool), **RPN)
    assert index.tolist() == [[0, 0]]
    assert label.tolist() == [[matching.POSITIVE, matching.POSITIVE]]


def test_all_anchors_that_tie_for_best_are_forced():
    iou = np.array([[[0.4], [0.4], [0.2]]], "float32")
    _, label = match(iou, np.ones((1, 1), bool), **RPN)
    assert label.tolist() == [
        [matching.POSITIVE, matching.POSITIVE, matching.NEGATIVE]
    ]


def test_a_truth_that_touches_no_anchor_forces_none():
    iou = np.zeros((1, 3, 1), "float32")
    _, label = match(iou, np.ones((1, 1), bool), **RPN)
    assert (label == matching.NEGATIVE).all()


def test_identical_truths_give_the_first():
    box = np.array([[0, 0, 10, 10]], "float32")
    truths = np.tile(box, (1, 3, 1))
    valid = np.array([[False, True, True]])
    index, label = match_boxes(box, truths, valid, **RPN)
    assert index.tolist() == [[1]]
    assert label.tolist() == [[matching.POSITIVE]]


@modes.every_mode
@pytest.mark.parametrize("rule", RULES)
def test_both_forms_equal_the_reference(rule, mode):
    anchors, truths, valid = problem(3)
    coarse_anchors, coarse_truths, coarse_valid = problem(4, step=COARSE)
    anchors = np.stack([anchors] * 2 + [coarse_anchors] * 2)
    truths = np.concatenate([truths, coarse_truths])
    valid = np.concatenate([valid, coarse_valid])
    iou = np.stack(list(map(reference.pairwise_iou, anchors, truths)))
    results = [reference.match(i, v, **rule) for i, v in zip(iou, valid)]
    index, label = map(np.stack, zip(*results))
    from_boxes = match_boxes(anchors, truths, valid, mode, **rule)
    assert (from_boxes[0] == index).all()
    assert (from_boxes[1] == label).all()
    from_iou = match(iou, valid, mode, **rule)
    assert (from_iou[0] == index).all()
    assert (from_iou[1] == label).all()


@modes.every_mode
@pytest.mark.parametrize("slots", [0, 3])
def test_without_objects_everything_is_negative(slots, mode):
    anchors = problem(5)[0]
    truths = np.zeros((2, slots, 4), "float32")
    valid = np.zeros((2, slots), bool)
    index, label = match_boxes(anchors, truths, valid, mode, **RPN)
    assert (index == 0).all()
    assert (label == matching.NEGATIVE).all()


def test_an_empty_image_beside_one_with_objects_stays_negative():
    anchors, truths, valid = problem(6)
    valid[0], valid[1, 0] = False, True
    label = match_boxes(anchors, truths, valid, **RPN)[1]
    assert (label[0] == matching.NEGATIVE).all()
    assert (label[1] == matching.POSITIVE).any()


def test_padding_never_matches_even_where_it_overlaps():
    anchors, truths, _ = problem(7)
    truths[:] = anchors[:7]
    valid = np.zeros((2, 7), bool)
    valid[:, 6] = True
    index, label = match_boxes(anchors, truths, valid, **RPN)
    assert (index == 6).all()
    expected = expected_match(anchors, truths, valid, **RPN)[1]
    assert (label == expected).all()


def test_truths_and_anchors_without_area_match_nothing():
    anchors = np.array([[5, 5, 5, 5], [0, 0, 10, 10]], "float32")
    truths = np.array([[[5, 5, 5, 5]]], "float32")
    label = match_boxes(anchors, truths, np.ones((1, 1), bool), **RPN)[1]
    assert (label == matching.NEGATIVE).all()


@modes.every_mode
def test_every_touched_truth_forces_an_anchor_in_every_mode(mode):
    # Overlaps with long mantissas: a maximum that is computed twice with
    # different rounding would miss itself.
    anchors, truths, valid = problem(8, num_anchors=100, num_truths=30)
    index, label = match_boxes(anchors, truths, valid, mode, **RPN)
    expected = expected_match(anchors, truths, valid, **RPN)
    assert (index == expected[0]).all()
    assert (label == expected[1]).all()


@modes.only_tensorflow
def test_one_graph_serves_any_number_of_anchors_and_objects():
    tf = pytest.importorskip("tensorflow")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, 4], tf.float32),
            tf.TensorSpec([None, None, 4], tf.float32),
            tf.TensorSpec([None, None], tf.bool),
        ]
    )
    def run(anchors, truths, valid):
        return matching.match_boxes(anchors, truths, valid, **RPN)

    for num_anchors, num_truths in ((20, 3), (11, 5), (6, 0)):
        arrays = problem(9, num_anchors, num_truths)
        index, label = run(*arrays)
        expected = expected_match(*arrays, **RPN)
        assert (index.numpy() == expected[0]).all()
        assert (label.numpy() == expected[1]).all()


PEER_RULES = [(0.3, 0.7, 1), (0.3, 0.7, 0), (0.5, 0.5, 0), (0.4, 0.5, 1)]


@pytest.mark.parametrize("low, high, force", PEER_RULES)
@pytest.mark.parametrize("source", ["anchors", "quality"])
def test_matches_equal_the_peers(source, low, high, force):
    golden = shared.fixture("ops_matcher.npz")
    if source == "anchors":
        iou = modes.run(
            box_ops.pairwise_iou, golden["in_anchors"], golden["in_gt"]
        )
    else:
        iou = golden["in_quality"].T  # [N, M]
    valid = np.ones((1, iou.shape[1]), bool)
    index, label = match(
        iou[None],
        valid,
        positive_iou=high,
        negative_iou=low,
        force_best=bool(force),
    )
    name = f"{source}_{low}_{high}_{force}"
    peer_index = golden[f"d2_{name}_idx"]
    peer_label = golden[f"d2_{name}_label"]
    torchvision = golden[f"tv_{name}"]
    # Deliberate difference: ground truth 4 of "quality" overlaps nothing, and
    # the peers then force every anchor that does not overlap it (all).
    if source == "quality" and force:
        assert (peer_label == 1).all() and (torchvision >= 0).all()
        peer_label = _forced_by_touching(iou, low, high)
        torchvision = np.where(peer_label == 1, torchvision, -1)
        torchvision[peer_label == matching.IGNORE] = -2
    assert (index[0] == peer_index).all()
    assert (label[0] == peer_label).all()
    # torchvision writes -1 for below and -2 for between into the index.
    written = np.where(label[0] == matching.NEGATIVE, -1, index[0])
    written[label[0] == matching.IGNORE] = -2
    assert (written == torchvision).all()


def _forced_by_touching(iou, low, high):
    best = iou.max(axis=1)
    label = np.where(best < np.float32(low), 0, -1)
    forced = ((iou == iou.max(axis=0)) & (iou > 0)).any(axis=1)
    return np.where(forced | (best >= np.float32(high)), 1, label)
