"""Many devices, or processes, train and evaluate as one device does."""

import csv
import math
import pathlib
import signal
import subprocess
import time
from typing import NamedTuple

import keras
import pytest

from keras_fair.config import TrainConfig
from keras_fair.data import synthetic
from keras_fair.training import devices, distribution
from tests.training import device_runs

on_tensorflow = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute"
)

SYNCHRONIZED = """
import keras, numpy as np, tensorflow as tf
from keras_fair.config import BackboneConfig
from keras_fair.models import backbones

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
pixels = np.random.default_rng(0).normal(size=(4, 32, 32, 3)).astype("float32")

def run(num_devices, norm):
    strategy = tf.distribute.MirroredStrategy(
        [f"CPU:{index}" for index in range(num_devices)])
    keras.utils.set_random_seed(0)
    with strategy.scope():
        model = backbones.build_backbone(BackboneConfig(
            "resnet18", stem_filters=4, norm=norm, frozen_stages=0))
    parts = np.split(pixels, num_devices)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: tf.constant(parts[context.replica_id_in_sync_group]))
    step = tf.function(lambda x: strategy.run(
        lambda x: model(x, training=True)["C5"], args=(x,)))
    found = strategy.experimental_local_results(step(values))
    return np.concatenate(found), model.get_weights()

whole, whole_weights = run(1, "batch")
synchronized, weights = run(2, "sync")
apart, _ = run(2, "batch")
# Means of halves: sums in another order.
np.testing.assert_allclose(synchronized, whole, atol=1e-3)
for old, new in zip(whole_weights, weights, strict=True):
    np.testing.assert_allclose(new, old, atol=1e-4)
assert np.abs(apart - whole).max() > 0.1
"""

# The program of bin.train on two devices.
TRAIN_ON_TWO = """
import tensorflow as tf
from keras_fair.bin import train

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
train.run()
"""
MASK_RCNN = [
    "--config=mask_rcnn_tiny_synthetic",
    "--distribution=mirrored",
    "--verbosity=0",
    "--set=train.batch_size=2",
    "--set=train.checkpoint_steps=2",
    "--set=train.evaluate_steps=2",
    "--set=data.mask_classes=('circle',)",
    "--set=model.backbone.stem_filters=8",
    "--set=model.pyramid.filters=8",
    "--set=model.mask_filters=8",
    "--set=model.box_head_units=(16,)",
]


def training(kind: str, name: str, data, workdir, devices=1, **environment):
    """Start tests/training/distributed_training.py.

    Args:
        kind: of device_runs.MODELS.
        name: of distribution.NAMES.
        data: folder of the shapes, path of the ground truth.
        workdir: of the training.
        devices: of the process.
        environment: of the process.
    """
    program = ["-m", "tests.training.distributed_training", kind, name]
    paths = [*map(str, data), str(workdir)]
    return device_runs.start([*program, *paths, str(devices)], **environment)


def workers(kind: str, data, workdir) -> list:
    """Start a chief and a worker that train together, on a CPU device each.

    tf.distribute gives a worker all of its GPUs, but one CPU device only.
    """
    return [
        training(kind, "auto", data, workdir, TF_CONFIG=config)
        for config in device_runs.cluster()
    ]


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(str(folder), num_train=7, num_val=1)
    return folder


class One(NamedTuple):
    """A training on one device."""

    kind: str  # what several devices train
    data: tuple  # folder of the shapes, path of the ground truth
    workdir: pathlib.Path
    found: dict


# What one device trains, and what several do; of device_runs.MODELS.
PLAIN = ("retinanet", "retinanet")
NORMALISED = ("batch64", "sync64")


@pytest.fixture(scope="module", params=[PLAIN, NORMALISED])
def on_one(request, shapes, tmp_path_factory) -> One:
    """The trainings that others must equal."""
    alone, kind = request.param
    workdir = tmp_path_factory.mktemp("one")
    data = shapes, workdir / "truth.json"
    process = training(alone, "none", data, workdir)
    return One(kind, data, workdir, *device_runs.results([process]))


