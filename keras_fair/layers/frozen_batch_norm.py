"""Batch normalisation whose statistics and affine map never change."""

import keras
from keras import ops

# In the order of keras.layers.BatchNormalization, so that `get_weights` of
# one fits `set_weights` of the other.
WEIGHTS = ("gamma", "beta", "moving_mean", "moving_variance")
ZERO_AT_START = ("beta", "moving_mean")


@keras.saving.register_keras_serializable(package="keras_fair")
class FrozenBatchNorm(keras.layers.Layer):
    """Normalise with stored statistics, in training as in inference.

    Detectors train with one or two images per device, too few for batch
    statistics; the papers' code keeps those of ImageNet. Nothing here is
    trainable, whatever `trainable` is set to.

    Args:
        epsilon: added to the variance, exactly as given; 0 is allowed.
    """

    def __init__(self, epsilon: float, **kwargs):
        super().__init__(**kwargs)
        if epsilon < 0:
            raise ValueError(f"Expected epsilon >= 0. Received: {epsilon}.")
        self.epsilon = float(epsilon)

    def build(self, input_shape):
        for name in WEIGHTS:
            weight = self.add_weight(
                shape=(input_shape[-1],),
                initializer="zeros" if name in ZERO_AT_START else "ones",
                trainable=False,
                autocast=False,
                dtype="float32",
                name=name,
            )
            setattr(self, name, weight)

    def call(self, inputs):
        """Return `(inputs - mean) / sqrt(variance + epsilon) * gamma + beta`.

        Args:
            inputs: float [..., C]. Computed in float32.

        Returns:
            [..., C] in the compute dtype.
        """
        outputs = ops.batch_normalization(
            ops.cast(inputs, "float32"),
            mean=ops.convert_to_tensor(self.moving_mean),
            variance=ops.convert_to_tensor(self.moving_variance),
            axis=-1,
            offset=ops.convert_to_tensor(self.beta),
            scale=ops.convert_to_tensor(self.gamma),
            epsilon=self.epsilon,
        )
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "epsilon": self.epsilon}
