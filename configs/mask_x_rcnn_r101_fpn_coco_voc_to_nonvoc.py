"""Mask^X R-CNN, ResNet-101-FPN: masks of VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_x_rcnn_r101_fpn_coco_voc_to_nonvoc \
        --set data.root=/data/coco \
        --workdir=/runs/mask_x_rcnn_r101_fpn_coco_voc_to_nonvoc

The paper's best form: "class+box" weights, two layers, stop-gradient, end to
end, with the MLP branch. Mask AP on the other 60 classes: 23.8 in
the paper's table 2, where an oracle with all masks has 34.4.
Not verified with this package.
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    MaskXRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskXRCNNConfig(
            backbone=BackboneConfig(name="resnet101"),
            agnostic_branch="mlp",
        ),
        data=DataConfig(
            with_masks=True,
            mask_classes=("voc",),
            on_bad_record="skip",  # train2017 has boxes without area
        ),
        train=TrainConfig(
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
