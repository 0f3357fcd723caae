"""Names and rows of Detectron2's detectors; see torchvision.py on tables."""

import numpy as np

from keras_fair.checkpoints import layouts
from keras_fair.config import (
    FasterRCNNConfig,
    MaskRCNNConfig,
    ModelConfig,
    RetinaNetConfig,
    RPNConfig,
)

VARIABLES = layouts.TORCH_VARIABLES
IGNORED = (
    r"pixel_mean",  # the config's
    r"pixel_std",
    r"(.*\.)?anchor_generator\..*",  # computed
    r"(.*\.)?num_batches_tracked",
)
IGNORED_BACKBONE = (*IGNORED, r"(stem\.)?fc(1000)?[._].*")

FIRST_DENSE = "roi_heads.box_head.fc1.weight"


def backbone_table(prefix: str = "") -> tuple:
    """Return the table of a ResNet.

    Args:
        prefix: "backbone.bottom_up." within a detector.
    """

    def convolution(stage: int, index: int, name: str) -> str:
        return f"{prefix}res{stage}.{index}.{name}"

    return (
        (r"stem_conv", lambda: f"{prefix}stem.conv1"),
        (r"stem_norm", lambda: f"{prefix}stem.conv1.norm"),
        (
            r"res(\d)_(\d+)_conv(\d)",
            lambda s, i, n: convolution(s, i, f"conv{n}"),
        ),
        (
            r"res(\d)_(\d+)_norm(\d)",
            lambda s, i, n: convolution(s, i, f"conv{n}.norm"),
        ),
        (r"res(\d)_(\d+)_shortcut", lambda s, i: convolution(s, i, "shortcut")),
        (
            r"res(\d)_(\d+)_shortcut_norm",
            lambda s, i: convolution(s, i, "shortcut.norm"),
        ),
    )


def _pyramid_table() -> tuple:
    return (
        (r"pyramid/lateral_(\d)", lambda n: f"backbone.fpn_lateral{n}"),
        (
            r"pyramid/lateral_norm_(\d)",
            lambda n: f"backbone.fpn_lateral{n}.norm",
        ),
        (r"pyramid/output_(\d)", lambda n: f"backbone.fpn_output{n}"),
        (
            r"pyramid/output_norm_(\d)",
            lambda n: f"backbone.fpn_output{n}.norm",
        ),
        (r"pyramid/coarse_(\d)", lambda n: f"backbone.top_block.p{n}"),
    )


def table(config: ModelConfig) -> tuple:
    """Return the table of the model zoo's detector with that config."""
    shared = (*backbone_table("backbone.bottom_up."), *_pyramid_table())
    if isinstance(config, RetinaNetConfig):
        return (*shared, *_retinanet_table(config))
    if isinstance(config, RPNConfig):
        return (*shared, *_proposal_table(config))
    return (*shared, *_proposal_table(config), *_roi_table())


def _retinanet_table(config: RetinaNetConfig) -> tuple:
    # Its towers count every module: convolution, (normalisation,) ReLU.
    stride = 3 if config.head_norm else 2
    return (
        (r"head/class_conv_(\d)", lambda n: f"head.cls_subnet.{stride * n}"),
        (
            r"head/class_norm_(\d)",
            lambda n: f"head.cls_subnet.{stride * n + 1}",
        ),
        (r"head/class_logits", lambda: "head.cls_score"),
        (r"head/box_conv_(\d)", lambda n: f"head.bbox_subnet.{stride * n}"),
        (r"head/box_norm_(\d)", lambda n: f"head.bbox_subnet.{stride * n + 1}"),
        (r"head/box_deltas", lambda: "head.bbox_pred"),
    )


def _proposal_table(config: RPNConfig | FasterRCNNConfig) -> tuple:
    head = "proposal_generator.rpn_head"
    single = config.proposals.head_depth == 1
    return (
        (
            r"rpn_head/convolution_(\d)",
            lambda n: f"{head}.conv" if single else f"{head}.conv.conv{n}",
        ),
        (r"rpn_head/objectness", lambda: f"{head}.objectness_logits"),
        (r"rpn_head/box_deltas", lambda: f"{head}.anchor_deltas"),
    )


def _roi_table() -> tuple:
    box, mask = "roi_heads.box_head", "roi_heads.mask_head"
    predictor = "roi_heads.box_predictor"
    keypoint = "roi_heads.keypoint_head"
    return (
        (r"box_head/convolution_(\d)", lambda n: f"{box}.conv{n + 1}"),
        (
            r"box_head/convolution_norm_(\d)",
            lambda n: f"{box}.conv{n + 1}.norm",
        ),
        (r"box_head/dense_(\d)", lambda n: f"{box}.fc{n + 1}"),
        (r"box_head/class_logits", lambda: f"{predictor}.cls_score"),
        (r"box_head/box_deltas", lambda: f"{predictor}.bbox_pred"),
        (r"mask_head/convolution_(\d)", lambda n: f"{mask}.mask_fcn{n + 1}"),
        (
            r"mask_head/convolution_norm_(\d)",
            lambda n: f"{mask}.mask_fcn{n + 1}.norm",
        ),
        (r"mask_head/upsampling", lambda: f"{mask}.deconv"),
        (r"mask_head/mask_logits", lambda: f"{mask}.predictor"),
        (
            r"keypoint_head/convolution_(\d)",
            lambda n: f"{keypoint}.conv_fcn{n + 1}",
        ),
        (r"keypoint_head/keypoint_logits", lambda: f"{keypoint}.score_lowres"),
    )


def to_our_rows(arrays: dict, config: ModelConfig) -> dict:
    """Reorder what differs in more than the layout. Nothing is checked.

    Its classes are ours, 0 to K - 1 and then background.
    """
    result = dict(arrays)
    if FIRST_DENSE in arrays and _has_rois(config):
        result[FIRST_DENSE] = layouts.channels_last(
            arrays[FIRST_DENSE], config.pyramid.filters
        )
    return result


def to_their_rows(arrays: dict, config: ModelConfig) -> dict:
    """Undo `to_our_rows`.

    Raises:
        ValueError: the model has what the library does not.
    """
    result = dict(arrays)
    if FIRST_DENSE in arrays:
        result[FIRST_DENSE] = layouts.channels_first(
            arrays[FIRST_DENSE], config.pyramid.filters
        )
    if _has_rois(config) and config.unused_logits:
        raise ValueError(
            "Detectron2 has no logits beyond background's. The model has "
            f"unused_logits={config.unused_logits}."
        )
    return result


def to_our_backbone(arrays: dict) -> dict:
    """Complete Caffe2's norms, of which only scale and offset were kept."""
    result = dict(arrays)
    for name, array in arrays.items():
        if name.endswith("norm.weight"):
            layer = name.removesuffix("weight")
            result.setdefault(f"{layer}running_mean", np.zeros_like(array))
            result.setdefault(f"{layer}running_var", np.ones_like(array))
    return result


def _has_rois(config: ModelConfig) -> bool:
    return isinstance(config, (FasterRCNNConfig, MaskRCNNConfig))
