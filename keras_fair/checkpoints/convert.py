"""Weights between our models and other libraries, all of them or an error.

A library's file of this folder has the tables of names, and the functions
that reorder what is not only laid out in another way; see layouts.py.
"""

import dataclasses
import re

import numpy as np

from keras_fair import config as config_lib
from keras_fair.checkpoints import (
    detectron,
    detectron2,
    layouts,
    readers,
    torchvision,
    writers,
)

TARGETS = {"torchvision": torchvision, "detectron2": detectron2}
# Detectron is read only: who runs Caffe2 still has its files.
SOURCES = {
    **TARGETS,
    "detectron": detectron,
    "seg_every_thing": detectron,
}
OURS_ALONE = ("average_positives",)  # a state of training


@dataclasses.dataclass(frozen=True)
class Report:
    """What became of the weights; names of ours, but for `ignored`."""

    loaded: tuple[str, ...]
    kept: tuple[str, ...]  # as initialised, since asked for or ours alone
    ignored: tuple[str, ...]  # names in the file that mean nothing here


def load_weights_from(
    model, path: str, source: str, *, keep: tuple[str, ...] = ()
) -> Report:
    """Give a detector the weights in another library's file.

    Args:
        model: a detector; its config must be that of the file's model.
        path: see readers.read.
        source: a key of `SOURCES`.
        keep: layers or weights that stay as initialised, as
            `class_layers(model.config)` for other classes.

    Raises:
        ValueError: the file cannot be read, or any name is missing,
            unexpected or of another shape; lists all. Nothing is loaded then.
    """
    library = _library(source, SOURCES)
    arrays = library.to_our_rows(readers.read(path), model.config)
    names = _their_names(model, library.table(model.config), library)
    return _load(model, arrays, names, library.IGNORED, keep)


def copy_weights(source, model, *, keep: tuple[str, ...] = ()) -> Report:
    """Give a model the weights of one of the same kind.

    Args:
        source: a detector with the same layers; may be `model` itself.
        model: a detector.
        keep: layers or weights that stay as initialised.
    """
    weights, given = weights_by_name(model), weights_by_name(source)
    kept = [path for path in weights if _is_of(path, keep)]
    loaded = [path for path in weights if path not in kept]
    if source is not model:
        for path in loaded:
            weights[path].assign(given[path])
    return Report(tuple(loaded), tuple(kept), ())


def export_weights_to(model, path: str, target: str) -> None:
    """Write a detector's weights as the state dict of another library.

    Of `torch.save`, so that torch.load reads it; or safetensors, if the path
    ends so. The library's model must be built as `model.config` is.

    Args:
        model: a detector.
        path: the file to write, replaced atomically.
        target: a key of `TARGETS`.

    Raises:
        ValueError: the library has no counterpart of some weight.
    """
    weights = weights_by_name(model)
    arrays = {name: np.asarray(weight) for name, weight in weights.items()}
    writers.write(path, their_arrays(arrays, model.config, target))


def their_arrays(arrays: dict, config, target: str) -> dict:
    """Return values that belong to our weights under their names, as theirs.

    Args:
        arrays: by path of the weight, as `weights_by_name` has it.
        config: the model's.
        target: a key of `TARGETS`.
    """
    library = _library(target, TARGETS)
    table = library.table(config)
    theirs = {
        their_name(path, table, library.VARIABLES): layouts.to_theirs(array)
        for path, array in arrays.items()
        if path not in OURS_ALONE
    }
    return library.to_their_rows(theirs, config)


def class_layers(config) -> tuple[str, ...]:
    """Return what has a size that depends on the number of classes.

    Layers, and the embeddings of a Mask^X R-CNN: those of the new classes
    are the user's to assign.
    """
    if isinstance(config, config_lib.RetinaNetConfig):
        return ("head/class_logits",)
    if not isinstance(config, config_lib.FasterRCNNConfig):
        return ()
    layers = ["box_head/class_logits"]
    if not config.class_agnostic_boxes:
        layers.append("box_head/box_deltas")
    if isinstance(config, config_lib.MaskXRCNNConfig):
        if config.transfer_input == "embeddings":
            layers.append("class_embeddings")
        return tuple(layers)  # its transfer serves any class
    if getattr(config, "masks", "agnostic") != "agnostic":
        layers.append("mask_head/mask_logits")
    return tuple(layers)


