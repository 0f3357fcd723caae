"""Find what is wrong with a data set before training.

    python -m keras_fair.bin.doctor /data/coco --report=/tmp/report
    python -m keras_fair.bin.doctor /data/VOC2012
    python -m keras_fair.bin.doctor instances.json --images=photos

DATASET is a json of COCO's or LVIS's format, a folder with one or more of
them (annotations/instances_*.json), or a folder of Pascal VOC. Prints each
fault with its count and examples; --report writes `doctor.json` and the page
`doctor.html` with pictures of the worst, of several data sets a folder each.
With --config also the share of boxes that its anchors cover, their levels, and
the memory of a step; the data sets are then the config's own unless one is
given, files of any format, shards and all sources of a union:

    python -m keras_fair.bin.doctor --config=mask_rcnn_r50_fpn_1x_coco \
        --set data.root=/data/coco --split=val

Exit status: 0 no errors (warnings perhaps), 1 errors, 2 wrong usage or
another failure of the program.
"""

import os
import sys

import keras
from absl import app, flags

from keras_fair.bin import experiments
from keras_fair.config import SourceConfig
from keras_fair.data import datasets
from keras_fair.doctor import (
    coverage,
    examination,
    memory,
    page,
    sources,
    tables,
)

ANNOTATIONS = flags.DEFINE_string(
    "annotations", None, "Json of the data set, in the place of DATASET."
)
IMAGES = flags.DEFINE_string("images", None, "Folder of the image files.")
SPLIT = flags.DEFINE_enum(
    "split", "train", ["train", "val"], "Of the config's own data set."
)
REPORT = flags.DEFINE_string("report", None, "Folder for the report's files.")

FAILED = 2  # exit status; that of errors in the data is 1


def choose(arguments: list[str], config) -> list[SourceConfig]:
    """Return the data sets that the command line names.

    Args:
        arguments: DATASET, or none.
        config: the data's settings, or None.
    """
    given = [*arguments, *filter(None, [ANNOTATIONS.value])]
    if len(given) == 1 and IMAGES.value and not os.path.isdir(given[0]):
        return [SourceConfig(sources.JSON, given[0], IMAGES.value)]
    if len(arguments) == len(given) == 1 and not IMAGES.value:
        if os.path.isfile(arguments[0]):
            raise app.UsageError("Give --images of the json.", FAILED)
        try:
            return sources.of_path(arguments[0])
        except ValueError as error:
            raise app.UsageError(str(error), FAILED) from error
    if given or IMAGES.value or not config:
        raise app.UsageError(
            "Give one DATASET, a json with --images or a folder without; or "
            "--config.",
            FAILED,
        )
    return datasets.sources_of(config, SPLIT.value)


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


def examine(chosen: list[SourceConfig]) -> list[examination.Examination]:
    """Examine one data set after the other."""
    examinations = []
    for number, source in enumerate(chosen, start=1):
        if len(chosen) > 1:
            show(f"\n{number} of {len(chosen)}: {sources.name_of(source)}")
        found = examination.examine_source(source, progress_bar())
        examinations.append(found)
    return examinations


def show(text: str) -> None:
    """Print text; what a terminal cannot show must not stop the program."""
    encoding = sys.stdout.encoding or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding))


def report_folder(number: int, found: examination.Examination) -> str:
    """Return the folder of one of several reports: "2-VOC2012"."""
    name = os.path.basename(os.path.normpath(found.source.annotations))
    name = name.removesuffix(".json")
    return os.path.join(REPORT.value, f"{number}-{name}")


def make_report_folder() -> None:
    """Make --report's folder before the work that it is for.

    Raises:
        ValueError: it cannot be made.
    """
    try:
        os.makedirs(REPORT.value, exist_ok=True)
    except OSError as error:
        raise ValueError(
            "Expected --report as a folder that is there or can be made. "
            f"Received: {REPORT.value} ({error.strerror}). Name another."
        ) from error


def main(arguments) -> int:
    experiment = None
    if experiments.CONFIG.value:
        experiment = experiments.load(experiments.CONFIG.value)
    elif experiments.SET.value:
        raise app.UsageError("Give --config, which --set changes.", FAILED)
    chosen = choose(arguments[1:], experiment and experiment.data)
    if REPORT.value:
        make_report_folder()
    examinations = examine(chosen)
    covered, needed = [], None
    if experiment:
        is_own = not (arguments[1:] or ANNOTATIONS.value)
        split = SPLIT.value if is_own else ""
        coverage.check_together(examinations, experiment, split)
        needed = memory.estimate(experiment)
    for number, found in enumerate(examinations, start=1):
        if experiment:
            covered = coverage.check(found.survey, experiment, found.findings)
        if len(chosen) > 1:
            show(f"\n{number} of {len(chosen)}: {found.annotations}")
        show(tables.as_text(found, covered, needed))
        if REPORT.value:
            folder = REPORT.value
            if len(chosen) > 1:
                folder = report_folder(number, found)
            path = page.write(folder, found, covered, needed)
            show(f"The report is {path}.")
    return int(any(each.findings.num("error") for each in examinations))


def run() -> None:
    """Start the program; the console script points here."""
    try:
        experiments.run(main)
    except SystemExit as stop:
        # absl ends with 1 where it cannot parse the flags, Python where the
        # code is a message.
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        elif flags.FLAGS.is_parsed():
            sys.exit(stop.code)
        sys.exit(FAILED)


if __name__ == "__main__":
    run()
