"""Checkpoints: what is written is what is read."""

import pathlib

import h5py
import numpy as np
import pytest
from keras import ops

from keras_fair.training import checkpoints
from tests.models import tiny


def trained(steps: int):
    model = tiny.retinanet()
    model.compile()
    x, y = tiny.batch()
    model.fit(x, y, batch_size=2, epochs=steps, verbose=0)
    return model


@pytest.fixture(scope="module")
def model():
    return trained(2)


def fresh():
    model = tiny.retinanet(seed=1)
    model.compile()
    return model


def test_weights_and_optimizer_come_back(model, tmp_path):
    path = checkpoints.save(model, tmp_path, keep=3)
    assert path == str(tmp_path / "step-000000002.weights.h5")
    read = fresh()
    assert checkpoints.restore_latest(read, tmp_path) == 2
    assert int(read.optimizer.iterations) == 2
    pairs = zip(
        [*model.variables, *model.optimizer.variables],
        [*read.variables, *read.optimizer.variables],
        strict=True,
    )
    for written, found in pairs:
        np.testing.assert_array_equal(
            ops.convert_to_numpy(found), ops.convert_to_numpy(written)
        )


def test_random_generators_go_on_where_they_stopped(tmp_path):
    model = tiny.faster_rcnn()
    model.compile()
    for _ in range(3):
        model.seed_generator.next()
    checkpoints.save(model, tmp_path, keep=3)
    read = tiny.faster_rcnn(seed=1)
    read.compile()
    checkpoints.restore_latest(read, tmp_path)
    wanted = model.seed_generator.next()
    np.testing.assert_array_equal(read.seed_generator.next(), wanted)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model = tiny.faster_rcnn()
    model.compile()
    path = checkpoints.save(model, tmp_path, keep=3)
    with h5py.File(path, "a") as file:
        del file[checkpoints.SEEDS]
    with pytest.raises(ValueError, match="Expected the states of 1 random"):
        checkpoints.restore_latest(model, tmp_path)


def test_weights_of_another_model_are_refused_by_file_in_a_line(
    model, tmp_path
):
    path = checkpoints.save(model, tmp_path, keep=3)
    other = tiny.faster_rcnn()
    other.compile()
    with pytest.raises(ValueError, match="^Expected .*hold a model") as caught:
        checkpoints.restore_latest(other, tmp_path)
    assert path in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_a_killed_run_left_is_removed(model, tmp_path):
    (tmp_path / "part.123.weights.h5").write_bytes(b"half")
    path = checkpoints.save(model, tmp_path, keep=3)
    assert list(map(str, tmp_path.iterdir())) == [path]


def test_an_empty_folder_is_step_zero(tmp_path):
    assert checkpoints.restore_latest(fresh(), tmp_path) == 0
    assert checkpoints.restore_latest(fresh(), tmp_path / "none") == 0


def test_only_the_newest_stay(model, tmp_path):
    for step in (1, 5, 9):
        model.optimizer.iterations.assign(step)
        checkpoints.save(model, tmp_path, keep=2)
    model.optimizer.iterations.assign(2)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-000000005.weights.h5",
        "step-000000009.weights.h5",
    ]


@pytest.mark.parametrize("left", [0.0, 0.5, 0.95])
def test_a_torn_file_is_skipped_for_the_one_before(model, tmp_path, left):
    good = checkpoints.save(model, tmp_path, keep=3)
    torn = tmp_path / "step-000000007.weights.h5"
    content = pathlib.Path(good).read_bytes()
    torn.write_bytes(content[: int(left * len(content))])
    assert checkpoints.restore_latest(fresh(), tmp_path) == 2


def test_a_remote_folder_holds_them_too(model, tmp_path):
    gfile = pytest.importorskip("tensorflow").io.gfile
    folder = f"ram://{tmp_path}/checkpoints"
    assert checkpoints.restore_latest(fresh(), folder) == 0
    for step in (1, 5, 9):
        model.optimizer.iterations.assign(step)
        path = checkpoints.save(model, folder, keep=2)
    model.optimizer.iterations.assign(2)
    with gfile.GFile(f"{folder}/step-000000011.weights.h5", "wb") as file:
        file.write(b"torn")
    with gfile.GFile(f"{folder}/part.1.weights.h5", "wb") as file:
        file.write(b"half")
    read = fresh()
    assert checkpoints.restore_latest(read, folder) == 9
    for written, found in zip(model.variables, read.variables, strict=True):
        np.testing.assert_array_equal(
            ops.convert_to_numpy(found), ops.convert_to_numpy(written)
        )
    checkpoints.save(model, folder, keep=2)
    assert path == f"{folder}/step-000000009.weights.h5"
    assert sorted(gfile.listdir(folder)) == [
        "step-000000009.weights.h5",
        "step-000000011.weights.h5",
    ]
