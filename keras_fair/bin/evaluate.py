"""Print the COCO AP of a trained detector.

python -m keras_fair.bin.evaluate --workdir=/tmp/run
"""

import os

from absl import flags

from keras_fair.bin import experiments
from keras_fair.data.coco import CocoDataset
from keras_fair.evaluation.scoring import format_report
from keras_fair.models import load_preset

SPLIT = flags.DEFINE_enum("split", "val", ["train", "val"], "Which images.")
OUTPUT = flags.DEFINE_string(
    "output", None, "Write the detections as COCO json to this file."
)


def main(_) -> None:
    workdir = experiments.WORKDIR.value or ""
    experiment = experiments.load(
        experiments.CONFIG.value or os.path.join(workdir, "config.json")
    )
    model = load_preset(
        experiments.MODEL.value or os.path.join(workdir, "model")
    )
    dataset = CocoDataset.from_config(experiment.data, SPLIT.value)
    report, evaluator = experiments.evaluate_coco(model, dataset, experiment)
    print(format_report(report))
    if OUTPUT.value:
        evaluator.save(OUTPUT.value)
        print(f"The detections are in {OUTPUT.value}.")


def run() -> None:
    """Start the program; the console script points here."""
    experiments.run(main)


if __name__ == "__main__":
    run()
