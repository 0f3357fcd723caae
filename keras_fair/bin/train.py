"""Train a detector.

    python -m keras_fair.bin.train --config=tiny_synthetic --workdir=/tmp/run \
        --set data.root=/tmp/shapes --set train.batch_size=4

Writes the resolved config, checkpoints, logs and the preset `model/` into the
work directory; run it again to go on from the last checkpoint. On several
hosts, start it on each with its TF_CONFIG and a work directory that all see.
"""

import dataclasses
import os

import keras
import tensorflow as tf
from absl import flags, logging

from keras_fair import config as config_lib
from keras_fair import config_files, files
from keras_fair.bin import experiments
from keras_fair.checkpoints import keras_applications
from keras_fair.data import datasets
from keras_fair.data.pipeline import make_dataset
from keras_fair.evaluation import scoring
from keras_fair.models import build_model, load_initial_weights
from keras_fair.training import checkpoints, distribution
from keras_fair.training.train import train

DISTRIBUTION = flags.DEFINE_enum(
    "distribution", "auto", distribution.NAMES, "Devices; see docs/training.md."
)
# Settings of the data that may change when a training goes on: where its files
# are, and that bad ones are skipped.
MAY_CHANGE = (
    *("root", "prepared", "annotations", "images", "coco_val"),
    *("train_annotations", "train_images", "val_annotations", "val_images"),
    "on_bad_record",
)
# Settings of the training that may not: a checkpoint's state depends on them.
MUST_STAY = ("seed", "accumulation", "ema_momentum", "policy")


def train_experiment(
    experiment: config_lib.Experiment, workdir: str, devices: str = "none"
) -> dict:
    """Train, evaluate and save; return the last evaluation.

    Args:
        experiment: all settings.
        workdir: see training.train.
        devices: one of distribution.NAMES.

    Raises:
        ValueError: data sets that do not fit the model or each other, or a
            work directory of another experiment.
    """
    chosen = distribution.choose(devices)  # before any other work on them
    train_data = datasets.open_dataset(experiment.data, "train")
    val_data = datasets.open_dataset(
        experiment.data, "val", train_data.class_names
    )
    experiments.check_same_categories(train_data, val_data)
    model_config = experiments.complete_model_config(
        experiment.model, train_data, experiment.data
    )
    experiment = dataclasses.replace(experiment, model=model_config)
    tf.io.gfile.makedirs(workdir)
    check_same_run(experiment, workdir)
    if chosen.process == 0:
        config_files.save(experiment, os.path.join(workdir, "config.json"))

    settings = experiment.train
    batch_size = distribution.batch_of_process(settings, chosen)
    with chosen.scope():
        model = _build(experiment)

    def start_at(step: int):
        batches = make_dataset(
            train_data,
            experiment.data,
            batch_size=batch_size,
            training=True,
            seed=settings.seed,
            start_step=step,
            shard=(chosen.process, chosen.num_processes),
        )
        if settings.accumulation == 1:
            return batches
        return batches.rebatch(batch_size // settings.accumulation, True)

    def evaluate(model) -> dict:
        return experiments.evaluate_coco(model, val_data, experiment, chosen)[0]

    has_subsets = experiments.mask_subsets(
        experiment.data, train_data.class_names
    ) and not isinstance(model_config, config_lib.ProposerConfig)
    return train(
        model,
        start_at,
        settings,
        workdir,
        chosen=chosen,
        evaluate=evaluate,
        subsets=scoring.MASK_SUBSETS if has_subsets else None,
    )


def check_same_run(experiment: config_lib.Experiment, workdir: str) -> None:
    """Refuse to go on from the checkpoints of another experiment.

    The model, the data (but for `MAY_CHANGE`) and `MUST_STAY` must be the same.
    The schedule may change: to train longer, or to mend it on the way.

    Raises:
        ValueError: another experiment; the message has what differs.
    """
    path = os.path.join(workdir, "config.json")
    folder = os.path.join(workdir, checkpoints.FOLDER)
    if not (tf.io.gfile.exists(path) and checkpoints.names(folder)):
        return
    with files.local_copy(path) as copy:
        saved = config_files.load(copy)
    must_stay = tuple(f"train.{name}" for name in MUST_STAY)
    found = config_files.differences(saved, experiment)
    differ = [
        f"{name} is {str(new)[:60]!r} and was {str(old)[:60]!r}"
        for name, (old, new) in found.items()
        if name.startswith(("model.", "data.")) or name in must_stay
        if name.rpartition(".")[2] not in MAY_CHANGE
    ]
    if differ:
        raise ValueError(
            f"Expected the experiment whose checkpoints are in {workdir}. "
            f"Received another: {'; '.join(differ[:3])}. Give another "
            f"--workdir, or the settings of {path}."
        )


def _build(experiment: config_lib.Experiment) -> keras.Model:
    """Return the model with the weights that the training starts from.

    Raises:
        ValueError: a frozen detector that nothing was loaded into.
    """
    settings = experiment.train
    is_frozen = getattr(experiment.model, "freeze_detector", False)
    if is_frozen and not settings.initial_weights:
        raise ValueError(
            "Expected a trained detector for model.freeze_detector, whose own "
            "weights are random and would stay so. Add --set "
            "train.initial_weights= and the folder of a Faster R-CNN's preset."
        )
    keras.utils.set_random_seed(settings.seed)
    model = build_model(experiment.model, dtype=settings.policy)
    if settings.backbone_weights:
        keras_applications.load_resnet(
            model.backbone, settings.backbone_weights
        )
    if settings.initial_weights:
        load_initial_weights(model, settings.initial_weights)
    logging.info("Training %d weights.", model.count_params())
    return model


def main(arguments) -> None:
    experiments.refuse_arguments(arguments)
    experiment = experiments.load(experiments.CONFIG.value)
    workdir = experiments.WORKDIR.value
    report = train_experiment(experiment, workdir, DISTRIBUTION.value)
    print(scoring.format_report(report))
    print(f"The model is in {os.path.join(workdir, 'model')}.")


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flags_as_required(["config", "workdir"])
    experiments.run(main)


if __name__ == "__main__":
    run()
