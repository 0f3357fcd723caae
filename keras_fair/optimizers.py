"""The papers' optimiser, and one that no bad gradient can ruin."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_fair")
class FiniteSGD(keras.optimizers.SGD):
    """SGD with momentum that treats a gradient with NaN or infinity as zero.

    One bad step must not destroy the weights of a long training. Where any
    gradient of a step is not finite, all of that step's gradients count as
    zero: the weights move by their momentum only and stay finite.
    `training.callbacks.NaNGuard` tells which loss term went wrong, and how
    often it was a gradient only.

    Under tf.distribute the gradients of all devices are summed first, so
    that the devices agree on what is finite, and `global_clipnorm` limits
    the gradient of the whole batch, as on one device. Keras would clip each
    device's part.

    Takes the arguments of `keras.optimizers.SGD`. Do not use its
    `weight_decay`: it is decoupled from the gradient and, at momentum 0.9,
    ten times weaker than the papers' for the same number. The models add the
    papers' L2 to their loss (`weight_decay` of their config).

    Attributes:
        bad_steps: int32 variable, how many steps so far had such a gradient;
            of accumulated gradients, how many parts.
    """

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.bad_steps = self.add_scalar("bad_steps", "int32", 0)

    def add_scalar(self, name: str, dtype: str, start: float):
        """Return a new variable; all devices of tf.distribute agree on it."""
        return self.add_variable(
            shape=(),
            dtype=dtype,
            initializer=keras.initializers.Constant(start),
            aggregation="only_first_replica",
            name=name,
        )

    def apply(self, grads, trainable_variables=None):
        grads = self._summed(list(grads))
        finite = [
            ops.all(ops.isfinite(ops.cast(gradient, "float32")))
            for gradient in grads
            if gradient is not None
        ]
        if finite:
            is_finite = ops.all(ops.stack(finite))
            is_bad = ops.logical_not(is_finite)
            self.bad_steps.assign_add(ops.cast(is_bad, "int32"))
            grads = self.repair(grads, is_finite)
        super().apply(grads, trainable_variables)

    def repair(self, grads: list, is_finite) -> list:
        """Return the gradients, or zeros.

        Args:
            grads: float tensors, or None where nothing depends on a weight.
            is_finite: bool, scalar: all of them are.
        """
        return [
            gradient
            if gradient is None
            else ops.where(is_finite, gradient, ops.zeros_like(gradient))
            for gradient in grads
        ]

    def _summed(self, grads: list) -> list:
        """Return the gradients, summed over the devices of tf.distribute."""
        if keras.backend.backend() != "tensorflow":
            return grads
        found = [(g, None) for g in grads if g is not None]
        summed = iter(super()._all_reduce_sum_gradients(found))
        return [None if g is None else next(summed)[0] for g in grads]

    def _all_reduce_sum_gradients(self, grads_and_vars):
        """Leave the gradients be: Keras calls this after it has clipped."""
        return grads_and_vars


@keras.saving.register_keras_serializable(package="keras_fair")
class LossScaledSGD(FiniteSGD):
    """FiniteSGD for float16: small gradients survive in a scaled loss.

    The loss is multiplied, and the gradients divided, by a number that
    halves when they overflow and doubles after many steps in which they did
    not. Unlike Keras's LossScaleOptimizer, a step that overflows counts as a
    step, so the data's position follows from it, and all devices agree.
    """

    START = 2.0**15
    GROWTH_STEPS = 2000  # without overflow, until the scale doubles

    def build(self, variables):
        if self.built:
            return
        super().build(variables)
        self.loss_scale = self.add_scalar("loss_scale", "float32", self.START)
        self.good_steps = self.add_scalar("good_steps", "int32", 0)

    def scale_loss(self, loss):
        return loss * ops.cast(self.loss_scale, loss.dtype)

    def repair(self, grads: list, is_finite) -> list:
        scale = ops.convert_to_tensor(self.loss_scale)
        grads = [
            gradient
            if gradient is None
            else gradient / ops.cast(scale, gradient.dtype)
            for gradient in grads
        ]
        good_steps = ops.where(is_finite, self.good_steps + 1, 0)
        grows = good_steps >= self.GROWTH_STEPS
        grown = ops.where(grows, scale * 2.0, scale)
        self.good_steps.assign(ops.where(grows, 0, good_steps))
        self.loss_scale.assign(
            ops.where(is_finite, grown, ops.maximum(scale * 0.5, 1.0))
        )
        return super().repair(grads, is_finite)


def sgd_class(policy: keras.dtype_policies.DTypePolicy) -> type[FiniteSGD]:
    """Return the class that trains a model of that dtype policy."""
    return LossScaledSGD if policy.compute_dtype == "float16" else FiniteSGD
