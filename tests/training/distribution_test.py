"""tf.distribute: two replicas take the step that one device takes."""

import json
import os
import subprocess
import sys

import keras
import pytest

# Its own process: logical devices are made before TensorFlow starts.
PROGRAM = """
import json, sys
import keras, numpy as np, tensorflow as tf
from tests.models import tiny

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(
    cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
replicas = int(sys.argv[1])
strategy = tf.distribute.MirroredStrategy(
    [f"CPU:{index}" for index in range(replicas)])
# Twice the same image: both replicas have as many positives.
x, y = tiny.batch(size=1)
x, y = ({k: np.repeat(v, 2, 0) for k, v in part.items()} for part in (x, y))
with strategy.scope():
    model = tiny.retinanet()
    model.compile(keras.optimizers.SGD(0.01), jit_compile=False)
before = model.get_weights()
data = tf.data.Dataset.from_tensors((x, y)).unbatch().batch(2).repeat()
history = model.fit(data, steps_per_epoch=1, epochs=3, verbose=0).history
moved = [float(np.abs(new - old).sum())
         for new, old in zip(model.get_weights(), before)]
print(json.dumps([history, moved]))
"""


def train(replicas: int):
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(replicas)],
        env={**os.environ, "PYTHONPATH": "."},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="tf.distribute"
)
def test_two_replicas_equal_one_device():
    history, moved = train(2)
    expected_history, expected_moved = train(1)
    # Sums in another order.
    for name, values in expected_history.items():
        assert history[name] == pytest.approx(values, rel=1e-4)
    assert moved == pytest.approx(expected_moved, rel=1e-3)
