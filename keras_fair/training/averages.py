"""Averaged weights: what the optimiser keeps, in the place of the weights.

`train.ema_momentum` makes the optimiser average each weight over the steps;
the average is steadier than the last step (Polyak and Juditsky, 1992).
"""

import contextlib

import keras
from keras import ops


@contextlib.contextmanager
def in_place(model: keras.Model):
    """Put the averages, if there are any, in the weights' place for a while.

    Args:
        model: compiled or not. The weights wait in the memory of the host.
    """
    optimizer = getattr(model, "optimizer", None)
    if not getattr(optimizer, "use_ema", False):
        yield
        return
    variables = model.trainable_variables
    weights = [ops.convert_to_numpy(variable) for variable in variables]
    optimizer.finalize_variable_values(variables)
    try:
        yield
    finally:
        for variable, weight in zip(variables, weights, strict=True):
            variable.assign(weight)
