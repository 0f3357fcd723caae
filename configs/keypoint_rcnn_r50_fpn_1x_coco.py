"""Keypoint R-CNN, ResNet-50-FPN, 1x, COCO 2017, as in Detectron2.

    python -m keras_fair.bin.train --config=keypoint_rcnn_r50_fpn_1x_coco \
        --set data.root=/data/coco \
        --workdir=/runs/keypoint_rcnn_r50_fpn_1x_coco

On val2017 this recipe gives box AP 53.6, keypoint AP 64.0 (Detectron2).
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    KeypointRCNNConfig,
    ProposalConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=KeypointRCNNConfig(
            # Detectron2: more proposals, adaptive sampling; keypoints suffer
            # from a plain L1 loss of the boxes.
            proposals=ProposalConfig(
                box_loss_beta=0.0, max_proposals_training=1500
            ),
            box_loss_beta=0.5,
            roi_sampling_ratio=0,
        ),
        # Images of people; train2017 has boxes without area.
        data=DataConfig(
            train_annotations="annotations/person_keypoints_train2017.json",
            val_annotations="annotations/person_keypoints_val2017.json",
            short_sides=(640, 672, 704, 736, 768, 800),
            with_keypoints=True,
            on_bad_record="skip",
        ),
        train=TrainConfig(
            warmup_steps=1_000,
            warmup_factor=0.001,
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
