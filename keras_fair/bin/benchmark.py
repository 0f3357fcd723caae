"""Time a detector and what was exported of it, on the images of a data set.

    python -m keras_fair.bin.benchmark --workdir=/runs/r50 \
        --annotations=instances_val2017.json --images=val2017 --limit=50 \
        --artifact=eager --artifact=graph --artifact=xla \
        --artifact=/served/r50/1 --artifact=detector.tflite

Each artefact runs in a process of its own, on one image after the other, from
uint8 pixels to detections. The first call of each size, which compiles, is a
column of its own. Peak memory is that of the whole process. Proposals are
scored by AR@100, whatever their class; all else by AP.

With --input it times how training images are made, without a model:

    python -m keras_fair.bin.benchmark --input --limit=200 \
        --config=mask_rcnn_r50_fpn_1x_coco --set data.root=/data/coco
"""

import functools
import multiprocessing
import os

from absl import app, flags

from keras_fair.bin import experiments, input_report, latency
from keras_fair.data import datasets

ARTIFACT = flags.DEFINE_multi_string(
    "artifact", ["graph"], "eager, graph, xla, or a file; repeatable."
)
ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO json.")
IMAGES = flags.DEFINE_string("images", None, "Folder of the image files.")
LIMIT = flags.DEFINE_integer("limit", 100, "How many images.", lower_bound=1)
INPUT = flags.DEFINE_bool(
    "input", False, "Time the input of the training of --config or --workdir."
)


def compare_artefacts() -> None:
    """Print a row of figures for each --artifact."""
    if not (ANNOTATIONS.value and IMAGES.value):
        raise app.UsageError("Give --annotations and --images, or --input.")
    folder = experiments.model_folder()
    width = max(map(len, ARTIFACT.value))
    # A fresh process each: memory and compiled code are not shared.
    context = multiprocessing.get_context("spawn")
    for number, artifact in enumerate(ARTIFACT.value):
        work = (artifact, folder, ANNOTATIONS.value, IMAGES.value, LIMIT.value)
        with context.Pool(1) as pool:
            row = pool.apply(latency.measure, (work,))
        if not number:
            print(" " * width, *(f"{column:>10}" for column in row))
        numbers = (f"{value:10.3f}" for value in row.values())
        print(f"{artifact:{width}}", *numbers, flush=True)


def report_input() -> None:
    """Print where the time goes in which training images are made."""
    if not (experiments.CONFIG.value or experiments.WORKDIR.value):
        raise app.UsageError("Give --config or --workdir for --input.")
    experiment = experiments.load(
        experiments.CONFIG.value
        or os.path.join(experiments.WORKDIR.value, "config.json")
    )
    dataset = datasets.open_dataset(experiment.data, "train")
    seconds = input_report.measure(
        dataset,
        experiment.data,
        experiment.train.batch_size,
        LIMIT.value,
        functools.partial(latency.show_progress, "input", unit="measurements"),
    )
    print(f"{dataset.path}: {len(dataset.records)} images")
    print(input_report.format_report(seconds))


def main(_) -> None:
    if INPUT.value:
        report_input()
    else:
        compare_artefacts()


def run() -> None:
    """Start the program; the console script points here."""
    experiments.run(main)


if __name__ == "__main__":
    run()
