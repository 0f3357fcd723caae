"""What the programs share: an experiment from flags, its data sets."""

import copy
import dataclasses
import os
import sys

import numpy as np
import tensorflow as tf
from absl import app, flags, logging

from keras_fair import config as config_lib
from keras_fair import config_files
from keras_fair.data import class_splits, sizes
from keras_fair.data.datasets import Dataset
from keras_fair.data.pipeline import make_dataset
from keras_fair.evaluation import scoring
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.evaluation.proposal_eval import ProposalEvaluator
from keras_fair.training import devices, evaluate, test_time

# Under test-time augmentation: 0.4 GB of detections and masks.
IMAGES_OF_PART = 500
PROPOSAL_CLASS = (("object",), (1,))  # names and category ids
INTERRUPTED = 130  # exit status: 128 + SIGINT, as a shell has it
# What a user's config, files or machine can cause; any other is a fault of a
# program, and its trace is wanted.
USER_ERRORS = (
    ValueError,
    OSError,
    RuntimeError,
    FloatingPointError,
    ImportError,  # of an extra that is not installed
    tf.errors.OpError,
)

CONFIG = flags.DEFINE_string("config", None, "Name or path of a config.")
WORKDIR = flags.DEFINE_string(
    "workdir", None, "Folder of a training: config, checkpoints, model."
)
MODEL = flags.DEFINE_string(
    "model", None, "A preset folder; by default the work directory's."
)
OUTPUT = flags.DEFINE_string("output", None, "File or folder for the results.")
SET = flags.DEFINE_multi_string(
    "set", [], "Change one value: --set train.batch_size=4. Repeatable."
)


def run(main) -> None:
    """Start a program; its --help lists these flags too.

    absl shows the flags of the file that was started, which for a console
    script is a stub. `USER_ERRORS` end the program with their message alone;
    --verbosity=1 shows where they were raised.
    """
    values = flags.FLAGS
    for module in (__name__, main.__module__):
        for flag in values.get_flags_for_module(module):
            values.register_key_flag_for_module(sys.argv[0], flag)
    sys.modules["__main__"].__doc__ = main.__globals__["__doc__"]
    try:
        app.run(main)
    except USER_ERRORS as error:
        is_fault = isinstance(error, (NotImplementedError, RecursionError))
        if is_fault or logging.level_debug():
            raise
        sys.exit(f"{error}\n(--verbosity=1 shows where in the program.)")
    except KeyboardInterrupt:
        print("Interrupted.", file=sys.stderr)
        sys.exit(INTERRUPTED)


def load(name_or_path: str) -> config_lib.Experiment:
    """Load an experiment and apply the --set flags."""
    experiment = config_files.load(name_or_path)
    for assignment in SET.value:
        experiment = config_files.override(experiment, assignment)
    return experiment


def refuse_arguments(arguments: list[str]) -> None:
    """Refuse what is no flag, such as the second of "--set a=1 b=2".

    Args:
        arguments: of `main`, the program's name first.
    """
    if arguments[1:]:
        raise app.UsageError(
            f"Expected flags alone. Received: {' '.join(arguments[1:])}. "
            "Each setting needs a --set of its own."
        )


def model_folder() -> str:
    """Return the preset folder that --model or --workdir names."""
    if MODEL.value or WORKDIR.value:
        return MODEL.value or os.path.join(WORKDIR.value, "model")
    raise app.UsageError("Give --workdir of a training, or --model.")


def check_same_categories(train: Dataset, val: Dataset) -> None:
    """Refuse two data sets in which a label means two things.

    Raises:
        ValueError: other category ids or names.
    """
    if (train.category_ids, train.class_names) != (
        val.category_ids,
        val.class_names,
    ):
        raise ValueError(
            f"Expected the same categories in {train.path} and {val.path}. "
            f"Received: {dict(zip(train.category_ids, train.class_names))} "
            f"and {dict(zip(val.category_ids, val.class_names))}."
        )


