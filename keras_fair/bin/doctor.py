"""Find what is wrong with a data set in COCO's format, before training.

    python -m keras_fair.bin.doctor --annotations=instances.json \
        --images=photos --report=/tmp/report

Prints each fault with its count and examples; --report writes `doctor.json`
and the page `doctor.html` with pictures of the worst. With --config also the
share of boxes that its anchors cover, their levels, and the memory of a step;
the data set is then the config's own unless it is given:

    python -m keras_fair.bin.doctor --config=mask_rcnn_r50_fpn_1x_coco \
        --set data.root=/data/coco --split=val

Exit status: 0 no errors (warnings perhaps), 1 errors, 2 wrong usage.
"""

import os
import sys

import keras
from absl import app, flags

from keras_fair.bin import experiments
from keras_fair.doctor import coverage, examination, memory, page, tables

ANNOTATIONS = flags.DEFINE_string("annotations", None, "Json of the data set.")
IMAGES = flags.DEFINE_string("images", None, "Folder of the image files.")
SPLIT = flags.DEFINE_enum(
    "split", "train", ["train", "val"], "Of the config's own data set."
)
REPORT = flags.DEFINE_string("report", None, "Folder for the report's files.")

WRONG_USAGE = 2  # exit status; that of errors is 1


def paths(config) -> tuple[str, str]:
    """Return the annotation file and image folder that the flags name.

    Args:
        config: the data's settings, or None.
    """
    if ANNOTATIONS.value and IMAGES.value:
        return ANNOTATIONS.value, IMAGES.value
    if ANNOTATIONS.value or IMAGES.value or not config:
        raise app.UsageError(
            "Give --annotations and --images, or --config.", WRONG_USAGE
        )
    if config.prepared or getattr(config, f"{SPLIT.value}_sources"):
        raise app.UsageError(
            "The config has shards (data.prepared) or unites several data "
            "sets. Examine each json that they come from: give --annotations "
            "and --images.",
            WRONG_USAGE,
        )
    return tuple(
        os.path.join(config.root, getattr(config, f"{SPLIT.value}_{part}"))
        for part in ("annotations", "images")
    )


def progress_bar():
    """Return a function of (images done, all) that shows them."""
    bar = None

    def show(num_done: int, num_all: int) -> None:
        nonlocal bar
        if bar is None:
            bar = keras.utils.Progbar(num_all, unit_name="image")
        if num_done:
            bar.update(num_done)

    return show


def main(_) -> int:
    experiment = None
    if experiments.CONFIG.value:
        experiment = experiments.load(experiments.CONFIG.value)
    found = examination.examine(
        *paths(experiment and experiment.data), progress_bar()
    )
    covered, needed = [], None
    if experiment:
        covered = coverage.check(found.survey, experiment, found.findings)
        needed = memory.estimate(experiment)
    text = tables.as_text(found, covered, needed)
    # What a terminal cannot show must not stop the program.
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))
    if REPORT.value:
        path = page.write(REPORT.value, found, covered, needed)
        print(f"The report is {path}.")
    return int(found.findings.num("error") > 0)


def run() -> None:
    """Start the program; the console script points here."""
    try:
        experiments.run(main)
    except SystemExit as stop:
        # absl ends with 1 where it cannot parse the flags.
        is_parsed = flags.FLAGS.is_parsed()
        sys.exit(stop.code if is_parsed else WRONG_USAGE)


if __name__ == "__main__":
    run()
