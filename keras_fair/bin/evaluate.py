"""Print the COCO AP of a trained detector, or the recall of proposals.

    python -m keras_fair.bin.evaluate --workdir=/tmp/run

`--output=found.json` writes the detections as COCO's results, too: boxes
there, masks and keypoints, if any, in `found.segm.json` and
`found.keypoints.json`. Where masks were withheld in training
(data.mask_classes), the classes with and without get a row of their own; of an
oracle that saw all masks, they do with `--set data.mask_classes=voc`.
With test-time augmentation (Mask R-CNN, appendix B):

    python -m keras_fair.bin.evaluate --workdir=/tmp/run --flip \
        --short_sides=400,500,600,700,800,900,1000,1100,1200
"""

import os

from absl import app, flags

from keras_fair.bin import experiments
from keras_fair.data import datasets
from keras_fair.evaluation.scoring import format_report
from keras_fair.models import load_preset

SPLIT = flags.DEFINE_enum("split", "val", ["train", "val"], "Which images.")
SHORT_SIDES = flags.DEFINE_list(
    "short_sides",
    None,
    "Unite what is found at these sizes of the shorter side, in pixels; by "
    "default the config's largest alone.",
)
FLIP = flags.DEFINE_bool("flip", False, "Unite with what mirrored images show.")

PER_CLASS = flags.DEFINE_bool("per_class", True, "Print the AP of each class.")


def sides(config) -> list[int]:
    """Return the sizes that --short_sides asks for."""
    try:
        return [int(side) for side in SHORT_SIDES.value or ()] or [
            max(config.short_sides)
        ]
    except ValueError:
        raise app.UsageError(
            "Expected --short_sides as whole numbers, such as 400,500. "
            f"Received: {','.join(SHORT_SIDES.value)}."
        ) from None


def save(evaluator, output: str) -> list[str]:
    """Write a file of COCO's results for each IoU type; return the paths."""
    stem, extension = os.path.splitext(output)
    paths = []
    for iou_type in evaluator.iou_types:
        part = "" if iou_type == "bbox" else f".{iou_type}"
        paths.append(f"{stem}{part}{extension}")
        evaluator.save(paths[-1], iou_type)
    return paths


def main(_) -> None:
    workdir = experiments.WORKDIR.value or ""
    experiment = experiments.load(
        experiments.CONFIG.value or os.path.join(workdir, "config.json")
    )
    model = load_preset(
        experiments.MODEL.value or os.path.join(workdir, "model")
    )
    dataset = datasets.open_dataset(
        experiment.data, SPLIT.value, experiments.data_classes(model.config)
    )
    if SHORT_SIDES.value or FLIP.value:
        report, evaluator = experiments.evaluate_augmented(
            model, dataset, experiment, sides(experiment.data), FLIP.value
        )
    else:
        report, evaluator = experiments.evaluate_coco(
            model, dataset, experiment
        )
    print(format_report(report, per_class=PER_CLASS.value))
    if experiments.OUTPUT.value:
        for path in save(evaluator, experiments.OUTPUT.value):
            print(f"Detections are in {path}.")


def run() -> None:
    """Start the program; the console script points here."""
    experiments.run(main)


if __name__ == "__main__":
    run()
