"""RetinaNet, ResNet-50-FPN, 1x, COCO 2017.

    python -m keras_fair.bin.train --config=retinanet_r50_fpn_1x_coco \
        --set data.root=/data/coco --workdir=/runs/retinanet_r50_fpn_1x_coco

Box AP on val2017 of the same recipe: paper 35.7 (table 1e), Detectron 35.7.
Not verified with this package.
"""

from keras_fair.config import DataConfig, Experiment, TrainConfig


def get_config() -> Experiment:
    return Experiment(
        # train2017 has boxes without area.
        data=DataConfig(on_bad_record="skip"),
        train=TrainConfig(backbone_weights="imagenet"),
    )
