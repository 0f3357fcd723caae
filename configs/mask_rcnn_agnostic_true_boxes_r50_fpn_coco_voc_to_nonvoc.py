"""Class-agnostic masks learned in true boxes: masks of VOC classes.

    python -m keras_fair.bin.train \
        --config=mask_rcnn_agnostic_true_boxes_r50_fpn_coco_voc_to_nonvoc \
        --set data.root=/data/coco \
        --workdir=/runs/mask_rcnn_agnostic_true_boxes_r50_fpn_coco_voc_to_nonvoc

The baseline, whose mask head learns in the objects' own boxes instead of
proposals: in TF Model Garden's DeepMAC 25.9 mask AP instead of 19.2 on the
classes outside Pascal VOC (longer schedule, 1024 x 1024 pixels).
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
        model=MaskRCNNConfig(
            masks="agnostic",
            train_masks_on_ground_truth_boxes=True,
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
