"""RPN, ResNet-50-FPN, 1x, COCO 2017, as in the papers.

    python -m keras_fair.bin.train --config=rpn_r50_fpn_1x_coco \
        --set data.root=/data/coco --workdir=/runs/rpn_r50_fpn_1x_coco

On val2017 this recipe gives AR@1000 57.2 (Detectron).
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    RPNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=RPNConfig(),
        # train2017 has boxes without area.
        data=DataConfig(
            on_bad_record="skip",
        ),
        train=TrainConfig(
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
