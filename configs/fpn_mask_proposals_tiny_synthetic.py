"""Small segmentation proposals on generated shapes: minutes on a CPU.

    python -m keras_fair.bin.train --config=fpn_mask_proposals_tiny_synthetic \
        --set data.root=demo/shapes \
        --workdir=/runs/fpn_mask_proposals_tiny_synthetic
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
                max_level=4,
                coarse="pool",
                norm="batch",  # a small head learns slowly without
            ),
            # Shapes are 24 to 90 pixels wide: 16 and 23 on P2, to 64 and 90.
            windows=(5, 7),
            object_sides=(4.0, 5.656854),
            head_filters=128,
            num_samples=64,
            max_detections=100,
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
            steps=800,
            learning_rate=0.02,
            drop_steps=(600, 740),
            warmup_steps=50,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=400,
            evaluate_steps=400,
        ),
    )
