"""Write a data set as shards: few large files in the place of many small.

    python -m keras_fair.bin.prepare --config=mask_rcnn_r50_fpn_1x_coco \
        --name=coco --data_dir=/data/prepared --set data.root=/data/coco
    python -m keras_fair.bin.train --config=mask_rcnn_r50_fpn_1x_coco \
        --set data.prepared=/data/prepared/keras_fair_instances/coco/1.0.0 ...

Needs `pip install 'keras-fair[tfds]'`; the training does not. A run that was
killed starts anew, and leaves a folder "incomplete..." that may be deleted.
"""

import dataclasses
import os
import sys
from collections.abc import Sequence

from absl import flags

from keras_fair import config as config_lib
from keras_fair import files
from keras_fair.bin import experiments
from keras_fair.data import datasets

try:
    from keras_fair.data import instances_builder
except ModuleNotFoundError as error:  # of an extra that is not installed
    sys.exit(str(error))

DATA_DIR = flags.DEFINE_string("data_dir", None, "Folder of prepared data.")
NAME = flags.DEFINE_string("name", None, "Of the data; default: the config's.")
VERSION = flags.DEFINE_string(
    "data_version", "1.0.0", "Of the data; a new one is written beside."
)
BEAM_RUNNER = flags.DEFINE_string(
    "beam_runner", None, "Write by this runner of Apache Beam: DirectRunner."
)
BEAM_OPTIONS = flags.DEFINE_multi_string(
    "beam_options", [], "Beam's: --beam_options=--region=a. Repeatable."
)


def prepare(
    experiment: config_lib.Experiment,
    data_dir: str,
    name: str,
    version: str = "1.0.0",
    beam_runner: str | None = None,
    beam_options: Sequence[str] = (),
) -> str:
    """Write the splits "train" and "val"; return their folder.

    All masks are written if the config has masks, and a training withholds
    those that its own config says.

    Args:
        experiment: its data settings.
        data_dir: folder of all prepared data.
        name: of the data.
        version: three numbers; what is there already is not written again.
        beam_runner: None is this process.
        beam_options: each as on Beam's command line.

    Raises:
        ValueError: a name that is no folder's.
    """
    if not name or os.path.basename(name) != name:
        raise ValueError(
            f"Expected --name as the name of a folder. Received: {name!r}. "
            "Where it lies is --data_dir's."
        )
    folder = os.path.join(data_dir, instances_builder.NAME, name, version)
    if files.system(folder).isdir(folder):
        print(f"{folder} is there already. Delete it or give another version.")
        return folder
    data = dataclasses.replace(experiment.data, mask_classes=(), mask_rate=1.0)
    train = datasets.open_dataset(data, "train")
    val = datasets.open_dataset(data, "val", train.class_names)
    builder = instances_builder.InstancesBuilder(
        {"train": train, "val": val},
        config=name,
        version=version,
        beam_runner=beam_runner,
        beam_options=beam_options,
        data_dir=data_dir,
    )
    builder.write()
    for split, info in builder.info.splits.items():
        print(f"{split}: {info.num_examples} images, {info.num_shards} files.")
    print(f"Train on them by --set data.prepared={folder}")
    return folder


def main(arguments) -> None:
    experiments.refuse_arguments(arguments)
    name = NAME.value
    if name is None:
        path = os.path.basename(experiments.CONFIG.value)
        name = path.removesuffix(".py")
    prepare(
        experiments.load(experiments.CONFIG.value),
        DATA_DIR.value,
        name,
        VERSION.value,
        BEAM_RUNNER.value,
        BEAM_OPTIONS.value,
    )


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flags_as_required(["config", "data_dir"])
    experiments.run(main)


if __name__ == "__main__":
    run()
