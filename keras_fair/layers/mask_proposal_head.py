"""The head of segmentation proposals. FPN, section 6 and appendix A.

A small perceptron on every window of k x k cells, as DeepMask's: here a k x k
convolution, whose outputs say of each place whether the window holds an
object, and what its mask is.
"""

import keras
from keras import ops

from keras_fair.layers import levels


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskProposalHead(keras.layers.Layer):
    """Score each window of a pyramid; predict masks of those chosen.

    A k x k convolution with ReLU (the paper does not say which activation),
    and beside each other two layers on its outputs: the score and the mask's
    pixels. The weights serve all levels. The k x k convolution starts as He et
    al.'s, the two others Gaussian with standard deviation 0.01.

    Masks are not needed everywhere, and they are most of what could be
    computed: `call` returns scores and hidden features of all places, and
    `masks` predicts from the features of some.

    Args:
        window: k, cells; 5 and 7 in the paper.
        filters: outputs of the k x k convolution.
        mask_size: S, side of a mask.
    """

    def __init__(
        self,
        window: int,
        *,
        filters: int = 512,
        mask_size: int = 14,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(window, filters, mask_size)
        self.window = window
        self.filters = filters
        self.mask_size = mask_size
        self.convolution = keras.layers.Conv2D(
            filters,
            window,
            padding="same",
            activation="relu",
            kernel_initializer="he_normal",
            dtype=self.dtype_policy,
            name="convolution",
        )
        self.objectness = self._perceptron("objectness", 1)
        self.mask_logits = self._perceptron("mask_logits", mask_size**2)

    def _perceptron(self, name: str, units: int):
        return keras.layers.Dense(
            units,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        self.convolution.build(levels.one_level(input_shape))
        self.objectness.build((None, None, self.filters))
        self.mask_logits.build((None, None, self.filters))

    def call(self, inputs):
        """Compute logits and features of each level's places.

        Args:
            inputs: dict "P2" ... "P6" of float [B, H, W, channels].

        Returns:
            objectness: dict with the same keys, float32 [B, A], logits; A is
                H * W in the order y, x.
            hidden: likewise, [B, A, filters] in the compute dtype.
        """
        objectness, hidden = {}, {}
        for level, features in inputs.items():
            features = self.convolution(features)
            shape = (ops.shape(features)[0], -1, self.filters)
            hidden[level] = ops.reshape(features, shape)
            logits = self.objectness(hidden[level])[..., 0]
            objectness[level] = ops.cast(logits, "float32")
        return objectness, hidden

    def masks(self, hidden):
        """Predict the masks of places; the head must be built.

        Args:
            hidden: float [B, N, filters], rows of what `call` returns.

        Returns:
            Logits, float32 [B, N, S, S], in the frames of the places' regions.
        """
        logits = ops.cast(self.mask_logits(hidden), "float32")
        shape = (*ops.shape(hidden)[:2], self.mask_size, self.mask_size)
        return ops.reshape(logits, shape)

    def get_config(self):
        return {
            **super().get_config(),
            "window": self.window,
            "filters": self.filters,
            "mask_size": self.mask_size,
        }


def _check(window: int, filters: int, mask_size: int) -> None:
    if window < 1 or window % 2 == 0:
        raise ValueError(
            "Expected an odd window, so that its middle is a cell. Received: "
            f"{window}."
        )
    if filters < 1 or mask_size < 1:
        raise ValueError(
            "Expected at least one filter and one pixel. Received: "
            f"filters={filters}, mask_size={mask_size}."
        )
