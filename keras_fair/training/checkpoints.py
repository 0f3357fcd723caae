"""Checkpoints of a running training: weights and optimiser, by step."""

import os
import pathlib
import re

import h5py
import keras
from absl import logging

NAME = re.compile(r"step-(\d{9})\.weights\.h5")


def save(model: keras.Model, folder: str, *, keep: int) -> pathlib.Path:
    """Write the compiled model's state atomically and delete old files.

    Args:
        model: compiled; the step is its optimiser's.
        folder: made where it is missing.
        keep: how many of the newest files stay.
    """
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    target = path / f"step-{int(model.optimizer.iterations):09d}.weights.h5"
    temporary = path / f"part.{os.getpid()}.weights.h5"
    model.save_weights(temporary)
    os.replace(temporary, target)
    for old in _files(folder)[:-keep]:
        old.unlink()
    return target


def restore_latest(model: keras.Model, folder: str) -> int:
    """Load the newest readable checkpoint and return its step, 0 for none.

    A file that cannot be read is skipped with a warning.
    """
    for path in reversed(_files(folder)):
        if not _is_readable(path):
            logging.warning("Skipping the torn checkpoint %s.", path)
            continue
        model.load_weights(path)
        return int(NAME.fullmatch(path.name)[1])
    return 0


def _files(folder: str) -> list[pathlib.Path]:
    """The checkpoints of a folder, by ascending step."""
    paths = pathlib.Path(folder).glob("step-*.weights.h5")
    return sorted(path for path in paths if NAME.fullmatch(path.name))


def _is_readable(path: pathlib.Path) -> bool:
    """Walk the whole file, so that a missing end is noticed too."""

    def read(name, item):
        if isinstance(item, h5py.Dataset):
            item[()]

    try:
        with h5py.File(path, "r") as file:
            file.visititems(read)
    except (OSError, RuntimeError, KeyError):
        return False
    return True
