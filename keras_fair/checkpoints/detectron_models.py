"""The configs of Detectron's model zoo and of seg_every_thing's models.

Boxes there end with their last pixel, "+1". A continuous box that ends a
pixel later has the same width and centre, so coding, overlap and clipping are
the same. What is left of the difference is in the configs: anchors are whole
pixels around the middle of their cell, and RoIs are pooled without the last
pixel.

Not the same, since ours works in one frame: there, RoIs are refined after
scaling them to the original image, where a box has another "+1". At P7, it
keeps RetinaNet's detections below the threshold. Heat maps of keypoints are
enlarged with zeros beyond their border, ours repeat it. Masks are pasted into
a box that is a pixel of the original image smaller, without its last. Images
are sampled by the factor before sizes are rounded: at the far edge, half a
pixel beside ours at the most.
"""

import dataclasses

from keras_fair import config as config_lib
from keras_fair.checkpoints import coco_categories

PIXELS = config_lib.PixelConfig(
    channel_order="bgr",
    mean=(102.9801, 115.9465, 122.7717),
    resize="bilinear",  # OpenCV's
)
# With the statistics inside scale and offset, nothing is divided by.
BACKBONE = config_lib.BackboneConfig(norm_epsilon=0.0)
ANCHORS = {"anchor_offset": 0.5, "anchor_rounding": "cell"}
PROPOSALS = config_lib.ProposalConfig(**ANCHORS)
SHARED = {"pixels": PIXELS, "backbone": BACKBONE}
COCO = {
    **SHARED,
    "num_classes": len(coco_categories.IDS),
    "class_names": coco_categories.NAMES,
    "category_ids": coco_categories.IDS,
}
ROIS = {"proposals": PROPOSALS, "roi_aligned": False, "roi_trim": 1.0}
FASTER_RCNN = config_lib.FasterRCNNConfig(**COCO, **ROIS)
MASK_RCNN = config_lib.MaskRCNNConfig(**COCO, **ROIS, paste="integer")
KEYPOINT_RCNN = config_lib.KeypointRCNNConfig(
    **SHARED,
    **ROIS,
    class_names=coco_categories.NAMES[:1],
    category_ids=coco_categories.IDS[:1],
    keypoint_names=coco_categories.KEYPOINT_NAMES,
)
RETINANET = config_lib.RetinaNetConfig(
    **COCO, **ANCHORS, anchor_ratios=(1.0, 2.0, 0.5)
)
RPN = config_lib.RPNConfig(
    **SHARED, proposals=dataclasses.replace(PROPOSALS, max_proposals=2000)
)


def _resnet101(config):
    backbone = dataclasses.replace(BACKBONE, name="resnet101")
    return dataclasses.replace(config, backbone=backbone)


def _resnext101(config):
    backbone = dataclasses.replace(
        BACKBONE, name="resnext101_32x8d", stride_in="3x3"
    )
    return dataclasses.replace(config, backbone=backbone)


def _zoo(name: str, config, schedules: tuple[str, ...]) -> dict:
    """Return the models of a kind by the names of their config files."""
    backbones = {
        "R-50": config,
        "R-101": _resnet101(config),
        "X-101-32x8d": _resnext101(config),
    }
    return {
        f"{name}_{backbone}-FPN_{schedule}": made
        for backbone, made in backbones.items()
        for schedule in schedules
    }


MODELS = {
    **_zoo("e2e_faster_rcnn", FASTER_RCNN, ("1x", "2x")),
    **_zoo("e2e_mask_rcnn", MASK_RCNN, ("1x", "2x")),
    **_zoo("e2e_keypoint_rcnn", KEYPOINT_RCNN, ("1x", "s1x")),
    **_zoo("retinanet", RETINANET, ("1x", "2x")),
    **_zoo("rpn", RPN, ("1x",)),
}

# Masks of every class from boxes, and their two baselines.
MASK_X = config_lib.MaskXRCNNConfig(
    **COCO, **ROIS, paste="integer", agnostic_branch="mlp"
)
AGNOSTIC = dataclasses.replace(MASK_RCNN, masks="agnostic")
# 3001 classes of Visual Genome, whose names are in its annotations only.
VISUAL_GENOME = dataclasses.replace(
    MASK_X, num_classes=3001, class_names=(), category_ids=()
)
SEG_EVERY_THING_MODELS = {
    "e2e_clsbox_2_layer_mlp_nograd": MASK_X,
    "e2e_clsbox_2_layer_mlp_nograd_R101": _resnet101(MASK_X),
    "e2e_clsbox_2_layer_nograd": dataclasses.replace(
        MASK_X, agnostic_branch=""
    ),
    "e2e_clsbox_2_layer": dataclasses.replace(
        MASK_X, agnostic_branch="", stop_gradient=False
    ),
    "e2e_baseline": AGNOSTIC,
    "e2e_baseline_R101": _resnet101(AGNOSTIC),
    "runtest_clsbox_2_layer_mlp_nograd": VISUAL_GENOME,
    "runtest_clsbox_2_layer_mlp_nograd_R101": _resnet101(VISUAL_GENOME),
}
