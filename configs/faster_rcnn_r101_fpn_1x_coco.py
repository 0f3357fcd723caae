"""Faster R-CNN, ResNet-101-FPN, 1x, COCO 2017, as in the papers.

    python -m keras_fair.bin.train --config=faster_rcnn_r101_fpn_1x_coco \
        --set data.root=/data/coco \
        --workdir=/runs/faster_rcnn_r101_fpn_1x_coco

On val2017 this recipe gives box AP 39.4 (Detectron).
Not verified with this package.
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    FasterRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=FasterRCNNConfig(backbone=BackboneConfig(name="resnet101")),
        # train2017 has boxes without area.
        data=DataConfig(
            on_bad_record="skip",
        ),
        train=TrainConfig(
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
