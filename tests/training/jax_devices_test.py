"""Devices and processes of JAX train and predict as one device does."""

import json
import multiprocessing.pool
import os
import socket
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_fair.training import distribution

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "jax", reason="for the JAX backend"
)


def training(workdir, name: str, **environment) -> subprocess.Popen:
    """Start tests/training/jax_training.py."""
    return subprocess.Popen(
        [sys.executable, "-m", "tests.training.jax_training", workdir, name],
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def result(process: subprocess.Popen) -> dict:
    """Return what the training printed."""
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def check_equal(found: dict, expected: dict) -> None:
    assert found["replicas"] == 2
    # Sums in another order.
    for key in ("weights", "scores"):
        np.testing.assert_allclose(found[key], expected[key], atol=1e-6)


@pytest.fixture(scope="module")
def on_one(tmp_path_factory):
    return result(training(tmp_path_factory.mktemp("one"), "none"))


@pytest.mark.slow
def test_two_devices_equal_one(on_one, tmp_path):
    two = "--xla_force_host_platform_device_count=2"
    found = result(training(tmp_path, "mirrored", XLA_FLAGS=two))
    check_equal(found, on_one)


@pytest.mark.slow
def test_two_processes_equal_one(on_one, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    # Only the first address is used.
    cluster = {"chief": [address], "worker": ["127.0.0.1:1"]}
    tasks = [{"type": name, "index": 0} for name in ("chief", "worker")]
    processes = [
        training(
            tmp_path,
            "auto",
            TF_CONFIG=json.dumps({"cluster": cluster, "task": task}),
        )
        for task in tasks
    ]
    # All are read at once: one that cannot write its output does not end, and
    # the other waits for it.
    with multiprocessing.pool.ThreadPool(2) as pool:
        for found in pool.map(result, processes):
            check_equal(found, on_one)


def test_several_hosts_need_their_names(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(ValueError, match="TF_CONFIG to name the workers"):
        distribution.choose("multi_worker")
