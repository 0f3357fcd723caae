"""Mask^X R-CNN on Visual Genome: 3000 classes, masks of COCO's 80.

    python -m keras_fair.bin.train --config=mask_x_rcnn_r50_fpn_visual_genome \
        --set data.root=/data \
        --workdir=/runs/mask_x_rcnn_r50_fpn_visual_genome

Expects COCO in /data/coco and Visual Genome in /data/visual_genome
(objects.json, image_data.json, images/). The paper, section 5, trains in two
stages and looks at pictures, as Visual Genome's boxes are not complete; this
trains the union of both data sets end to end. Its transfer sees the class
logits' rows alone and boxes are class-agnostic, which bounds the last layer.
What 3000 classes cost beyond 80, in CPU seconds of a step of one image (512
RoIs) or of its detections (1000 proposals), and memory of the process:

    boxes           weights   training        detection
    per class       +15.0 M   +0.5 s +350 MB  +0.4 s +160 MB
    class-agnostic   +2.7 M   +0.1 s  +20 MB  +0.1 s  +10 MB

Per-class suppression tries ten pairs of RoI and class for each detection
wanted; where these are repetitions, twenty of each RoI: 1.3 s at the worst.
Not verified with this package.
"""

from keras_fair.config import (
    DataConfig,
    Experiment,
    MaskXRCNNConfig,
    SourceConfig,
    TrainConfig,
)


def get_config() -> Experiment:
    return Experiment(
        model=MaskXRCNNConfig(
            num_classes=3000,
            class_agnostic_boxes=True,
            transfer_input="class",
        ),
        data=DataConfig(
            with_masks=True,
            max_objects=300,
            on_bad_record="skip",
            train_sources=(
                SourceConfig(
                    kind="visual_genome",
                    annotations="visual_genome",
                    images="visual_genome/images",
                    split="train",
                    coco_val="coco/annotations/instances_val2017.json",
                ),
                SourceConfig(
                    annotations="coco/annotations/instances_train2017.json",
                    images="coco/train2017",
                ),
            ),
            val_annotations="coco/annotations/instances_val2017.json",
            val_images="coco/val2017",
        ),
        train=TrainConfig(
            steps=180_000,
            drop_steps=(120_000, 160_000),
            learning_rate=0.02,
            backbone_weights="imagenet",
        ),
    )
