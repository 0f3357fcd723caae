"""Losses and gradients are those of the published models' own code.

One image, four objects, every anchor and RoI sampled, so that nothing is
random. Losses agree to 1e-4, relative.

Gradients cannot agree that well: where rounding, 1e-5 of the largest value,
moves a unit across its ReLU's zero, all of its gradient comes or goes. With
TensorFlow's own convolutions against oneDNN's, our gradients differ from each
other by 1e-3 to 8e-3 of their norm, and by 2e-2 if every pixel changes by a
millionth of itself. The norm averages that out. The product with a random
array does not: the worst of 80 then changes by 3e-2 of the norm.

A polygon's pixel is drawn or not. By rounding, ours and the peer's RoIs differ
by less than `NUDGE`, which on some CPUs turns one of the 6272 pixels of the
targets and moves the loss of masks by 5e-4. So the losses and gradients must
be the peer's for boxes as they are or with one side moved by that much.
"""

import dataclasses
import zlib

import keras
import numpy as np
import pycocotools.mask
import pytest

from keras_fair.checkpoints import convert
from keras_fair.models import mask_rcnn
from keras_fair.ops import roi_align
from tests import shared
from tests.golden import peers

pytestmark = pytest.mark.slow

NORM_TOLERANCE, PROBE_TOLERANCE = 3e-3, 5e-2
NUDGE = 1e-3  # pixels
LOSSES = {
    "tv": {
        "rpn_class_loss": "loss_objectness",
        "rpn_box_loss": "loss_rpn_box_reg",
        "class_loss": "loss_classifier",
        "box_loss": "loss_box_reg",
        "mask_loss": "loss_mask",
    },
    "d2": {
        "rpn_class_loss": "loss_rpn_cls",
        "rpn_box_loss": "loss_rpn_loc",
        "class_loss": "loss_cls",
        "box_loss": "loss_box_reg",
        "mask_loss": "loss_mask",
    },
}
RETINANET_LOSSES = {
    "tv": {"class_loss": "classification", "box_loss": "bbox_regression"},
    "d2": {"class_loss": "loss_cls", "box_loss": "loss_box_reg"},
}
# All batch normalisation learns, as in torchvision's second version.
BATCH_STATISTICS = "train_bn_batch_stats"
CASES = (
    ("tv_fasterrcnn_resnet50_fpn", "train"),
    ("tv_maskrcnn_resnet50_fpn", "train"),
    ("tv_maskrcnn_resnet50_fpn_v2", "train"),
    ("tv_retinanet_resnet50_fpn", "train"),
    ("tv_retinanet_resnet50_fpn_v2", "train"),
    ("d2_faster_rcnn_R_50_FPN_3x", "train"),
    ("d2_mask_rcnn_R_50_FPN_3x", "train_bitmask"),
    ("d2_mask_rcnn_R_50_FPN_3x", "train"),
    ("tv_maskrcnn_resnet50_fpn_v2", BATCH_STATISTICS),
    ("d2_retinanet_R_50_FPN_3x", "train"),
)


def image_masks() -> np.ndarray:
    """Return float32 [1, 256, 320, 4]: the objects' masks as channels."""
    packed = shared.fixture("targets.npz")["masks_packed"]
    masks = np.unpackbits(packed, axis=1).reshape(4, *peers.SIZE)
    return masks.transpose(1, 2, 0)[None].astype("float32")


def use_image_masks(peer) -> None:
    """Cut targets out of whole masks, by RoIAlign, as the peer does.

    Ours are cut from box-frame masks, which its loss cannot equal to 1e-4.
    """
    aligned = peer.library == "d2"

    def mask_targets(rois, y):
        pooled = roi_align.roi_align(
            {"P0": keras.ops.convert_to_tensor(image_masks())},
            rois.boxes,
            28,
            sampling_ratio=0,
            aligned=aligned,
        )  # [1, R, 28, 28, 4]
        index = rois.gt_index[..., None, None, None]
        index = keras.ops.broadcast_to(index, (*pooled.shape[:-1], 1))
        masks = keras.ops.take_along_axis(pooled, index, axis=-1)[..., 0]
        if not aligned:  # torchvision's targets are not rounded
            return masks
        return keras.ops.cast(masks >= 0.5, "float32")

    peer.model.mask_targets = mask_targets


def use_polygons(peer, nudge: np.ndarray) -> None:
    """Draw each object's polygon into the RoI, as Detectron2 does with COCO's.

    The drawing is pycocotools's, there and here.

    Args:
        peer: whose model draws them.
        nudge: [4], is added to the boxes.
    """
    targets = shared.fixture("targets.npz")

    def draw(box, index):
        scale = 28 / np.maximum(box[2:] - box[:2], 0.1)
        points = (targets[f"poly{index}"].reshape(-1, 2) - box[:2]) * scale
        runs = pycocotools.mask.frPyObjects([points.ravel().tolist()], 28, 28)
        return pycocotools.mask.decode(pycocotools.mask.merge(runs))

    def mask_targets(rois, y):
        boxes = peers.numpy(rois.boxes)[0].astype("float64") + nudge
        index = peers.numpy(rois.gt_index)[0]
        masks = np.zeros((1, len(boxes), 28, 28), "float32")
        for row in np.flatnonzero(peers.numpy(rois.positive)[0]):
            masks[0, row] = draw(boxes[row], index[row])
        return keras.ops.convert_to_tensor(masks)

    peer.model.mask_targets = mask_targets


