"""A few operators and one whole model give torchvision's numbers.

The golden values are in the repository, see small/README.md: here nothing is
skipped. Larger ones, of published models, are in the other tests.
"""

import dataclasses
import pathlib

import numpy as np
import pytest
from keras import ops

from keras_fair import config as config_lib
from keras_fair import models
from keras_fair.checkpoints import convert, torchvision_models, writers
from keras_fair.ops import anchors, boxes, masks, matching, nms, roi_align
from tests import modes
from tests.golden import peers, small_rule
from tests.models import tiny

GOLDEN = np.load(pathlib.Path(__file__).parent / "small" / "torchvision.npz")
# The peer's own rounding, times ten: other libraries sum in another order.
TOLERANCE = 10 * float(GOLDEN["model/floor"])
# JAX compiles every operator of the network by itself, for minutes.
whole_model = pytest.mark.slow if not modes.on_tensorflow() else lambda f: f
EVERY = 4096  # more than there are, of anchors and of RoIs
CONFIG = dataclasses.replace(
    torchvision_models.MODELS["maskrcnn_resnet50_fpn"],
    num_classes=4,
    class_names=(),
    category_ids=(),
    unused_logits=0,
    backbone=config_lib.BackboneConfig(name="resnet18", norm_epsilon=0.0),
    pyramid=config_lib.PyramidConfig(
        filters=16, min_level=2, max_level=6, coarse="pool"
    ),
    proposals=dataclasses.replace(
        torchvision_models.PROPOSALS, num_samples=EVERY, max_proposals=30
    ),
    num_samples=EVERY,
    box_head_units=(32, 32),
    mask_depth=2,
    mask_filters=16,
    max_detections=10,
)
LOSSES = {
    "rpn_class_loss": "loss_objectness",
    "rpn_box_loss": "loss_rpn_box_reg",
    "class_loss": "loss_classifier",
    "box_loss": "loss_box_reg",
    "mask_loss": "loss_mask",
}


def test_suppression_keeps_the_same_boxes():
    arguments = (GOLDEN["boxes"][None], GOLDEN["scores"][None])
    index, valid = nms.nms(*arguments, 0.5, 40)
    kept = peers.numpy(index)[peers.numpy(valid)]
    np.testing.assert_array_equal(kept, GOLDEN["nms"])
    index, valid = nms.class_nms(*arguments, GOLDEN["labels"][None], 0.5, 40)
    kept = peers.numpy(index)[peers.numpy(valid)]
    np.testing.assert_array_equal(kept, GOLDEN["class_nms"])


@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2])
def test_rois_are_pooled_alike(aligned, ratio):
    features = GOLDEN["features"].transpose(0, 2, 3, 1)
    pooled = roi_align.align_at_levels(
        {"P2": ops.convert_to_tensor(features)},
        GOLDEN["rois"][None],
        ops.full((1, 8), 2, dtype="int32"),
        7,
        sampling_ratio=ratio,
        aligned=aligned,
        implementation="auto",
    )
    expected = GOLDEN[f"roi_align_{aligned}_{ratio}"].transpose(0, 2, 3, 1)
    # Means of up to 25 samples around 1.
    np.testing.assert_allclose(peers.numpy(pooled)[0], expected, atol=1e-5)


def test_boxes_are_coded_alike():
    weights = (10.0, 10.0, 5.0, 5.0)
    truth = np.tile(GOLDEN["truth"], (10, 1))
    found = boxes.encode_boxes(truth, GOLDEN["boxes"], weights)
    # Logarithms and quotients round to 1e-7 of values up to 50.
    np.testing.assert_allclose(
        peers.numpy(found), GOLDEN["encoded"], rtol=1e-5, atol=1e-5
    )
    found = boxes.decode_boxes(GOLDEN["deltas"], GOLDEN["boxes"], weights)
    np.testing.assert_allclose(
        peers.numpy(found), GOLDEN["decoded"], rtol=1e-5, atol=1e-4
    )


def test_anchors_are_matched_alike():
    iou = GOLDEN["iou"].T[None]  # [1, anchors, objects]
    index, label = matching.match(
        iou,
        np.ones((1, 4), bool),
        positive_iou=0.7,
        negative_iou=0.3,
        force_best=True,
    )
    # torchvision: the object, -1 below the thresholds, -2 between them.
    expected = GOLDEN["matched"]
    label = peers.numpy(label)[0]
    kinds = {matching.NEGATIVE: -1, matching.IGNORE: -2}
    found = np.where(
        label == matching.POSITIVE,
        peers.numpy(index)[0],
        np.vectorize(lambda kind: kinds.get(kind, 0))(label),
    )
    np.testing.assert_array_equal(found, expected)
    assert {-2, -1} < set(expected.tolist())