def load_backbone_weights_from(backbone, path: str, source: str) -> Report:
    """Give one of `models.backbones` the weights of a classifier's file.

    Args, Raises: as load_weights_from.
    """
    library = _library(source, SOURCES)
    names = _their_names(backbone, library.backbone_table(), library)
    arrays = library.to_our_backbone(readers.read(path))
    return _load(backbone, arrays, names, library.IGNORED_BACKBONE, ())


def weights_by_name(model) -> dict:
    """Return the weights by path, without the name of the model itself."""
    prefix = f"{model.name}/"
    named = {w.path.removeprefix(prefix): w for w in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(f"Two weights of {model.name!r} have the same path.")
    return named


def their_name(
    path: str, table: tuple, variables: dict = layouts.TORCH_VARIABLES
) -> str:
    """Return the source's name of a weight, "head/class_logits/kernel" say.

    Args:
        path: as `weights_by_name` has it.
        table: of a library's file; see torchvision.py.
        variables: how the name ends, by the last part of the path.

    Raises:
        ValueError: no row of the table matches.
    """
    layer, _, variable = path.rpartition("/")
    for pattern, name in table:
        match = re.fullmatch(pattern, layer)
        if match and variable in variables:
            return name(*map(int, match.groups())) + variables[variable]
    raise ValueError(f"The source has no counterpart of the weight {path!r}.")


def _is_of(path: str, names: tuple[str, ...]) -> bool:
    """Say if a weight, or the layer that has it, is among the names."""
    return path in names or path.rpartition("/")[0] in names


def _library(name: str, libraries: dict):
    if name not in libraries:
        raise ValueError(
            f"Expected one of {', '.join(libraries)}. Received: {name!r}."
        )
    return libraries[name]


def _their_names(model, table: tuple, library) -> dict[str, str]:
    """Return the names of the model's weights by path, but for ours alone."""
    return {
        path: their_name(path, table, library.VARIABLES)
        for path in weights_by_name(model)
        if path not in OURS_ALONE
    }


def _load(model, arrays: dict, names: dict, ignored, keep) -> Report:
    weights = weights_by_name(model)
    kept = [
        path for path in weights if path in OURS_ALONE or _is_of(path, keep)
    ]
    loaded = [path for path in names if path not in kept]
    unused = [name for name in arrays if name not in names.values()]
    skipped = [n for n in unused if any(re.fullmatch(p, n) for p in ignored)]
    _check(
        missing=[names[path] for path in loaded if names[path] not in arrays],
        unexpected=[name for name in unused if name not in skipped],
        mismatched=[
            f"{names[path]} as {path}: expected {tuple(weights[path].shape)}, "
            f"found {layouts.to_ours(arrays[names[path]]).shape}"
            for path in loaded
            if names[path] in arrays
            and layouts.to_ours(arrays[names[path]]).shape
            != weights[path].shape
        ],
    )
    for path in loaded:
        # A copy: JAX may otherwise go on using the mapped file.
        weights[path].assign(
            np.array(layouts.to_ours(arrays[names[path]]), "float32")
        )
    return Report(tuple(loaded), tuple(kept), tuple(skipped))


def _check(**problems: list[str]) -> None:
    """Raise ValueError with everything that does not fit."""
    lines = [
        f"{len(names)} {problem}: {', '.join(names)}"
        for problem, names in problems.items()
        if names
    ]
    if lines:
        raise ValueError(
            "The file's weights are not those of this model; nothing was "
            "loaded. " + ". ".join(lines) + "."
        )
