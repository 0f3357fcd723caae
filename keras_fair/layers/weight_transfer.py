"""Mask weights from detection weights. Mask^X R-CNN, section 3.1.

Hu, Dollar, He, Darrell, Girshick: Learning to Segment Every Thing, CVPR 2018.
K classes.
"""

import keras
from keras import ops

from keras_fair.layers import roi_convolutions


@keras.saving.register_keras_serializable(package="keras_fair")
class WeightTransfer(keras.layers.Layer):
    """Predict how to segment a class from how it is detected.

    The function tau of the paper: fully connected layers, the same for every
    class, that turn the weights with which the box head tells a class from
    others into the weights with which the mask head segments it. They learn
    on the classes that have masks and are applied to all.

    Layers start as in MSRAFill, with bias 0.

    Args:
        output_dim: of the weights wanted; the mask head's channels.
        hidden_dim: units of the layers before the last; the paper has
            `output_dim`.
        depth: layers; the paper compares 1, 2 and 3.
        slope: of LeakyReLU below zero; 0 is ReLU. No activation follows the
            last layer.
    """

    def __init__(
        self,
        output_dim: int,
        hidden_dim: int,
        *,
        depth: int = 2,
        slope: float = 0.1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(output_dim, hidden_dim, depth, slope)
        self.output_dim = output_dim
        self.hidden_dim = hidden_dim
        self.depth = depth
        self.slope = slope
        sizes = [hidden_dim] * (depth - 1) + [output_dim]
        self.dense_layers = [
            keras.layers.Dense(
                size,
                kernel_initializer=roi_convolutions.msra(),
                dtype=self.dtype_policy,
                name=f"dense_{index}",
            )
            for index, size in enumerate(sizes)
        ]

    def build(self, input_shape):
        roi_convolutions.build(self.dense_layers, input_shape)

    def call(self, inputs):
        """Transfer the weights of each class.

        Args:
            inputs: float [..., D], w_det: see `BoxHead.rows`; or embeddings
                of the classes. The leading axes are free, such as [K] or
                [B, R].

        Returns:
            w_seg, float32 [..., output_dim].
        """
        outputs = self.dense_layers[0](inputs)
        for layer in self.dense_layers[1:]:
            outputs = layer(ops.leaky_relu(outputs, self.slope))
        return ops.cast(outputs, "float32")

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.output_dim)

    def compute_output_spec(self, inputs):
        shape = self.compute_output_shape(inputs.shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "output_dim": self.output_dim,
            "hidden_dim": self.hidden_dim,
            "depth": self.depth,
            "slope": self.slope,
        }


def _check(output_dim: int, hidden_dim: int, depth: int, slope: float) -> None:
    if min(output_dim, hidden_dim, depth) < 1:
        raise ValueError(
            "Expected at least one layer of at least one unit. Received: "
            f"output_dim={output_dim}, hidden_dim={hidden_dim}, "
            f"depth={depth}."
        )
    if not 0 <= slope < 1:
        raise ValueError(
            "Expected the slope of LeakyReLU from 0 (ReLU) to below 1. "
            f"Received: {slope}."
        )