@on_tensorflow
def test_two_devices_equal_one(on_one, tmp_path):
    process = training(on_one.kind, "mirrored", on_one.data, tmp_path, 2)
    device_runs.check_equal(*device_runs.results([process]), on_one.found)
    device_runs.check_same_log(tmp_path, on_one.workdir)


@pytest.mark.slow
@on_tensorflow
def test_two_processes_equal_one(on_one, tmp_path):
    processes = workers(on_one.kind, on_one.data, tmp_path)
    for found in device_runs.results(processes):
        device_runs.check_equal(found, on_one.found)
    device_runs.check_same_log(tmp_path, on_one.workdir)


@pytest.mark.slow
@on_tensorflow
@pytest.mark.parametrize("on_one", [PLAIN], indirect=True)
def test_a_worker_that_died_returns(on_one, tmp_path):
    first, second = workers(on_one.kind, on_one.data, tmp_path)
    checkpoint = tmp_path / "checkpoints" / "step-000000002.weights.h5"
    while not checkpoint.exists():
        assert first.poll() is None and second.poll() is None
        time.sleep(0.01)
    second.send_signal(signal.SIGKILL)
    # The others of a job cannot go on without it: they end, or are ended.
    try:
        first.communicate(timeout=120)
    except subprocess.TimeoutExpired:
        first.kill()
        first.communicate()
    second.communicate()
    assert first.returncode and not (tmp_path / "model").exists()
    processes = workers(on_one.kind, on_one.data, tmp_path)
    for found in device_runs.results(processes):
        device_runs.check_equal(found, on_one.found)


def mask_losses(folder, workdir, steps: int) -> list[float]:
    """Train a Mask R-CNN on two devices; return its loss of each epoch."""
    paths = [f"--set=data.root={folder}", f"--workdir={workdir}"]
    program = ["-c", TRAIN_ON_TWO, *MASK_RCNN, *paths]
    # With oneDNN TensorFlow's two CPU devices corrupt the heap, see
    # docs/training.md.
    process = device_runs.start(
        [*program, f"--set=train.steps={steps}"], TF_ENABLE_ONEDNN_OPTS="0"
    )
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    assert "1 on each of 2 devices" in errors
    assert "COCO evaluation: segm, 1 images" in output
    assert ("Resuming at step 2" in errors) == (steps > 2)
    with open(workdir / "log.csv", encoding="utf-8") as file:
        return [float(row["mask_loss"]) for row in csv.DictReader(file)]


@pytest.mark.slow
@on_tensorflow
def test_two_stages_with_few_masks_train_and_resume_on_two_devices(
    shapes, tmp_path
):
    first = mask_losses(shapes, tmp_path, steps=2)
    both = mask_losses(shapes, tmp_path, steps=4)
    assert len(both) == 2 and both[:1] == first
    assert all(math.isfinite(loss) and loss > 0 for loss in both)


@on_tensorflow
def test_synchronized_batch_normalisation_sees_the_whole_batch():
    _, errors = (
        process := device_runs.start(["-c", SYNCHRONIZED])
    ).communicate()
    assert process.returncode == 0, errors


def test_an_unknown_distribution_is_refused():
    with pytest.raises(ValueError, match="Expected --distribution of auto"):
        distribution.choose("many")


def test_none_and_auto_on_one_device_are_plain():
    for name in ("none", "auto"):
        assert type(distribution.choose(name)) is devices.OneDevice


def test_a_batch_that_devices_cannot_divide_is_refused():
    config = TrainConfig(batch_size=4, accumulation=3)
    with pytest.raises(ValueError, match="accumulation, 3. Received: 4"):
        distribution.batch_of_process(config, devices.OneDevice())
    config = TrainConfig(batch_size=6, accumulation=3)
    assert distribution.batch_of_process(config, devices.OneDevice()) == 6


@on_tensorflow
@pytest.mark.parametrize(
    "change, message",
    [
        ({"accumulation": 2}, "accumulation=1 under tf.distribute"),
        ({"jit_compile": "true"}, "jit_compile .* under tf.distribute"),
    ],
)
def test_what_a_strategy_cannot_is_refused(change, message):
    config = TrainConfig(batch_size=4, **change)
    chosen = distribution.choose("mirrored")
    with pytest.raises(ValueError, match=message):
        distribution.batch_of_process(config, chosen)
