"""Small segmentation proposals from random weights on a few COCO images.

Overfits the first eight images; a test of the whole chain.

    python -m keras_fair.bin.train --config=fpn_mask_proposals_r18_coco_tiny \
        --set data.root=coco_tiny \
        --workdir=/runs/fpn_mask_proposals_r18_coco_tiny
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    MaskProposalsConfig,
    PyramidConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskProposalsConfig(
            backbone=BackboneConfig(
                name="resnet18",
                stem_filters=32,
                norm="batch",
                frozen_stages=0,
            ),
            pyramid=PyramidConfig(
                filters=64,
                min_level=2,
                max_level=6,
                coarse="pool",
                norm="batch",  # a small head learns slowly without
            ),
            # Half of the paper's: the images are a quarter as large. So the
            # window holds the whole object.
            object_sides=(4.0,),
            head_filters=128,
            mask_size=28,
            max_detections=200,
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
        ),
        train=TrainConfig(
            batch_size=4,
            steps=500,
            learning_rate=0.02,
            drop_steps=(400,),
            warmup_steps=50,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=250,
            evaluate_steps=250,
        ),
    )
