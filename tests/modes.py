"""Run one function eagerly, in a graph and under XLA, on any backend."""

import keras
import numpy as np
import pytest


def on_tensorflow() -> bool:
    return keras.backend.backend() == "tensorflow"


# How a user's code may reach an op. JAX has no graph without XLA.
MODES = ("eager", "graph", "xla") if on_tensorflow() else ("eager", "xla")
every_mode = pytest.mark.parametrize("mode", MODES)
only_tensorflow = pytest.mark.skipif(
    not on_tensorflow(), reason="about TensorFlow's graphs"
)


def in_mode(function, mode: str):
    """Return the function, made to run in that mode on tensors."""
    if mode == "eager":
        return function
    if on_tensorflow():
        import tensorflow as tf

        return tf.function(function, jit_compile=mode == "xla", autograph=False)
    import jax

    return jax.jit(function)


def run(function, *arrays, mode: str = "eager"):
    """Return the function's outputs for NumPy inputs, as NumPy arrays."""
    tensors = [keras.ops.convert_to_tensor(array) for array in arrays]
    outputs = in_mode(function, mode)(*tensors)
    return keras.tree.map_structure(np.asarray, outputs)


def gradient(function, array, mode: str = "eager"):
    """Return the gradient of the sum of an elementwise function."""

    def total(tensor):
        return keras.ops.sum(function(tensor))

    if on_tensorflow():
        import tensorflow as tf

        def differentiate(tensor):
            with tf.GradientTape() as tape:
                tape.watch(tensor)
                value = total(tensor)
            return tape.gradient(value, tensor)

    else:
        import jax

        differentiate = jax.grad(total)
    return run(differentiate, array, mode=mode)
