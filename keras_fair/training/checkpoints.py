"""Checkpoints of a running training: all that an exact resume needs.

A file holds the weights, the optimiser (its step, momentum, loss scale and
averages), and the states of the model's random generators, which Keras's own
weights files leave out. The data's position follows from the step.
"""

import contextlib
import fnmatch
import os
import re

import h5py
import keras
from absl import logging
from keras import ops

from keras_fair import files

NAME = re.compile(r"step-(\d{9})\.weights\.h5")
FOLDER = "checkpoints"  # of a work directory
PART = "part.*.weights.h5"
HEADER = 4096  # bytes that HDF5 adds to an array and its groups, at most
SEEDS = "keras_fair_seeds"  # a group beside Keras's own


def save(model: keras.Model, folder: str, *, keep: int) -> str:
    """Write the compiled model's state atomically and delete old files.

    Args:
        model: compiled; the step is its optimiser's.
        folder: made where it is missing; any path of tf.io.gfile.
        keep: how many of the newest files stay.

    Returns:
        the path of the file.
    """
    system = files.system(folder)
    system.makedirs(folder)
    files.check_free(folder, _size(model))
    target = os.path.join(folder, f"step-{step_of(model):09d}.weights.h5")
    with files.replacing(target) as part:
        with _no_distribution():
            model.save_weights(part)
        with h5py.File(part, "a") as file:
            for name, state in _seeds(model).items():
                file.create_dataset(
                    f"{SEEDS}/{name}", data=ops.convert_to_numpy(state)
                )
    parts = fnmatch.filter(system.listdir(folder), PART)
    for old in [*names(folder)[:-keep], *parts]:
        files.remove(os.path.join(folder, old))
    return target


def restore_latest(model: keras.Model, folder: str) -> int:
    """Load the newest readable checkpoint and return its step, 0 for none.

    A file that cannot be read is skipped with a warning.

    Raises:
        ValueError: a checkpoint of another model.
    """
    for name in reversed(names(folder)):
        path = os.path.join(folder, name)
        with files.local_copy(path) as copy:
            if not _is_readable(copy):
                logging.warning("Skipping the torn checkpoint %s.", path)
                continue
            _load(model, copy, path)
            _restore_seeds(model, copy)
        step = int(NAME.fullmatch(name)[1])
        _check_step(model, step, path)
        return step
    return 0


def names(folder: str) -> list[str]:
    """Return the names of a folder's checkpoints, by ascending step."""
    system = files.system(folder)
    found = system.listdir(folder) if system.isdir(folder) else []
    return sorted(filter(NAME.fullmatch, found))


def step_of(model: keras.Model) -> int:
    """Return how many steps the compiled model has trained."""
    # Not int(): a mirrored variable is no number.
    return int(ops.convert_to_numpy(model.optimizer.iterations))


def _size(model: keras.Model) -> int:
    """Return more bytes than a checkpoint takes."""
    variables = [*model.variables, *model.optimizer.variables]
    return sum(ops.convert_to_numpy(v).nbytes + HEADER for v in variables)


def _load(model: keras.Model, copy: str, path: str) -> None:
    """Keras's own error is of many lines and names no file."""
    try:
        model.load_weights(copy)
    except (ValueError, KeyError) as error:
        what = str(error).splitlines()[0]
        raise ValueError(
            f"Expected {path} to hold a model of this config. Received "
            f"another: {what} Give another --workdir, or the config of the "
            "checkpoint."
        ) from error


def _check_step(model: keras.Model, step: int, path: str) -> None:
    """Keras only warns where an optimiser's state does not fit."""
    if step_of(model) != step:
        raise ValueError(
            f"Expected {path} to hold the state of the optimiser that "
            f"train.accumulation, train.ema_momentum and train.policy "
            f"describe, at step {step}. Set them as they were, or train in a "
            "new work directory, with this file as train.initial_weights."
        )


def _seeds(model: keras.Model) -> dict:
    """Return the state of each random generator, by its place in the model.

    A name would not do: it counts the generators that the process has made.
    """
    states = [v for v in model.variables if v.name == "seed_generator_state"]
    return {f"{i:04d}": state for i, state in enumerate(states)}


def _restore_seeds(model: keras.Model, path: str) -> None:
    seeds = _seeds(model)
    with h5py.File(path, "r") as file:
        found = {k: item[()] for k, item in file.get(SEEDS, {}).items()}
    if set(found) != set(seeds):
        raise ValueError(
            f"Expected the states of {len(seeds)} random generators in "
            f"{path}. Received: {len(found)}. Train in a new work directory, "
            "with this file as train.initial_weights."
        )
    for name, state in seeds.items():
        state.assign(found[name])


@contextlib.contextmanager
def _no_distribution():
    """Leave the scope of `keras.distribution`.

    Keras makes a variable to learn what a weights file leaves out. In the
    scope all processes would have to make it, but only one writes the file.
    """
    distribution = keras.distribution.distribution()
    keras.distribution.set_distribution(None)
    try:
        yield
    finally:
        keras.distribution.set_distribution(distribution)


def _is_readable(path: str) -> bool:
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
