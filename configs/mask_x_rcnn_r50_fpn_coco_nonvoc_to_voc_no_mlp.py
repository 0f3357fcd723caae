"""Mask^X R-CNN without its MLP branch: masks of non-VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_x_rcnn_r50_fpn_coco_nonvoc_to_voc_no_mlp \
        --set data.root=/data/coco \
        --workdir=/runs/mask_x_rcnn_r50_fpn_coco_nonvoc_to_voc_no_mlp

The transfer alone, 157 million weights less (table 1c and d of the paper).
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    MaskXRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskXRCNNConfig(),
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
