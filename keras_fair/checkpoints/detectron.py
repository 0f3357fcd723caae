"""Names and rows of Detectron's and seg_every_thing's pickles (Caffe2).

See torchvision.py on tables. A layer's blobs are `_w` and `_b`; of a
normalisation only scale `_s` and offset `_b` are left. Background is class 0.
"""

import numpy as np

from keras_fair.checkpoints import layouts
from keras_fair.config import (
    FasterRCNNConfig,
    MaskXRCNNConfig,
    ModelConfig,
    RetinaNetConfig,
)

VARIABLES = {
    "kernel": "_w",
    "bias": "_b",
    "gamma": "_s",
    "beta": "_b",
    # Our names: the files have none; see `to_our_backbone`.
    "moving_mean": "_mean",
    "moving_variance": "_variance",
}
IGNORED_BACKBONE = (
    r".*_momentum",  # of the optimizer
    r"(fc1000|pred)_[wb]",  # ImageNet's classifier, kept along
    # Biases of convolutions before a normalisation: the file of ImageNet's
    # weights needs some, zeros, and no network of Detectron reads them.
    r"conv1_b",
    r"res\d_\d+_branch(1|2[abc])_b",
)
IGNORED = (
    *IGNORED_BACKBONE,
    r"kps_score_[wb]",  # bilinear upsampling, as a constant
    # The heads for other classes: seg_every_thing trains masks of COCO on a
    # detector of Visual Genome, whose rows it keeps beside.
    r"(cls_score|bbox_pred)_[wb]_jcvbackup",
)

# The last block of each stage, after which the pyramid's blobs are named.
LAST_BLOCKS = {
    "resnet50": (2, 3, 5, 2),
    "resnet101": (2, 3, 22, 2),
    "resnet152": (2, 7, 35, 2),
    "resnext101_32x8d": (2, 3, 22, 2),
}
FIRST_DENSE = "fc6_w"
AGNOSTIC_MASK = "mask_mlp_logits_raw_w"


def backbone_table(prefix: str = "") -> tuple:
    """Return the table of a ResNet; detectors have the same names.

    Args:
        prefix: must be empty, as there is none.
    """

    def branch(stage: int, index: int, number: int) -> str:
        return f"res{stage}_{index}_branch2{'abc'[number - 1]}"

    return (
        (r"stem_conv", lambda: "conv1"),
        (r"stem_norm", lambda: "res_conv1_bn"),
        (r"res(\d)_(\d+)_conv(\d)", branch),
        (
            r"res(\d)_(\d+)_norm(\d)",
            lambda s, i, n: f"{branch(s, i, n)}_bn",
        ),
        (r"res(\d)_(\d+)_shortcut", lambda s, i: f"res{s}_{i}_branch1"),
        (
            r"res(\d)_(\d+)_shortcut_norm",
            lambda s, i: f"res{s}_{i}_branch1_bn",
        ),
    )


def table(config: ModelConfig) -> tuple:
    """Return the table of Detectron's detector with that config."""
    shared = (*backbone_table(), *_pyramid_table(config.backbone.name))
    if isinstance(config, RetinaNetConfig):
        return (*shared, *_retinanet_table(config.pyramid.min_level))
    rpn = _proposal_table(config.pyramid.min_level)
    if isinstance(config, FasterRCNNConfig):
        return (*shared, *rpn, *_roi_table(), *_transfer_table(config))
    return (*shared, *rpn)


def _pyramid_table(backbone: str) -> tuple:
    if backbone not in LAST_BLOCKS:
        raise ValueError(
            f"Detectron has weights for {', '.join(LAST_BLOCKS)}. Received "
            f"the backbone {backbone!r}."
        )

    def last(level: int) -> str:
        return f"res{level}_{LAST_BLOCKS[backbone][level - 2]}_sum"

    return (
        (r"pyramid/lateral_(5)", lambda n: f"fpn_inner_{last(n)}"),
        (r"pyramid/lateral_(\d)", lambda n: f"fpn_inner_{last(n)}_lateral"),
        (r"pyramid/output_(\d)", lambda n: f"fpn_{last(n)}"),
        (r"pyramid/coarse_(\d)", lambda n: f"fpn_{n}"),
    )


