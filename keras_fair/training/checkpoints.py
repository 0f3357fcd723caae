"""Checkpoints of a running training: all that an exact resume needs.

A file holds the weights, the optimiser (its step, momentum, loss scale and
averages), and the states of the model's random generators, which Keras's own
weights files leave out. The data's position follows from the step.
"""

import contextlib
import pathlib
import re

import h5py
import keras
from absl import logging
from keras import ops

from keras_fair import files

NAME = re.compile(r"step-(\d{9})\.weights\.h5")
PART = "part.*.weights.h5"
SEEDS = "keras_fair_seeds"  # a group beside Keras's own


def save(model: keras.Model, folder: str, *, keep: int) -> pathlib.Path:
    """Write the compiled model's state atomically and delete old files.

    Args:
        model: compiled; the step is its optimiser's.
        folder: made where it is missing.
        keep: how many of the newest files stay.
    """
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    target = path / f"step-{step_of(model):09d}.weights.h5"
    with files.replacing(target) as part:
        with _no_distribution():
            model.save_weights(part)
        with h5py.File(part, "a") as file:
            for name, state in _seeds(model).items():
                file.create_dataset(
                    f"{SEEDS}/{name}", data=ops.convert_to_numpy(state)
                )
    for old in [*_files(folder)[:-keep], *path.glob(PART)]:
        old.unlink(missing_ok=True)
    return target


def restore_latest(model: keras.Model, folder: str) -> int:
    """Load the newest readable checkpoint and return its step, 0 for none.

    A file that cannot be read is skipped with a warning.

    Raises:
        ValueError: a checkpoint of another model.
    """
    for path in reversed(_files(folder)):
        if not _is_readable(path):
            logging.warning("Skipping the torn checkpoint %s.", path)
            continue
        model.load_weights(path)
        _restore_seeds(model, path)
        step = int(NAME.fullmatch(path.name)[1])
        _check_step(model, step, path)
        return step
    return 0


def step_of(model: keras.Model) -> int:
    """Return how many steps the compiled model has trained."""
    # Not int(): a mirrored variable is no number.
    return int(ops.convert_to_numpy(model.optimizer.iterations))


def _check_step(model: keras.Model, step: int, path: pathlib.Path) -> None:
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


def _restore_seeds(model: keras.Model, path: pathlib.Path) -> None:
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
