import numpy as np
import pytest

from keras_fair.ops import boxes
from tests import modes, reference, shared

# Three float32 operations on values below 1000, and one exp or log.
CLOSE = {"rtol": 1e-5, "atol": 1e-4}
WEIGHTS = {"w1": (1.0, 1.0, 1.0, 1.0), "w10": (10.0, 10.0, 5.0, 5.0)}


def test_area_of_hand_sized_boxes():
    sizes = [[0, 0, 10, 5], [3, 4, 3, 9], [5, 5, 2, 9], [5, 5, 2, 2]]
    area = modes.run(boxes.box_area, np.array(sizes, "float32"))
    assert area.tolist() == [50.0, 0.0, 0.0, 0.0]


def test_iou_of_hand_sized_boxes():
    one = np.array([[0, 0, 10, 10]], "float32")
    others = np.array(
        [[0, 0, 10, 10], [0, 0, 10, 5], [5, 5, 15, 15], [10, 0, 20, 10]],
        "float32",
    )
    iou = modes.run(boxes.pairwise_iou, one, others)
    expected = np.array([[1.0, 0.5, 25 / 175, 0.0]], "float32")
    assert (iou == expected).all()


def test_iou_of_two_empty_boxes_is_zero():
    empty = np.zeros((1, 2, 4), "float32")
    assert (modes.run(boxes.pairwise_iou, empty, empty) == 0).all()


@modes.every_mode
def test_iou_is_the_same_to_the_bit_in_every_mode(mode):
    rng = np.random.default_rng(0)
    a = np.stack([reference.random_boxes(rng, 40) for _ in range(2)])
    b = np.stack([reference.random_boxes(rng, 30) for _ in range(2)])
    iou = modes.run(boxes.pairwise_iou, a, b, mode=mode)
    for image in range(2):
        expected = reference.pairwise_iou(a[image], b[image])
        assert (iou[image] == expected).all()


def test_iou_computes_in_float32_from_half_precision():
    half = np.array([[0, 0, 10, 10], [0, 0, 10, 3]], "float16")
    iou = modes.run(boxes.pairwise_iou, half, half)
    assert iou.dtype == "float32"
    assert iou[0, 1] == np.float32(0.3)


def test_iou_equals_torchvision():
    golden = shared.fixture("ops_boxcoder.npz")
    iou = modes.run(boxes.pairwise_iou, golden["in_proposals"], golden["in_gt"])
    assert (iou == golden["iou"]).all()


def test_encode_a_hand_sized_box():
    box = np.array([[10, 20, 30, 60]], "float32")  # centre 20, 40
    anchor = np.array([[0, 0, 20, 20]], "float32")  # centre 10, 10
    deltas = modes.run(boxes.encode_boxes, box, anchor)
    expected = [[0.5, 1.5, 0.0, np.log(2)]]
    np.testing.assert_allclose(deltas, expected, rtol=1e-6)


@modes.every_mode
def test_encode_and_decode_equal_the_reference(mode):
    rng = np.random.default_rng(1)
    box, anchor = (
        reference.random_boxes(rng, 30),
        reference.random_boxes(rng, 30),
    )
    weights = WEIGHTS["w10"]
    deltas = modes.run(
        lambda b, a: boxes.encode_boxes(b, a, weights), box, anchor, mode=mode
    )
    expected = [
        reference.encode_box(b, a, weights) for b, a in zip(box, anchor)
    ]
    np.testing.assert_allclose(deltas, expected, **CLOSE)
    decoded = modes.run(
        lambda d, a: boxes.decode_boxes(d, a, weights),
        deltas,
        anchor,
        mode=mode,
    )
    expected = [
        reference.decode_box(d, a, weights) for d, a in zip(deltas, anchor)
    ]
    np.testing.assert_allclose(decoded, expected, **CLOSE)


def test_padding_and_empty_anchors_encode_to_finite_deltas():
    box = np.array([[0, 0, 0, 0], [5, 5, 9, 9], [0, 0, 0, 0]], "float32")
    anchor = np.array([[0, 0, 32, 32], [7, 7, 7, 7], [0, 0, 0, 0]], "float32")
    deltas = modes.run(boxes.encode_boxes, box, anchor)
    assert np.isfinite(deltas).all()


def test_decoding_limits_growth_only():
    anchor = np.array([[0, 0, 16, 16]], "float32")
    grown = modes.run(boxes.decode_boxes, np.float32([[0, 0, 50, 50]]), anchor)
    np.testing.assert_allclose(grown, [[-492, -492, 508, 508]], rtol=1e-5)
    shrunk = modes.run(
        boxes.decode_boxes, np.float32([[0, 0, -50, -50]]), anchor
    )
    np.testing.assert_allclose(shrunk, [[8, 8, 8, 8]], atol=1e-5)


@pytest.mark.parametrize("name", ["w1", "w10"])
@pytest.mark.parametrize("peer", ["", "d2_"])
def test_box_coder_equals_the_peers(name, peer):
    golden = shared.fixture("ops_boxcoder.npz")
    anchor = golden["in_proposals"]
    encoded = modes.run(
        lambda b, a: boxes.encode_boxes(b, a, WEIGHTS[name]),
        golden["in_gt"],
        anchor,
    )
    np.testing.assert_allclose(encoded, golden[f"{peer}encode_{name}"], **CLOSE)
    decoded = modes.run(
        lambda d, a: boxes.decode_boxes(d, a, WEIGHTS[name]),
        golden["in_deltas"],
        anchor,
    )
    np.testing.assert_allclose(decoded, golden[f"{peer}decode_{name}"], **CLOSE)


def test_deltas_of_several_classes_decode_against_shared_anchors():
    golden = shared.fixture("ops_boxcoder.npz")
    deltas = golden["in_deltas_5cls"].reshape(40, 5, 4)
    decoded = modes.run(
        boxes.decode_boxes, deltas, golden["in_proposals"][:, None]
    )
    np.testing.assert_allclose(decoded, golden["decode_5cls_w1"], **CLOSE)


@modes.every_mode
def test_each_image_clips_to_its_own_shape(mode):
    box = np.tile(np.float32([[-5, -6, 300, 400], [1, 2, 3, 4]]), (2, 1, 1))
    shape = np.array([[100, 200], [350, 250]], "int32")
    clipped = modes.run(boxes.clip_boxes, box, shape, mode=mode)
    for image, (height, width) in enumerate(shape):
        expected = [reference.clip_box(b, height, width) for b in box[image]]
        assert clipped[image].tolist() == expected


def test_clipping_takes_boxes_of_any_rank():
    box = np.full((2, 3, 5, 4), 50, "float32")
    shape = np.array([[10, 20], [30, 40]], "int32")
    clipped = modes.run(boxes.clip_boxes, box, shape)
    assert (clipped[0] == [20, 10, 20, 10]).all()
    assert (clipped[1] == [40, 30, 40, 30]).all()


def test_clipping_equals_torchvision():
    golden = shared.fixture("ops_boxcoder.npz")
    clipped = modes.run(
        boxes.clip_boxes,
        golden["decode_w1"][None],
        np.array([[128, 192]], "int32"),
    )
    assert (clipped[0] == golden["clipped_128x192"]).all()
