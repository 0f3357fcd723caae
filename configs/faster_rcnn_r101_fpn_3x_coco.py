"""Faster R-CNN, ResNet-101-FPN, 3x, COCO 2017, as in Detectron2.

    python -m keras_fair.bin.train --config=faster_rcnn_r101_fpn_3x_coco \
        --set data.root=/data/coco \
        --workdir=/runs/faster_rcnn_r101_fpn_3x_coco

On val2017 this recipe gives box AP 42.0 (Detectron2).
Not verified with this package.
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    FasterRCNNConfig,
    ProposalConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=FasterRCNNConfig(
            backbone=BackboneConfig(name="resnet101"),
            # Detectron2: L1 losses, 1000 proposals, adaptive sampling.
            proposals=ProposalConfig(
                box_loss_beta=0.0, max_proposals_training=1000
            ),
            box_loss_beta=0.0,
            roi_sampling_ratio=0,
        ),
        # train2017 has boxes without area.
        data=DataConfig(
            short_sides=(640, 672, 704, 736, 768, 800),
            on_bad_record="skip",
        ),
        train=TrainConfig(
            steps=270_000,
            drop_steps=(210_000, 250_000),
            warmup_steps=1_000,
            warmup_factor=0.001,
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
