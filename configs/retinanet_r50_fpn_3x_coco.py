"""RetinaNet, ResNet-50-FPN, 3x with short sides of 640 to 800, COCO 2017.

    python -m keras_fair.bin.train --config=retinanet_r50_fpn_3x_coco \
        --set data.root=/data/coco --workdir=/runs/retinanet_r50_fpn_3x_coco

Box AP on val2017 of Detectron2's recipe, which this follows: 38.7.
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    RetinaNetConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        # Detectron2's baselines use L1.
        model=RetinaNetConfig(box_loss_beta=0.0, normalizer="ema"),
        data=DataConfig(
            short_sides=(640, 672, 704, 736, 768, 800),
            on_bad_record="skip",  # train2017 has boxes without area
        ),
        train=TrainConfig(
            steps=270_000,
            drop_steps=(210_000, 250_000),
            warmup_steps=1_000,
            warmup_factor=0.001,
            backbone_weights="imagenet",
        ),
    )
