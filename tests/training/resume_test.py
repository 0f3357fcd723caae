"""A training that is killed and started again ends as if it never was."""

import os
import pathlib
import subprocess
import sys

import h5py
import keras
import numpy as np
import pytest

from keras_fair import optimizers
from keras_fair.data import synthetic

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="bin.train reads its data with TensorFlow",
)


def train(folder: pathlib.Path, steps: int, kills: int, seed: int) -> str:
    """Train with and without kills; return what the runs printed."""
    program = [sys.executable, "-m", "tests.training.killed_training"]
    done = subprocess.run(
        [*program, str(folder), str(steps), str(kills), str(seed)],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=1800,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def state(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Return all arrays of a checkpoint by name."""
    arrays = {}

    def read(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = item[()]

    with h5py.File(path, "r") as file:
        file.visititems(read)
    return arrays


def check_equal(folder: pathlib.Path, steps: int) -> None:
    checkpoint = f"checkpoints/step-{steps:09d}.weights.h5"
    whole = state(folder / "whole" / checkpoint)
    assert any(key.startswith("optimizer") for key in whole)
    assert any(key.startswith("keras_fair_seeds") for key in whole)
    for name in (checkpoint, "model/model.weights.h5"):
        whole = state(folder / "whole" / name)
        killed = state(folder / "killed" / name)
        assert whole.keys() == killed.keys()
        for key, values in whole.items():
            np.testing.assert_array_equal(killed[key], values, err_msg=key)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"ema_momentum": 0.5, "policy": "mixed_float16", "accumulation": 2},
    ],
    ids=["plain", "averaged, scaled and accumulated"],
)
def test_a_training_in_parts_equals_one_in_whole(
    tmp_path, changes, monkeypatch
):
    from tests.training import killed_training

    # The scale is another before each checkpoint.
    monkeypatch.setattr(optimizers.LossScaledSGD, "GROWTH_STEPS", 2)
    shapes = tmp_path / "shapes"
    synthetic.write_shapes(str(shapes), num_train=5, num_val=1)
    killed_training.run(shapes, tmp_path / "whole", 6, **changes)
    for steps in (2, 6):
        killed_training.run(shapes, tmp_path / "killed", steps, **changes)
    check_equal(tmp_path, steps=6)


@pytest.mark.slow
def test_twenty_kills_change_no_bit(tmp_path):
    # A run makes some four steps before it is killed, on a fast machine six.
    output = train(tmp_path, steps=160, kills=20, seed=1)
    assert output.count("Resuming at step") == 20
    check_equal(tmp_path, steps=160)
