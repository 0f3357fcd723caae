"""RoIAlign's memory, measured in a process of its own.

1000 RoIs of every size on the pyramid of an 800 x 1344 canvas: the pyramid
has 91 MB, the pooled features 50 MB, the gradient 91 MB. A form that kept
what it samples would need sixteen times the 50 MB, forward alone.
"""

import os
import subprocess
import sys

import keras
import pytest

BOUNDS = {"forward": 500, "gradient": 800}  # MB beyond the inputs
SCRIPT = """
import pathlib, re, sys
import keras, numpy as np
from keras import ops
from keras_fair.ops import roi_align

implementation, what, ratio = *sys.argv[1:3], int(sys.argv[3])
rng = np.random.default_rng(0)
features = {}
for n in range(2, 6):
    shape = (1, 800 // 2**n, 1344 // 2**n, 256)
    features[f"P{n}"] = ops.convert_to_tensor(rng.random(shape, "float32"))
sides = np.exp(rng.uniform(np.log(16), np.log(700), (1, 1000, 2)))
start = rng.random((1, 1000, 2)) * np.maximum([1344, 800] - sides, 0)
boxes = np.concatenate([start, start + sides], -1).astype("float32")

def pool(features):
    return roi_align.roi_align(
        features, boxes, 7, ratio, implementation=implementation
    )

def total(features):
    return ops.sum(ops.square(pool(features)))

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    def gradient(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            value = total(features)
        return tape.gradient(value, features)

    compiled = tf.function
else:
    import jax

    gradient, compiled = jax.grad(total), jax.jit

def peak():
    # Not ru_maxrss: that begins with the peak of the process of the tests.
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search("VmHWM:[^0-9]*([0-9]+) kB", status)[1]) // 1024

run = compiled(gradient if what == "gradient" else pool)
before = peak()
for _ in range(2):
    for values in keras.tree.flatten(run(features)):
        assert np.isfinite(ops.convert_to_numpy(values)).all()
print(peak() - before)
"""

IMPLEMENTATIONS = [("xla", 2), ("xla", 0)]
if keras.backend.backend() == "tensorflow":
    IMPLEMENTATIONS += [("sparse", 2), ("sparse", 0), ("crop_and_resize", 2)]


@pytest.mark.slow
@pytest.mark.skipif(
    sys.platform != "linux", reason="/proc/self/status is Linux's"
)
@pytest.mark.parametrize("what", BOUNDS)
@pytest.mark.parametrize(("implementation", "ratio"), IMPLEMENTATIONS)
def test_a_thousand_rois_need_bounded_memory(implementation, ratio, what):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, implementation, what, str(ratio)],
        env={**os.environ, "KERAS_BACKEND": keras.backend.backend()},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    megabytes = int(done.stdout.split()[-1])
    print(f"{implementation}, {ratio=}, {what}: {megabytes} MB")
    assert 50 <= megabytes < BOUNDS[what]
