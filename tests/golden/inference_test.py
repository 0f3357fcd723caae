"""Published models of two libraries give the same numbers here.

Errors are relative to the largest value of the array. The peers' own
rounding is of that kind too: FLOORS times what the golden values state. Box
and mask heads come after more layers, with weights that keep the variance.
"""

import keras
import numpy as np
import pytest

from keras_fair.checkpoints import convert
from keras_fair.models import inputs
from keras_fair.ops import masks as mask_ops
from tests.golden import peers

# JAX on a CPU stays below two floors for every model on `noise`; the rest is
# for other kernels and machines.
FLOORS = 5
MODELS = (
    "tv_maskrcnn_resnet50_fpn",
    "d2_mask_rcnn_R_50_FPN_3x",
    "tv_retinanet_resnet50_fpn",
)
SLOW_MODELS = (
    "tv_maskrcnn_resnet50_fpn_v2",
    "tv_retinanet_resnet50_fpn_v2",
    "d2_retinanet_R_50_FPN_3x",
    "tv_fasterrcnn_resnet50_fpn",
    "d2_faster_rcnn_R_50_FPN_3x",
)
slow = pytest.mark.slow


@pytest.fixture(
    scope="module",
    params=[*MODELS, *(pytest.param(n, marks=slow) for n in SLOW_MODELS)],
)
def peer(request, tmp_path_factory):
    made = peers.Peer(request.param, tmp_path_factory.mktemp("weights"))
    yield made
    del made.model
    keras.backend.clear_session()


class Run:
    """All that a model says of one image, as arrays."""

    def __init__(self, peer, name: str):
        self.peer, self.prefix = peer, f"{name}/"
        self.golden = {
            key.removeprefix(self.prefix): peer.golden[key]
            for key in peer.golden.files
            if key.startswith(self.prefix)
        }
        self.tolerance = FLOORS * peer.floor(name)
        peer.use_threshold(name)
        images, shape = inputs.unpack(peers.image(name))
        pixels = inputs.normalize(images, shape, peer.config.pixels, "float32")
        self.body = peers.numpy(peer.model.backbone(pixels))
        self.outputs = peers.numpy(peer.model(images, training=False))

    def check(self, found, key: str) -> None:
        error = peers.relative_error(found, self.golden[key])
        assert error < self.tolerance, f"{key}: {error}"


def check_features(run) -> None:
    levels = [k for k in run.golden if k.startswith("body_stat")]
    used = [run.body[f"C{level}"] for level in range(6 - len(levels), 6)]
    for key, features in zip(levels, used, strict=True):
        # torch's deviation is that of a sample.
        stat = [features.mean((0, 1, 2)), features.std((0, 1, 2), ddof=1)]
        run.check(np.stack(stat), key)
        channel = key.replace("body_stat", "body") + "_ch0"
        run.check(features[0, :, :, 0], channel)


def check_pyramid(run, features: dict) -> None:
    levels = [k for k in run.golden if k.startswith("fpn_stat")]
    for key, level in zip(levels, features.values(), strict=True):
        stat = [level.mean((0, 1, 2)), level.std((0, 1, 2), ddof=1)]
        run.check(np.stack(stat), key)
        key = key.replace("_stat", "")
        channels = level[0].transpose(2, 0, 1)[::32]
        run.check(channels[: len(run.golden[key])], key)


def check_first_stage(run) -> None:
    outputs = run.outputs
    for index, level in enumerate(outputs["objectness"]):
        logits = run.golden[f"rpn_logits_{index}"]
        shape = (*logits.shape[1:], 3)
        found = outputs["objectness"][level].reshape(shape)
        run.check(found.transpose(2, 0, 1), f"rpn_logits_{index}")
        deltas = outputs["rpn_deltas"][level].reshape(*shape, 4)
        deltas = deltas[::2, ::2].transpose(2, 3, 0, 1)
        run.check(deltas, f"rpn_deltas_{index}")
    proposals = outputs["proposals"]
    assert proposals["valid"].all()
    distance = np.abs(
        proposals["boxes"][0][:, None] - run.golden["proposals"][None]
    ).max(-1)
    # Each has its equal: 0.01 pixels is what the peer allows itself.
    assert distance.min(0).max() < 0.01 and distance.min(1).max() < 0.01


