"""Devices and processes of JAX train and evaluate as one device does."""

import keras
import pytest

from keras_fair.training import distribution
from tests.training import device_runs

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="for the JAX backend"
)


def training(kind: str, name: str, folder, workdir, **environment):
    """Start tests/training/jax_training.py."""
    program = ["-m", "tests.training.jax_training", kind, name]
    paths = [str(folder / "truth.json"), str(workdir)]
    return device_runs.start([*program, *paths], **environment)


# Mask R-CNN draws samples and divides its losses by their number; batch
# normalisation takes means. Either is over the whole batch.
@pytest.fixture(scope="module", params=["mask_rcnn", "batch"])
def on_one(request, tmp_path_factory):
    """A model's name, its work directory, and what one device finds."""
    folder = tmp_path_factory.mktemp("one")
    process = training(request.param, "none", folder, folder)
    return request.param, folder, *device_runs.results([process])


@pytest.mark.slow
def test_two_devices_equal_one(on_one, tmp_path):
    kind, folder, expected = on_one
    two = "--xla_force_host_platform_device_count=2"
    process = training(kind, "mirrored", folder, tmp_path, XLA_FLAGS=two)
    device_runs.check_equal(*device_runs.results([process]), expected)
    device_runs.check_same_log(tmp_path, folder)


@pytest.mark.slow
def test_two_processes_equal_one(on_one, tmp_path):
    kind, folder, expected = on_one
    processes = [
        training(kind, "auto", folder, tmp_path, TF_CONFIG=config)
        for config in device_runs.cluster()
    ]
    for found in device_runs.results(processes):
        device_runs.check_equal(found, expected)
    device_runs.check_same_log(tmp_path, folder)


def test_several_hosts_need_their_names(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG to name the workers"):
        distribution.choose("multi_worker")
