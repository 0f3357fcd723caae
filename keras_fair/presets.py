"""A preset: a folder that holds a model, or a name of another library's.

config.json        the model's config: classes, pixels, all its mathematics
model.weights.h5   Keras's weights file, without optimiser state
origin.json        of converted weights: whose they are, and their licence

A name is "torchvision/maskrcnn_resnet50_fpn", and needs a file of weights.
"""

import dataclasses
import hashlib
import json
import os
import pathlib

from keras_fair import config_files, files
from keras_fair.checkpoints import (
    convert,
    detectron2_models,
    detectron_models,
    torchvision_models,
)

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.weights.h5"
ORIGIN_NAME = "origin.json"

LIBRARIES = {
    "torchvision": torchvision_models.MODELS,
    "detectron2": detectron2_models.MODELS,
    "detectron": detectron_models.MODELS,
    "seg_every_thing": detectron_models.SEG_EVERY_THING_MODELS,
}
LICENCES = {
    "torchvision": "BSD-3-Clause; trained on COCO, whose terms apply",
    "detectron2": "CC-BY-SA-3.0 (model zoo); trained on COCO, whose terms "
    "apply",
    "detectron": "CC-BY-SA-3.0 (model zoo); trained on COCO, whose terms apply",
    # Its code is Apache-2.0; it says nothing of the weights.
    "seg_every_thing": "none stated; trained on COCO and Visual Genome, whose "
    "terms apply",
}


def read_config(folder: str):
    """Return the model config of a preset folder.

    Raises:
        FileNotFoundError: the folder lacks one of the two files.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (pathlib.Path(folder) / name).is_file():
            raise FileNotFoundError(
                f"Expected a preset folder with {CONFIG_NAME} and "
                f"{WEIGHTS_NAME}, as save_to_preset writes, or the name of "
                f"another library's model, with weights=. {str(folder)!r} "
                f"has no {name}."
            )
    text = (pathlib.Path(folder) / CONFIG_NAME).read_text(encoding="utf-8")
    return config_files.from_dict(json.loads(text))


def library_config(name: str):
    """Return the config of another library's model.

    Args:
        name: "torchvision/maskrcnn_resnet50_fpn" or its like.

    Raises:
        ValueError: an unknown name; the message lists all.
    """
    library, _, model = name.partition("/")
    if model not in LIBRARIES.get(library, {}):
        names = [f"{k}/{m}" for k, models in LIBRARIES.items() for m in models]
        raise ValueError(
            f"Expected one of {', '.join(names)}. Received: {name!r}."
        )
    return LIBRARIES[library][model]


def load_model(
    model_class,
    name_or_folder: str,
    weights: str = "",
    num_classes: int | None = None,
    **kwargs,
):
    """Build a model with the weights of a folder or of another library.

    Example:
        >>> model = MaskRCNN.from_preset(
        ...     "torchvision/maskrcnn_resnet50_fpn", weights="file.pth",
        ...     num_classes=3)
        >>> model.loading_report.kept  # as initialised
        ('box_head/class_logits/kernel', ...)

    Args:
        model_class: a Detector; the preset must be of its kind.
        name_or_folder: a preset folder; with `weights`, the name of another
            library's model.
        weights: that library's file; see checkpoints.readers.
        num_classes: of another data set. The layers that depend on it start
            anew; class names are left out.
        **kwargs: of the model.

    Returns:
        The model; its `loading_report` says what was loaded and what not.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: an unknown name, or weights that do not fit.
        TypeError: a preset of another model.
    """
    if weights:
        config = library_config(name_or_folder)
    else:
        config = read_config(name_or_folder)
    wanted = with_classes(config, num_classes)
    keep = () if wanted == config else convert.class_layers(config)
    model = model_class(wanted, **kwargs)
    if weights:
        library = name_or_folder.partition("/")[0]
        report = convert.load_weights_from(model, weights, library, keep=keep)
    else:
        full = model_class(config, **kwargs) if keep else model
        full.load_weights(os.path.join(name_or_folder, WEIGHTS_NAME))
        report = convert.copy_weights(full, model, keep=keep)
    model.loading_report = report
    return model


def with_classes(config, num_classes: int | None):
    """Return the config for another number of classes, without names.

    The same number, or None, changes nothing.
    """
    if num_classes in (None, config.num_classes):
        return config
    changes = {"num_classes": num_classes, "class_names": ()}
    if hasattr(config, "unused_logits"):
        changes["unused_logits"] = 0
    return dataclasses.replace(config, category_ids=(), **changes)


def write_origin(folder: str, name: str, weights: str) -> None:
    """Note whose weights these are, atomically.

    Args:
        folder: of the preset.
        name: see `library_config`.
        weights: the file they were read from.
    """
    with open(weights, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    origin = {
        "model": name,
        "file": os.path.basename(weights),
        "sha256": digest,
        "licence": LICENCES[name.partition("/")[0]],
    }
    files.write_json(os.path.join(folder, ORIGIN_NAME), origin, indent=2)
