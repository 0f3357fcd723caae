"""The configs of torchvision's detectors, exactly as COCO_V1's weights run.

The first versions were trained and are run with an epsilon of 0 in their
frozen batch normalisation. Anchors are rounded, and as far apart as the
image's size divided by the level's; RoIAlign has no half-pixel offset.
"""

import dataclasses

from keras_fair import config as config_lib
from keras_fair.checkpoints import coco_categories

PIXELS = config_lib.PixelConfig(
    channel_order="rgb",
    mean=(255 * 0.485, 255 * 0.456, 255 * 0.406),
    std=(255 * 0.229, 255 * 0.224, 255 * 0.225),
    resize="floor",
)
BACKBONE = config_lib.BackboneConfig(stride_in="3x3", norm_epsilon=0.0)
BACKBONE_V2 = dataclasses.replace(BACKBONE, norm="batch", norm_epsilon=1e-5)
PROPOSALS = config_lib.ProposalConfig(
    anchor_rounding="box",
    anchor_stride="fitted",
    normalizer="sampled",
    candidates_per_level=1000,
    max_proposals=1000,
    min_side=1e-3,
)
R_CNN = {
    "num_classes": len(coco_categories.IDS),
    "class_names": coco_categories.NAMES,
    "category_ids": coco_categories.IDS,
    "unused_logits": len(coco_categories.UNUSED_IDS),
    "pixels": PIXELS,
    "roi_aligned": False,
    "box_loss_beta": 1 / 9,
    "min_side": 1e-2,
}
V1 = {**R_CNN, "backbone": BACKBONE, "proposals": PROPOSALS}
PEOPLE = {
    "num_classes": 1,
    "class_names": coco_categories.NAMES[:1],
    "category_ids": coco_categories.IDS[:1],
    "unused_logits": 0,
    "keypoint_names": coco_categories.KEYPOINT_NAMES,
}
V2 = {
    **R_CNN,
    "backbone": BACKBONE_V2,
    "pyramid": config_lib.PyramidConfig(
        min_level=2, max_level=6, coarse="pool", norm="batch"
    ),
    "proposals": dataclasses.replace(PROPOSALS, head_depth=2),
    "box_head_convolutions": 4,
    "box_head_norm": "batch",
    "box_head_units": (1024,),
}
RETINANET = config_lib.RetinaNetConfig(
    num_classes=len(coco_categories.IDS),
    class_names=coco_categories.NAMES,
    category_ids=coco_categories.IDS,
    backbone=BACKBONE,
    pixels=PIXELS,
    pyramid=config_lib.PyramidConfig(coarse_input="p5"),
    anchor_sizes=tuple(
        tuple(float(int(size * 2 ** (third / 3))) for third in range(3))
        for size in (32, 64, 128, 256, 512)
    ),
    anchor_rounding="box",
    anchor_stride="fitted",
    box_loss_beta=0.0,
    normalizer="image",
    max_detections=300,
)

MODELS = {
    "fasterrcnn_resnet50_fpn": config_lib.FasterRCNNConfig(**V1),
    "fasterrcnn_resnet50_fpn_v2": config_lib.FasterRCNNConfig(**V2),
    "maskrcnn_resnet50_fpn": config_lib.MaskRCNNConfig(**V1, paste="integer"),
    "maskrcnn_resnet50_fpn_v2": config_lib.MaskRCNNConfig(
        **V2, mask_norm="batch", paste="integer"
    ),
    "keypointrcnn_resnet50_fpn": config_lib.KeypointRCNNConfig(
        **{**V1, **PEOPLE}
    ),
    "retinanet_resnet50_fpn": RETINANET,
    "retinanet_resnet50_fpn_v2": dataclasses.replace(
        RETINANET,
        backbone=BACKBONE_V2,
        pyramid=config_lib.PyramidConfig(),
        head_norm="group",
        box_loss="giou",
    ),
}
