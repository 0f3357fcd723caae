"""Sums over the devices of tf.distribute.

On JAX the compiled step sees the whole batch already.
"""

import keras

# The tier is for JAX, too: see layering_test.py.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def summed(value) -> tuple:
    """Return a tensor's sum over the devices, and their number.

    Keras averages the devices' losses. So a loss that each divides by
    sum / number is the sum of all losses divided by the sum of all values.

    Args:
        value: float tensor of this device; no gradient flows through it.
    """
    if keras.backend.backend() != "tensorflow":
        return value, 1
    # None outside of the strategy's `run`, where all devices are one.
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value, 1
    total = context.all_reduce(tf.distribute.ReduceOp.SUM, value)
    return total, context.num_replicas_in_sync
