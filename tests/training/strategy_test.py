"""A strategy has the devices that were asked for."""

import keras
import pytest

from keras_fair.training import devices, distribution
from tests.training import device_runs

pytestmark = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow",
    reason="tf.distribute",
)


def test_a_config_without_workers_changes_nothing(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", "{}")

    assert type(distribution.choose("auto")) is devices.OneDevice
    assert distribution.choose("mirrored").num_replicas == 1
    with pytest.raises(ValueError, match="TF_CONFIG to name the workers"):
        distribution.choose("multi_worker")


def test_mirrored_devices_are_of_this_machine(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", device_runs.cluster()[0])

    chosen = distribution.choose("mirrored")

    assert (chosen.num_replicas, chosen.num_processes) == (1, 1)
