"""Mask^X R-CNN on a trained, frozen detector: masks of non-VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_x_rcnn_r50_fpn_coco_nonvoc_to_voc_stage_wise \
        --set data.root=/data/coco \
        --set train.initial_weights=/runs/faster_rcnn_r50_fpn_1x_coco/model \
        --workdir=/runs/mask_x_rcnn_r50_fpn_coco_nonvoc_to_voc_stage_wise

The initial weights are a Faster R-CNN's preset folder, trained with
faster_rcnn_r50_fpn_1x_coco or converted. Compared in the paper's table 1.
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
        model=MaskXRCNNConfig(
            agnostic_branch="mlp",
            freeze_detector=True,
        ),
        data=DataConfig(
            with_masks=True,
            mask_classes=("non_voc",),
            on_bad_record="skip",  # train2017 has boxes without area
        ),
        train=TrainConfig(
            learning_rate=0.02,
        ),
    )
