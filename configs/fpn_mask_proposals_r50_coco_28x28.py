"""Segmentation proposals, ResNet-50-FPN, two heads, 28x28 masks, COCO.

    python -m keras_fair.bin.train --config=fpn_mask_proposals_r50_coco_28x28 \
        --set data.root=/data/coco \
        --workdir=/runs/fpn_mask_proposals_r50_coco_28x28

The paper reports segment AR@1000 46.7 (FPN, table 6), trained on train2014, on
the first 5000 images of val2014. It does not state decay and momentum.
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    MaskProposalsConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskProposalsConfig(
            windows=(5, 7),
            object_sides=(8.0, 11.313708),  # 8 * sqrt(2)
            mask_size=28,
        ),
        # train2017 has boxes without area.
        data=DataConfig(
            with_masks=True,
            on_bad_record="skip",
        ),
        train=TrainConfig(
            steps=80_000,
            learning_rate=0.03,
            drop_steps=(60_000,),
            backbone_weights="imagenet",
        ),
    )
