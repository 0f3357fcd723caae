"""A small Mask^X R-CNN from random weights on a few images of COCO's layout.

Overfits the first eight images, of which only Pascal VOC's classes show their
masks, and prints mask AP on those, on the others and on all.

    python -m keras_fair.bin.train --config=mask_x_rcnn_r18_coco_tiny \
        --set data.root=coco_tiny --workdir=/runs/mask_x_rcnn_r18_coco_tiny
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
            num_classes=80,
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
                # Half of the paper's: the images are a quarter as large.
                anchor_sizes=((16.0,), (32.0,), (64.0,), (128.0,)),
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
            agnostic_branch="pooled_mlp",
        ),
        data=DataConfig(
            val_annotations="annotations/instances_train2017.json",
            val_images="train2017",
            short_sides=(192,),
            max_long_side=256,
            canvases=((192, 256), (256, 192)),
            max_images=8,
            horizontal_flip=False,
            with_masks=True,
            mask_classes=("voc",),
        ),
        train=TrainConfig(
            batch_size=4,
            steps=750,
            learning_rate=0.02,
            drop_steps=(600,),
            warmup_steps=50,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=250,
            evaluate_steps=250,
        ),
    )
