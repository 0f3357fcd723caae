"""Mask R-CNN, ResNeXt-101-32x8d-FPN, 1x, COCO 2017, as in the papers.

    python -m keras_fair.bin.train --config=mask_rcnn_x101_fpn_1x_coco \
        --set data.root=/data/coco --workdir=/runs/mask_rcnn_x101_fpn_1x_coco

On val2017 this recipe gives box AP 42.1, mask AP 37.3 (Detectron).
Not verified with this package.

Keras has no weights of this backbone: give them with train.initial_weights.
"""

from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    MaskRCNNConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskRCNNConfig(backbone=BackboneConfig(name="resnext101_32x8d")),
        # train2017 has boxes without area.
        data=DataConfig(
            with_masks=True,
            on_bad_record="skip",
        ),
        train=TrainConfig(
            learning_rate=0.02,
        ),
    )
