"""Weights of other libraries into our models, all of them or an error.

Theirs lie as torch's: a convolution's kernel is (out, in, height, width), a
dense one's (out, in). Ours are (height, width, in, out) and (in, out).
"""

import dataclasses
import re

import numpy as np

from keras_fair.checkpoints import detectron2, readers, torchvision

SOURCES = {"torchvision": torchvision, "detectron2": detectron2}
VARIABLES = {
    "kernel": "weight",
    "bias": "bias",
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}
OURS_ALONE = ("average_positives",)  # a state of training
CLASS_LAYERS = ("head/class_logits",)  # whose size depends on the classes


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
        keep: layers whose weights stay as initialised, as
            `convert.CLASS_LAYERS` for other classes.

    Raises:
        ValueError: the file cannot be read, or any name is missing,
            unexpected or of another shape; lists all. Nothing is loaded then.
    """
    library = _library(source)
    arrays = readers.read(path)
    table = library.table(model.config)
    slots = library.class_slots(model.config)
    if slots is not None:
        arrays = _with_slots(arrays, table, slots)
    return _load(model, arrays, table, library.IGNORED, keep)


def load_backbone_weights_from(backbone, path: str, source: str) -> Report:
    """Give one of `models.backbones` the weights of a classifier's file.

    Args, Raises: as load_weights_from.
    """
    library = _library(source)
    table, ignored = library.backbone_table(), library.IGNORED_BACKBONE
    return _load(backbone, readers.read(path), table, ignored, ())


def weights_by_name(model) -> dict:
    """Return the weights by path, without the name of the model itself."""
    prefix = f"{model.name}/"
    named = {w.path.removeprefix(prefix): w for w in model.weights}
    if len(named) != len(model.weights):
        raise ValueError(f"Two weights of {model.name!r} have the same path.")
    return named


def their_name(path: str, table: tuple) -> str:
    """Return the source's name of a weight, "head/class_logits/kernel" say.

    Raises:
        ValueError: no row of the table matches.
    """
    layer, _, variable = path.rpartition("/")
    for pattern, name in table:
        match = re.fullmatch(pattern, layer)
        if match and variable in VARIABLES:
            return f"{name(*map(int, match.groups()))}.{VARIABLES[variable]}"
    raise ValueError(f"The source has no counterpart of the weight {path!r}.")


def to_ours(array: np.ndarray) -> np.ndarray:
    """Turn torch's layout into ours; vectors are the same in both."""
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def to_theirs(array: np.ndarray) -> np.ndarray:
    """Undo `to_ours`."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array


def _library(source: str):
    if source not in SOURCES:
        raise ValueError(
            f"Expected a source of {', '.join(SOURCES)}. Received: {source!r}."
        )
    return SOURCES[source]


def _with_slots(arrays: dict, table: tuple, slots: tuple[int, ...]) -> dict:
    """Take the logits of these slots, for every anchor."""
    selected, num_slots = dict(arrays), torchvision.NUM_SLOTS
    for layer in CLASS_LAYERS:
        for variable in ("kernel", "bias"):
            name = their_name(f"{layer}/{variable}", table)
            rows = arrays.get(name)  # [anchors * slots, ...]
            if rows is None or rows.ndim == 0 or len(rows) % num_slots:
                continue  # missing or of other classes: reported later
            by_slot = rows.reshape(-1, num_slots, *rows.shape[1:])
            taken = by_slot[:, list(slots)]
            selected[name] = taken.reshape(-1, *rows.shape[1:])
    return selected


def _load(model, arrays: dict, table, ignored, keep) -> Report:
    weights = weights_by_name(model)
    kept = [
        path
        for path in weights
        if path in OURS_ALONE or path.rpartition("/")[0] in keep
    ]
    names = {
        path: their_name(path, table)
        for path in weights
        if path not in OURS_ALONE
    }
    loaded = [path for path in names if path not in kept]
    unused = [name for name in arrays if name not in names.values()]
    skipped = [n for n in unused if any(re.fullmatch(p, n) for p in ignored)]
    _check(
        missing=[names[path] for path in loaded if names[path] not in arrays],
        unexpected=[name for name in unused if name not in skipped],
        mismatched=[
            f"{names[path]} as {path}: expected {tuple(weights[path].shape)}, "
            f"found {to_ours(arrays[names[path]]).shape}"
            for path in loaded
            if names[path] in arrays
            and to_ours(arrays[names[path]]).shape != weights[path].shape
        ],
    )
    for path in loaded:
        # A copy: JAX may otherwise go on using the mapped file.
        weights[path].assign(np.array(to_ours(arrays[names[path]]), "float32"))
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
