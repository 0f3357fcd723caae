"""The configs of Detectron2's model zoo: COCO, feature pyramids.

L1 box losses, RoIAlign with as many samples as a RoI has cells, and Caffe2's
ResNets: BGR pixels, the stride in the first 1x1.
"""

import dataclasses

from keras_fair import config as config_lib
from keras_fair.checkpoints import coco_categories

PIXELS = config_lib.PixelConfig(
    channel_order="bgr", mean=(103.53, 116.28, 123.675), resize="antialias"
)
BACKBONE = config_lib.BackboneConfig(norm_epsilon=1e-5)
PROPOSALS = config_lib.ProposalConfig(
    box_loss_beta=0.0, max_proposals_training=1000
)
COCO = {
    "num_classes": len(coco_categories.IDS),
    "class_names": coco_categories.NAMES,
    "category_ids": coco_categories.IDS,
    "pixels": PIXELS,
    "backbone": BACKBONE,
}
R_CNN = {
    **COCO,
    "proposals": PROPOSALS,
    "roi_sampling_ratio": 0,
    "box_loss_beta": 0.0,
}
FASTER_RCNN = config_lib.FasterRCNNConfig(**R_CNN)
MASK_RCNN = config_lib.MaskRCNNConfig(**R_CNN, paste="sampled")
# More proposals and a smoother loss than the others: plain L1 costs it AP of
# keypoints, Detectron2 says.
KEYPOINT_RCNN = config_lib.KeypointRCNNConfig(
    **{
        **R_CNN,
        "num_classes": 1,
        "class_names": coco_categories.NAMES[:1],
        "category_ids": coco_categories.IDS[:1],
        "proposals": dataclasses.replace(
            PROPOSALS, max_proposals_training=1500
        ),
        "box_loss_beta": 0.5,
    },
    keypoint_names=coco_categories.KEYPOINT_NAMES,
)
RETINANET = config_lib.RetinaNetConfig(
    **COCO, box_loss_beta=0.0, normalizer="ema", clip_before_nms=False
)
RPN = config_lib.RPNConfig(
    pixels=PIXELS,
    backbone=BACKBONE,
    proposals=dataclasses.replace(PROPOSALS, max_proposals=2000),
)


def _resnet101(config):
    backbone = dataclasses.replace(BACKBONE, name="resnet101")
    return dataclasses.replace(config, backbone=backbone)


def _resnext101(config):
    backbone = dataclasses.replace(
        BACKBONE, name="resnext101_32x8d", stride_in="3x3"
    )
    pixels = dataclasses.replace(PIXELS, std=(57.375, 57.12, 58.395))
    return dataclasses.replace(config, backbone=backbone, pixels=pixels)


MODELS = {
    "faster_rcnn_R_50_FPN_1x": FASTER_RCNN,
    "faster_rcnn_R_50_FPN_3x": FASTER_RCNN,
    "faster_rcnn_R_101_FPN_3x": _resnet101(FASTER_RCNN),
    "faster_rcnn_X_101_32x8d_FPN_3x": _resnext101(FASTER_RCNN),
    "mask_rcnn_R_50_FPN_1x": MASK_RCNN,
    "mask_rcnn_R_50_FPN_3x": MASK_RCNN,
    "mask_rcnn_R_101_FPN_3x": _resnet101(MASK_RCNN),
    "mask_rcnn_X_101_32x8d_FPN_3x": _resnext101(MASK_RCNN),
    "keypoint_rcnn_R_50_FPN_1x": KEYPOINT_RCNN,
    "keypoint_rcnn_R_50_FPN_3x": KEYPOINT_RCNN,
    "keypoint_rcnn_R_101_FPN_3x": _resnet101(KEYPOINT_RCNN),
    "keypoint_rcnn_X_101_32x8d_FPN_3x": _resnext101(KEYPOINT_RCNN),
    "retinanet_R_50_FPN_1x": RETINANET,
    "retinanet_R_50_FPN_3x": RETINANET,
    "retinanet_R_101_FPN_3x": _resnet101(RETINANET),
    "rpn_R_50_FPN_1x": RPN,
}
