"""The head of the region proposal network. FPN, section 4.1.

The network is that of Faster R-CNN (Ren et al., NIPS 2015), section 3.1.
"""

import keras
from keras import ops

from keras_fair.layers import levels


@keras.saving.register_keras_serializable(package="keras_fair")
class RPNHead(keras.layers.Layer):
    """Say of every anchor how much an object it is, and correct its box.

    A 3x3 convolution with ReLU and two 1x1 convolutions beside each other;
    the weights serve all levels. Weights start Gaussian with standard
    deviation 0.01.

    Args:
        num_anchors: anchors per location.
        filters: channels of the 3x3 convolution.
        depth: 3x3 convolutions; 1 in the papers, 2 in torchvision's second
            version.
    """

    def __init__(
        self,
        num_anchors: int,
        *,
        filters: int = 256,
        depth: int = 1,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(num_anchors, filters, depth)
        self.num_anchors = num_anchors
        self.filters = filters
        self.depth = depth
        self.tower = [
            self._convolution(f"convolution_{index}", filters, 3, "relu")
            for index in range(depth)
        ]
        self.objectness = self._convolution("objectness", num_anchors, 1)
        self.box_deltas = self._convolution("box_deltas", 4 * num_anchors, 1)

    def _convolution(
        self, name: str, filters: int, kernel_size: int, activation=None
    ):
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            padding="same",
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        shape = levels.one_level(input_shape)
        for layer in self.tower:
            layer.build(shape)
            shape = (None, None, None, self.filters)
        self.objectness.build(shape)
        self.box_deltas.build(shape)

    def call(self, inputs):
        """Compute logits and deltas of each level's anchors.

        Args:
            inputs: dict "P2" ... "P6" of float [B, H, W, channels].

        Returns:
            objectness: dict with the same keys, float32 [B, A], logits; A is
                H * W * num_anchors in the order y, x, anchor.
            box_deltas: likewise, float32 [B, A, 4].
        """
        objectness, box_deltas = {}, {}
        for level, features in inputs.items():
            for layer in self.tower:
                features = layer(features)
            batch = ops.shape(features)[0]
            logits = ops.cast(self.objectness(features), "float32")
            deltas = ops.cast(self.box_deltas(features), "float32")
            objectness[level] = ops.reshape(logits, (batch, -1))
            box_deltas[level] = ops.reshape(deltas, (batch, -1, 4))
        return objectness, box_deltas

    def get_config(self):
        return {
            **super().get_config(),
            "num_anchors": self.num_anchors,
            "filters": self.filters,
            "depth": self.depth,
        }


def _check(num_anchors: int, filters: int, depth: int) -> None:
    if num_anchors < 1 or filters < 1:
        raise ValueError(
            "Expected at least one anchor and one filter. Received: "
            f"num_anchors={num_anchors}, filters={filters}."
        )
    if depth < 0:
        raise ValueError(f"Expected depth >= 0. Received: {depth}.")
