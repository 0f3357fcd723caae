"""A small Mask R-CNN on generated shapes: minutes on a CPU.

    python -m keras_fair.bin.train --config=mask_rcnn_tiny_synthetic \
        --set data.root=demo/shapes --workdir=/runs/mask_rcnn_tiny_synthetic
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    MaskRCNNConfig,
    ProposalConfig,
    PyramidConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskRCNNConfig(
            num_classes=3,
            backbone=BackboneConfig(
                name="resnet18",
                stem_filters=32,
                norm="batch",
                frozen_stages=0,
            ),
            pyramid=PyramidConfig(
                filters=64,
                min_level=2,
                max_level=5,
                norm="batch",  # a small head learns slowly without
            ),
            proposals=ProposalConfig(
                # Shapes are 24 to 90 pixels wide.
                anchor_sizes=((16.0,), (32.0,), (64.0,), (96.0,)),
                num_samples=64,
                candidates_per_level_training=200,
                candidates_per_level=200,
                max_proposals_training=200,
                max_proposals=100,
            ),
            num_samples=64,
            box_head_units=(256, 256),
            mask_depth=2,
            mask_filters=64,
        ),
        data=DataConfig(
            train_annotations="annotations/instances_train.json",
            train_images="train",
            val_annotations="annotations/instances_val.json",
            val_images="val",
            short_sides=(128,),
            max_long_side=160,
            canvases=((128, 160),),
            with_masks=True,
            mask_size=56,
            max_objects=10,
        ),
        train=TrainConfig(
            batch_size=8,
            steps=600,
            learning_rate=0.02,
            drop_steps=(450, 560),
            warmup_steps=50,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=300,
            evaluate_steps=300,
        ),
    )
