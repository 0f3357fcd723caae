"""A small Mask^X R-CNN on drawn pairs of objects that share a box.

Masks of eight of the sixteen classes are withheld; benchmarks/mask_x_pairs.py
trains it beside a class-agnostic Mask R-CNN and one that sees all masks.
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    MaskXRCNNConfig,
    ProposalConfig,
    PyramidConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskXRCNNConfig(
            num_classes=16,
            # Boxes do not tell the classes apart: their weights are noise.
            transfer_input="class",
            backbone=BackboneConfig(
                name="resnet18",
                stem_filters=32,
                norm="batch",
                frozen_stages=0,
            ),
            pyramid=PyramidConfig(
                filters=64,
                min_level=2,
                max_level=4,
                norm="batch",  # a small head learns slowly without
            ),
            proposals=ProposalConfig(
                # Objects are 25 to 50 pixels wide: the root of the area.
                anchor_sizes=((20.0,), (30.0,), (45.0,)),
                anchor_ratios=(0.5, 1.0, 2.0),
                num_samples=64,
                candidates_per_level_training=200,
                candidates_per_level=200,
                max_proposals_training=100,
                max_proposals=50,
            ),
            num_samples=32,
            roi_max_level=4,
            box_head_units=(256, 256),
            mask_depth=2,
            mask_filters=32,
            mask_norm="batch",
            max_detections=20,
        ),
        data=DataConfig(
            train_annotations="annotations/instances_train.json",
            train_images="train",
            val_annotations="annotations/instances_val.json",
            val_images="val",
            short_sides=(96,),
            max_long_side=96,
            canvases=((96, 96),),
            with_masks=True,
            mask_size=56,
            max_objects=6,
            mask_classes=(
                "red_small",
                "lime_small",
                "cyan_large",
                "violet_large",
                "red_tall",
                "cyan_tall",
                "lime_wide",
                "violet_wide",
            ),
        ),
        train=TrainConfig(
            batch_size=8,
            steps=900,
            learning_rate=0.05,
            drop_steps=(720,),
            warmup_steps=50,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=900,
            evaluate_steps=900,
        ),
    )