def _retinanet_table(level: int) -> tuple:
    """Return the table of the heads, named after the finest level."""
    return (
        (
            r"head/class_conv_(\d)",
            lambda n: f"retnet_cls_conv_n{n}_fpn{level}",
        ),
        (r"head/class_logits", lambda: f"retnet_cls_pred_fpn{level}"),
        (r"head/box_conv_(\d)", lambda n: f"retnet_bbox_conv_n{n}_fpn{level}"),
        (r"head/box_deltas", lambda: f"retnet_bbox_pred_fpn{level}"),
    )


def _proposal_table(level: int) -> tuple:
    return (
        (r"rpn_head/convolution_0", lambda: f"conv_rpn_fpn{level}"),
        (r"rpn_head/objectness", lambda: f"rpn_cls_logits_fpn{level}"),
        (r"rpn_head/box_deltas", lambda: f"rpn_bbox_pred_fpn{level}"),
    )


def _roi_table() -> tuple:
    return (
        (r"box_head/dense_(\d)", lambda n: f"fc{n + 6}"),
        (r"box_head/class_logits", lambda: "cls_score"),
        (r"box_head/box_deltas", lambda: "bbox_pred"),
        (r"mask_head/convolution_(\d)", lambda n: f"_[mask]_fcn{n + 1}"),
        (r"mask_head/upsampling", lambda: "conv5_mask"),
        (r"mask_head/mask_logits", lambda: "mask_fcn_logits"),
        (r"keypoint_head/convolution_(\d)", lambda n: f"conv_fcn{n + 1}"),
        (r"keypoint_head/keypoint_logits", lambda: "kps_score_lowres"),
    )


def _transfer_table(config: FasterRCNNConfig) -> tuple:
    """Return the table of what Mask^X adds (seg_every_thing)."""
    if not isinstance(config, MaskXRCNNConfig):
        return ()
    last = config.transfer_depth - 1

    def layer(index: int) -> str:
        if index == last:
            return "mask_fcn_logits_w_flat"
        return f"bbox2mask_mlp_l{index + 1}"

    rows = ((r"transfer/dense_(\d)", layer),)
    if config.agnostic_branch == "mlp":
        name = AGNOSTIC_MASK.removesuffix("_w")
        rows = (*rows, (r"agnostic/mask_logits", lambda: name))
    return rows


def to_our_rows(arrays: dict, config: ModelConfig) -> dict:
    """Put background last and features in our order. Nothing is checked."""
    result = to_our_backbone(arrays)
    if not isinstance(config, FasterRCNNConfig):
        return result
    channels = {FIRST_DENSE: config.pyramid.filters}
    if isinstance(config, MaskXRCNNConfig):
        channels[AGNOSTIC_MASK] = config.mask_filters
    for name in channels.keys() & result.keys():
        result[name] = layouts.channels_last(result[name], channels[name])
    for layer, (num_slots, slots, size) in _class_layers(config).items():
        for name in (f"{layer}_w", f"{layer}_b"):
            if len(result.get(name, ())) == num_slots * size:
                result[name] = layouts.take_slots(
                    result[name], num_slots, slots, size
                )
    return result


def _class_layers(config: FasterRCNNConfig) -> dict:
    """Return the layers by class: how many slots, those we take, rows of each.

    Class-agnostic boxes have two slots, of which background's is unused.
    """
    num_slots = config.num_classes + 1
    classes = tuple(range(1, num_slots))
    layers = {"cls_score": (num_slots, (*classes, 0), 1)}
    if config.class_agnostic_boxes:
        layers["bbox_pred"] = (2, (1,), 4)
    else:
        layers["bbox_pred"] = (num_slots, classes, 4)
    if getattr(config, "masks", "") == "class":
        layers["mask_fcn_logits"] = (num_slots, classes, 1)
    return layers


def to_our_backbone(arrays: dict) -> dict:
    """Complete the norms: the statistics are inside scale and offset."""
    result = dict(arrays)
    for name, array in arrays.items():
        if name.endswith("_bn_s"):
            layer = name.removesuffix("_s")
            result[f"{layer}_mean"] = np.zeros_like(array)
            result[f"{layer}_variance"] = np.ones_like(array)
    return result
