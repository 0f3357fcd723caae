"""A small RetinaNet on generated shapes: minutes on a CPU.

    python -m keras_fair.bin.train --config=tiny_synthetic \
        --set data.root=demo/shapes --workdir=/runs/tiny_synthetic

`python -m keras_fair.bin.demo` draws the shapes (and trains a Mask R-CNN).
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
            num_classes=3,
            backbone=BackboneConfig(
                name="resnet18",
                stem_filters=32,
                norm="batch",
                frozen_stages=0,
            ),
            pyramid=PyramidConfig(filters=64, max_level=5),
            head_depth=2,
            head_filters=64,
            head_norm="group",  # a small head learns slowly without
            # Shapes are 24 to 90 pixels wide.
            anchor_sizes=((24.0, 32.0), (45.0, 64.0), (90.0, 128.0)),
        ),
        data=DataConfig(
            train_annotations="annotations/instances_train.json",
            train_images="train",
            val_annotations="annotations/instances_val.json",
            val_images="val",
            short_sides=(128,),
            max_long_side=160,
            canvases=((128, 160),),
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
