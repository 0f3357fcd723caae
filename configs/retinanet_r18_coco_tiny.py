"""A small RetinaNet from random weights on a few images of COCO's layout.

Overfits the first eight images; a test of the whole chain, not a detector.

    python -m keras_fair.bin.train --config=retinanet_r18_coco_tiny \
        --set data.root=coco_tiny --workdir=/runs/retinanet_r18_coco_tiny
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    PyramidConfig,
    RetinaNetConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=RetinaNetConfig(
            backbone=BackboneConfig(
                name="resnet18",
                stem_filters=32,
                norm="batch",
                frozen_stages=0,
            ),
            pyramid=PyramidConfig(filters=128),
            head_depth=2,
            head_filters=128,
            head_norm="group",  # a small head learns slowly without
            # Half of the paper's: the images are a quarter as large.
            anchor_sizes=tuple(
                tuple(16.0 * 2**level * 2 ** (third / 3) for third in range(3))
                for level in range(5)
            ),
        ),
        data=DataConfig(
            val_annotations="annotations/instances_train2017.json",
            val_images="train2017",
            short_sides=(192,),
            max_long_side=256,
            canvases=((192, 256), (256, 192)),
            max_images=8,
            horizontal_flip=False,
        ),
        train=TrainConfig(
            batch_size=4,
            steps=500,
            learning_rate=0.02,
            drop_steps=(400,),
            warmup_steps=100,
            warmup_factor=0.1,
            clip_norm=10.0,
            checkpoint_steps=250,
            evaluate_steps=250,
        ),
    )
