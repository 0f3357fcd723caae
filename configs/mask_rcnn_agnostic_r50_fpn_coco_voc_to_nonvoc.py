"""Class-agnostic Mask R-CNN: masks of VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_rcnn_agnostic_r50_fpn_coco_voc_to_nonvoc \
        --set data.root=/data/coco \
        --workdir=/runs/mask_rcnn_agnostic_r50_fpn_coco_voc_to_nonvoc

The paper's baseline. Mask AP on the other 60 classes: 19.2 in table 2.
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    MaskRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskRCNNConfig(masks="agnostic"),
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