def check_box_head(run, features: dict) -> None:
    model, golden = run.peer.model, run.golden
    proposals = golden["proposals"][None]
    pooled = model.pool(features, proposals, 7)
    some = peers.numpy(pooled)[0, :16, :, :, ::16]
    run.check(some.transpose(0, 3, 1, 2), "box_pool_first16_ch::16")
    logits, deltas = peers.numpy(model.box_head(pooled))
    if run.peer.library == "tv":  # background first, and it has boxes
        logits = np.roll(logits, 1, axis=-1)
        golden["box_regression_::40"] = golden["box_regression_::40"][:, 4:]
    run.check(logits[0, ::8], "class_logits_::8")
    rows = deltas[0, ::40]
    run.check(rows.reshape(len(rows), -1), "box_regression_::40")


def check_mask_head(run, features: dict) -> None:
    golden, first = run.golden, run.peer.first_label
    pooled = run.peer.model.pool(features, golden["boxes"][None, :3], 14)
    some = peers.numpy(pooled)[0, ..., ::32].transpose(0, 3, 1, 2)
    run.check(some, "mask_pool_det0_3_ch::32")
    logits = peers.numpy(run.peer.model.mask_head(pooled))[0]
    logits = logits.transpose(0, 3, 1, 2)  # [3, K, 28, 28]
    wanted = golden["mask_logits_det0_3_ch::16"]
    slots = np.arange(wanted.shape[1]) * 16 - first
    golden["mask_logits_det0_3_ch::16"] = wanted[:, slots >= 0]
    run.check(logits[:, slots[slots >= 0]], "mask_logits_det0_3_ch::16")


def detections(outputs, row: int, first_label: int) -> tuple:
    count = int(outputs["num_detections"][row])
    keys = ("boxes", "scores", "labels")
    boxes, scores, labels = (outputs[key][row, :count] for key in keys)
    return boxes, scores, labels + first_label


def check_detections(run) -> None:
    keys = ("boxes", "scores", "labels")
    expected = tuple(run.golden[key] for key in keys)
    found = detections(run.outputs, 0, run.peer.first_label)
    rows = peers.pair_detections(found, expected)
    if "masks" in run.outputs:
        # Boxes differ by their rounding, and what is pooled from them.
        check_pasted(run, run.outputs["masks"][0][rows], expected[0], 5e-3)


def check_masks_of_its_boxes(run, features: dict) -> None:
    """Compare masks of the peer's detections, so that boxes play no part."""
    golden = run.golden
    labels = golden["labels"] - run.peer.first_label
    masks = peers.numpy(
        run.peer.model.mask_probabilities(
            features, golden["boxes"][None], labels[None].astype("int32")
        )
    )[0]
    if run.peer.library == "d2":
        # A probability is at most a quarter as steep as its logit.
        size = np.abs(golden["mask_logits_det0_3_ch::16"]).max()
        tolerance = run.tolerance * size / 4
        error = np.abs(masks[:40] - golden["mask_prob_28"]).max()
        assert error < tolerance
    check_pasted(run, masks, golden["boxes"], 2e-4)


def check_pasted(run, masks, boxes, window: float) -> None:
    if run.peer.library == "tv":
        paste = mask_ops.paste_integer_probabilities
    else:
        paste = mask_ops.paste_probabilities
    pasted = peers.numpy(paste(masks, boxes, *peers.SIZE))
    check_bits(pasted, run.golden["mask_bits"], window)


def check_bits(probabilities, packed, window: float) -> None:
    """Compare pixels, but for those within the window of the threshold."""
    size = probabilities[0].size
    bits = np.unpackbits(packed, axis=1)[:, :size].astype(bool)
    differ = (probabilities >= 0.5).reshape(bits.shape) != bits
    distance = np.abs(probabilities - 0.5).reshape(bits.shape)
    assert not distance[differ].size or distance[differ].max() < window
    assert differ.mean() < 1e-4


