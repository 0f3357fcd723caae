"""The papers' optimiser, and one that no bad gradient can ruin."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_fair")
class FiniteSGD(keras.optimizers.SGD):
    """SGD with momentum that treats a gradient with NaN or infinity as zero.

    One bad step must not destroy the weights of a long training. Where any
    gradient of a step is not finite, all of that step's gradients count as
    zero: the weights move by their momentum only and stay finite.
    `training.callbacks.NaNGuard` tells which loss term went wrong.

    Takes the arguments of `keras.optimizers.SGD`. Do not use its
    `weight_decay`: it is decoupled from the gradient and, at momentum 0.9,
    ten times weaker than the papers' for the same number. The models add the
    papers' L2 to their loss (`weight_decay` of their config).
    """

    def apply(self, grads, trainable_variables=None):
        grads = list(grads)
        finite = [
            ops.all(ops.isfinite(ops.cast(gradient, "float32")))
            for gradient in grads
            if gradient is not None
        ]
        if finite:
            step_is_finite = ops.all(ops.stack(finite))
            grads = [
                gradient
                if gradient is None
                else ops.where(
                    step_is_finite, gradient, ops.zeros_like(gradient)
                )
                for gradient in grads
            ]
        super().apply(grads, trainable_variables)