def complete_model_config(model, dataset: Dataset, data):
    """Write the names of classes and keypoints, and sizes, into a config.

    Proposals have one class, "object", whatever the data set's are.

    Raises:
        ValueError: the data set has another number of classes.
    """
    names, ids = tuple(dataset.class_names), tuple(dataset.category_ids)
    if isinstance(model, config_lib.ProposerConfig):
        names, ids = PROPOSAL_CLASS
    elif len(names) != model.num_classes:
        raise ValueError(
            f"Expected {model.num_classes} categories, the config's "
            f"model.num_classes. {dataset.path} has "
            f"{len(dataset.class_names)}. Add "
            f"--set model.num_classes={len(dataset.class_names)}."
        )
    pixels = dataclasses.replace(
        model.pixels,
        short_side=max(data.short_sides),
        max_long_side=data.max_long_side,
        resize=data.resize,
    )
    if isinstance(model, config_lib.KeypointRCNNConfig):
        model = dataclasses.replace(
            model, keypoint_names=dataset.keypoint_names
        )
    return dataclasses.replace(
        model,
        class_names=names,
        category_ids=ids,
        pixels=pixels,
    )


def data_classes(model) -> tuple[str, ...]:
    """Return the classes whose order a model's labels have; () is any.

    Args:
        model: a model's config.
    """
    if isinstance(model, config_lib.ProposerConfig):
        return ()
    return model.class_names


def mask_subsets(data, class_names: tuple[str, ...]) -> dict:
    """Return the classes with and without masks in training, if any are.

    Args:
        data: the settings of the training.
        class_names: all classes.
    """
    choice = class_splits.MaskChoice(data.mask_classes)
    return scoring.mask_subsets(choice.among(class_names), class_names)


def evaluate_coco(
    model,
    dataset: Dataset,
    experiment,
    chosen: devices.OneDevice | None = None,
):
    """Return COCO's summary on every image, and the evaluator behind it.

    Args:
        model: a detector.
        dataset: the records.
        experiment: its data settings and batch size.
        chosen: the devices; by default Keras's choice of one.
    """
    chosen = chosen or devices.OneDevice()
    batches = make_dataset(
        dataset,
        _data_for(model, experiment.data),
        batch_size=chosen.batch_to_predict(experiment.train.batch_size),
        training=False,
        shard=(chosen.process, chosen.num_processes),
    )
    evaluator = make_evaluator(model.config, dataset, experiment.data)
    report = evaluate.evaluate(
        model, batches, evaluator, len(dataset.records), chosen
    )
    return report, evaluator


def evaluate_augmented(
    model, dataset: Dataset, experiment, short_sides: list[int], flip: bool
):
    """Evaluate as `evaluate_coco`, with test-time augmentation.

    Args:
        model: a detector.
        dataset: the records.
        experiment: its data settings and batch size.
        short_sides: pixels; boxes are united in the frame of the first.
        flip: show each size mirrored, too.

    Raises:
        ValueError: an image that fits no canvas at one of the sizes.
    """
    data = _data_for(model, experiment.data)
    configs = [sizes.at_short_side(data, side) for side in short_sides]
    shapes = [(record.height, record.width) for record in dataset.records]
    for config in configs:
        sizes.check_sizes(np.reshape(shapes, (-1, 2)), config)
    batch_size = experiment.train.batch_size
    mirrored = (False, True) if flip else (False,)

    def variants_of(part: Dataset) -> list[test_time.Variant]:
        return [
            test_time.Variant(batches, is_flipped)
            for config in configs
            for batches in [
                make_dataset(
                    part, config, batch_size=batch_size, training=False
                )
            ]
            for is_flipped in mirrored
        ]

    evaluator = make_evaluator(model.config, dataset, experiment.data)
    report = test_time.evaluate(
        test_time.AugmentedDetector(model, batch_size),
        map(variants_of, _parts(dataset)),
        evaluator,
        num_views=len(shapes) * len(configs) * len(mirrored),
    )
    return report, evaluator


def _data_for(model, data):
    """Return the settings with the model's own rule of resizing."""
    return dataclasses.replace(data, resize=model.config.pixels.resize)


def make_evaluator(config, dataset: Dataset, data) -> CocoEvaluator:
    """Return what scores a model: by AP, proposals by recall.

    Args:
        config: the model's.
        dataset: the records.
        data: settings.
    """
    truth = dataset.to_coco().dataset
    if isinstance(config, config_lib.ProposerConfig):
        return ProposalEvaluator(truth)
    return CocoEvaluator(
        truth,
        keypoint_sigmas=data.keypoint_sigmas,
        subsets=mask_subsets(data, dataset.class_names),
        # A detector without masks has no such field.
        paste=getattr(config, "paste", "sampled"),
    )


def _parts(dataset: Dataset):
    """Yield the data set in parts, of which one fits in memory."""
    for first in range(0, len(dataset.records), IMAGES_OF_PART):
        part = copy.copy(dataset)
        part.records = dataset.records[first : first + IMAGES_OF_PART]
        yield part
