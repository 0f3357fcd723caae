"""Mask R-CNN, ResNet-50-FPN, 1x, COCO 2017, as in the papers.

    python -m keras_fair.bin.train --config=mask_rcnn_r50_fpn_1x_coco \
        --set data.root=/data/coco --workdir=/runs/mask_rcnn_r50_fpn_1x_coco

On val2017 this recipe gives box AP 37.7, mask AP 33.9 (Detectron).
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    MaskRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskRCNNConfig(),
        # train2017 has boxes without area.
        data=DataConfig(
            with_masks=True,
            on_bad_record="skip",
        ),
        train=TrainConfig(
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