def test_anchors_lie_alike():
    found = anchors.pyramid_anchors(
        [(4, 6), (2, 3)],
        (16, 32),
        ((32,), (64,)),
        (0.5, 1.0, 2.0),
        cell=anchors.rounded_cell_anchors,
    )
    np.testing.assert_array_equal(found, GOLDEN["anchors"])


def test_masks_are_pasted_alike():
    pasted = masks.paste_integer_probabilities(
        GOLDEN["masks"][:, 0], GOLDEN["boxes"][:3], 64, 96
    )
    bits = np.packbits(peers.numpy(pasted) >= 0.5)
    np.testing.assert_array_equal(bits, GOLDEN["pasted"])


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Our model with the peer's weights, from a file."""
    made = models.build_model(CONFIG)
    arrays = {
        path: np.empty(weight.shape, "float32")
        for path, weight in convert.weights_by_name(made).items()
    }
    shapes = convert.their_arrays(arrays, CONFIG, "torchvision")
    assert set(shapes) == set(GOLDEN["model/names"].tolist())
    weights = {
        name: small_rule.weight(name, array.shape)
        for name, array in shapes.items()
    }
    path = tmp_path_factory.mktemp("small") / "weights.pth"
    writers.write(path, weights)
    convert.load_weights_from(made, path, "torchvision")
    return made


@pytest.fixture(scope="module")
def outputs(model):
    return tiny.runner(lambda images: model(images, training=False))(
        GOLDEN["model/image"][None]
    )


def check(found, name: str) -> None:
    assert peers.relative_error(found, GOLDEN[f"model/{name}"]) < TOLERANCE


@whole_model
def test_features_and_proposals_are_the_peer_s(outputs):
    check(outputs["features"]["P4"].transpose(0, 3, 1, 2), "p4")
    logits = outputs["objectness"]["P5"].reshape(1, 2, 3, 3)
    check(logits.transpose(0, 3, 1, 2), "objectness")
    deltas = outputs["rpn_deltas"]["P5"].reshape(1, 2, 3, 12)
    check(deltas.transpose(0, 3, 1, 2), "rpn_deltas")
    distance = np.abs(
        outputs["proposals"]["boxes"][0][:, None] - GOLDEN["model/proposals"]
    ).max(-1)
    # Pixels: 1e-5 of the image's width, and its own rounding.
    assert distance.min(0).max() < 2e-3 and distance.min(1).max() < 2e-3


@whole_model
def test_heads_give_the_peer_s_numbers(model, outputs):
    def heads(features, proposals, boxes):
        pooled = model.pool(features, proposals, 7)
        masks = model.mask_head(model.pool(features, boxes, 14))
        return pooled, *model.box_head(pooled), masks

    pooled, logits, deltas, mask_logits = tiny.runner(heads)(
        outputs["features"],
        GOLDEN["model/proposals"][None],
        GOLDEN["model/boxes"][None, :3],
    )
    check(pooled[0, :4, ..., ::4].transpose(0, 3, 1, 2), "pooled")
    check(np.roll(logits[0], 1, axis=-1), "logits")  # background first
    expected = GOLDEN["model/deltas"].reshape(30, 5, 4)[:, 1:]
    assert peers.relative_error(deltas[0], expected) < TOLERANCE
    check(mask_logits[0].transpose(0, 3, 1, 2), "mask_logits")


@whole_model
def test_detections_are_the_peer_s(outputs):
    keys = ("boxes", "scores", "labels")
    found = [outputs[key][0] for key in keys]
    expected = [GOLDEN[f"model/{key}"] for key in keys]
    rows = peers.pair_detections((*found[:2], found[2] + 1), expected)
    pasted = masks.paste_integer_probabilities(
        outputs["masks"][0][rows], expected[0], 64, 96
    )
    size = 10 * 64 * 96
    bits = np.unpackbits(GOLDEN["model/mask_bits"])[:size].astype(bool)
    pasted = peers.numpy(pasted).reshape(-1)
    differ = (pasted >= 0.5) != bits
    # Pixels at the threshold may fall to either side: at most a few.
    assert (np.abs(pasted[differ] - 0.5) < 5e-3).all() and differ.sum() < 10


@whole_model
def test_losses_are_the_peer_s(model):
    truth = {
        "boxes": GOLDEN["model/target_boxes"][None],
        "labels": np.int32([[1, 3]]),
        "masks": np.zeros((1, 2, 28, 28), "uint8"),  # as the peer's
    }

    def losses(images, y):
        made = model(images, training=True)
        shape = ops.convert_to_tensor(np.int32([[64, 96]]))
        x = {"images": images, "image_shape": shape}
        return model.compute_losses(x, y, made, training=True)

    terms = tiny.runner(losses)(GOLDEN["model/image"][None], truth)
    for name, theirs in LOSSES.items():
        expected = float(GOLDEN[f"model/{theirs}"])
        assert float(terms[name]) == pytest.approx(expected, rel=1e-4), name