def check_retinanet(run) -> None:
    outputs = run.outputs
    logits = np.concatenate(list(outputs["class_logits"].values()), axis=1)[0]
    deltas = np.concatenate(list(outputs["box_deltas"].values()), axis=1)[0]
    run.check(logits[::101], "cls_logits_::101")
    run.check(logits.max(1), "cls_logits_max_over_classes")
    run.check(deltas[::5], "bbox_regression_::5")


@pytest.mark.parametrize("name", ["noise", pytest.param("photo", marks=slow)])
def test_every_stage_gives_the_peer_s_numbers(peer, name):
    run = Run(peer, name)
    check_features(run)
    if peer.is_rcnn:
        features = run.outputs["features"]
        check_pyramid(run, features)
        check_first_stage(run)
        check_box_head(run, features)
        if "masks" in run.outputs:
            check_mask_head(run, features)
            check_masks_of_its_boxes(run, features)
    else:
        check_pyramid(run, peers.numpy(peer.model.pyramid(run.body)))
        check_retinanet(run)
    check_detections(run)


def test_the_weights_go_back_bit_for_bit(peer):
    ours = {
        path: np.asarray(weight)
        for path, weight in convert.weights_by_name(peer.model).items()
    }
    theirs = convert.their_arrays(ours, peer.config, peer.source)
    counters = {n for n in peer.weights if n.endswith("num_batches_tracked")}
    assert set(theirs) == set(peer.weights) - counters
    assert set(peer.report.ignored) == counters
    for name, array in theirs.items():
        wanted = peer.weights[name]
        assert array.shape == wanted.shape
        unused = 0  # rows of background that torchvision never reads
        if peer.library == "tv" and "box_predictor.bbox_pred" in name:
            unused = 4
        if peer.library == "tv" and "mask_fcn_logits" in name:
            unused = 1
        np.testing.assert_array_equal(array[unused:], wanted[unused:])


def resized(image, shape):
    """Resize uint8 pixels as torchvision does, without rounding them."""
    return peers.numpy(
        keras.ops.image.resize(
            image.astype("float32"),
            shape,
            interpolation="bilinear",
            data_format="channels_last",
        )
    )


@slow
def test_a_batch_of_two_sizes_is_resized_and_mapped_back(peer):
    if "pair/0_boxes" not in peer.golden.files:
        pytest.skip("the peer has no batch of two")
    second = peers.image("photo")[0, 20:220, 10:310]
    output = (200, 300) if peer.library == "tv" else (400, 600)
    if peer.library == "tv":
        second = resized(second, (213, 320))
    images = np.zeros((2, *peers.SIZE, 3), "float32")
    images[0] = peers.image("noise")[0]
    images[1, : second.shape[0], : second.shape[1]] = second
    shape = np.array([peers.SIZE, second.shape[:2]], "int32")
    peer.use_threshold("noise")
    outputs = peers.numpy(
        peer.model({"images": images, "image_shape": shape}, training=False)
    )
    for row, size in enumerate([peers.SIZE, output]):
        factor = np.array(size, "float32") / shape[row]
        found = detections(outputs, row, peer.first_label)
        found = (found[0] * np.tile(factor[::-1], 2), *found[1:])
        keys = ("boxes", "scores", "labels")
        expected = tuple(peer.golden[f"pair/{row}_{key}"] for key in keys)
        rows = peers.pair_detections(found, expected)
        if "masks" in outputs:
            paste = mask_ops.paste_integer_probabilities
            if peer.library == "d2":
                paste = mask_ops.paste_probabilities
            masks = outputs["masks"][row][rows]
            pasted = peers.numpy(paste(masks, expected[0], *size))
            check_bits(pasted, peer.golden[f"pair/{row}_mask_bits"], 5e-3)