def truth(peer) -> dict:
    targets = shared.fixture("targets.npz")
    labels = targets["d2_classes"]
    if peer.library == "tv":
        labels = targets["tv_labels"] - peer.first_label
    y = {
        "boxes": targets["boxes"][None].astype("float32"),
        "labels": labels[None].astype("int32"),
        "masks": np.zeros((1, 4, 112, 112), "uint8"),  # use_image_masks
    }
    return {k: keras.ops.convert_to_tensor(v) for k, v in y.items()}


def sample_everything(config, is_rcnn: bool, prefix: str):
    """Keep every anchor and RoI, and the backbone's statistics if asked."""
    changes = {"norm": "frozen"}
    if prefix == BATCH_STATISTICS:
        changes = {"frozen_stages": 0}
    backbone = dataclasses.replace(config.backbone, **changes)
    config = dataclasses.replace(config, backbone=backbone)
    if not is_rcnn:
        return config
    proposals = dataclasses.replace(config.proposals, num_samples=peers.EVERY)
    return dataclasses.replace(
        config, proposals=proposals, num_samples=peers.EVERY
    )


def keep_statistics(model) -> None:
    """Let the batch normalisation of pyramid and heads not learn."""
    layers = [*model.pyramid.lateral_norms, *model.pyramid.output_norms]
    for head in ("box_head", "mask_head"):
        layers += getattr(getattr(model, head, None), "tower", [])
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.trainable = False


def losses_and_gradients(model, x, y) -> tuple[dict, dict]:
    """Return the loss terms, and gradients by path of the weight."""
    tf = pytest.importorskip("tensorflow")
    weights = convert.weights_by_name(model)
    variables = [weight.value for weight in weights.values()]
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(variables)
        outputs = model(x, training=True)
        terms = model.compute_losses(x, y, outputs, training=True)
        total = sum(terms.values())
    gradients = tape.gradient(total, variables, unconnected_gradients="zero")
    arrays = [tf.convert_to_tensor(g).numpy() for g in gradients]
    return (
        {name: float(value) for name, value in terms.items()},
        dict(zip(weights, arrays)),
    )


@pytest.mark.parametrize(("name", "prefix"), CASES)
def test_losses_and_gradients_are_the_peer_s(name, prefix, tmp_path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("gradients of frozen weights by TensorFlow's tape")
    plain = peers.CONFIGS[name[:2]][name[3:]]
    config = sample_everything(plain, "rcnn" in name, prefix)
    changes = {"backbone": config.backbone}
    if "rcnn" in name:
        changes["proposals"] = config.proposals
        changes["num_samples"] = config.num_samples
    peer = peers.Peer(name, tmp_path, **changes)
    if prefix != BATCH_STATISTICS:
        keep_statistics(peer.model)
    if isinstance(peer.model, mask_rcnn.MaskRCNN):
        use_image_masks(peer)
    x, y = peers.image("noise"), truth(peer)
    terms, gradients = losses_and_gradients(peer.model, x, y)
    if "d2_mask" in name and prefix == "train":
        for nudge in NUDGE * np.vstack([np.zeros(4), np.eye(4), -np.eye(4)]):
            use_polygons(peer, nudge)
            terms, gradients = losses_and_gradients(peer.model, x, y)
            if terms == expected_losses(peer, prefix, terms):
                break
    assert terms == expected_losses(peer, prefix, terms)
    check_gradients(peer, prefix, gradients)


def expected_losses(peer, prefix: str, terms: dict) -> dict:
    """Return the peer's value, with its tolerance, of each of our losses."""
    names = (LOSSES if peer.is_rcnn else RETINANET_LOSSES)[peer.library]
    golden = {
        ours: float(peer.golden[f"{prefix}/{names[ours]}"]) for ours in terms
    }
    return pytest.approx(golden, rel=1e-4)


def check_gradients(peer, prefix: str, gradients: dict) -> None:
    """Compare each gradient's norm and its product with a random array."""
    theirs = convert.their_arrays(gradients, peer.config, peer.source)
    golden = peer.golden
    wrong = {}
    for key, norm, product in zip(
        golden[f"{prefix}/grad_keys"],
        golden[f"{prefix}/grad_norm"],
        golden[f"{prefix}/grad_probe_dot"],
        strict=True,
    ):
        gradient = theirs[key].astype("float64")
        seed = zlib.crc32(f"probe:{key}".encode())
        probe = np.random.default_rng(seed).standard_normal(gradient.shape)
        norm_error = abs(np.sqrt((gradient**2).sum()) - norm) / norm
        probe_error = abs((gradient * probe).sum() - product) / norm
        if norm_error > NORM_TOLERANCE or probe_error > PROBE_TOLERANCE:
            wrong[key] = norm_error, probe_error
    assert not wrong
