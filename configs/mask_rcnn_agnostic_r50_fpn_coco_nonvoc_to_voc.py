"""Class-agnostic Mask R-CNN: masks of non-VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_rcnn_agnostic_r50_fpn_coco_nonvoc_to_voc \
        --set data.root=/data/coco \
        --workdir=/runs/mask_rcnn_agnostic_r50_fpn_coco_nonvoc_to_voc

The paper's baseline. Mask AP on VOC's 20 classes: 23.9 in its table 2.
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
            mask_classes=("non_voc",),
            on_bad_record="skip",  # train2017 has boxes without area
        ),
        train=TrainConfig(
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
