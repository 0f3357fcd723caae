"""The two subnets of RetinaNet (Lin et al., ICCV 2017), section 4."""

import math

import keras
from keras import ops

from keras_fair.layers import levels

NORMS = ("", "group")
GROUPS = 32  # of group normalisation, as in torchvision


@keras.saving.register_keras_serializable(package="keras_fair")
class RetinaNetHead(keras.layers.Layer):
    """Classify and regress every anchor; the weights serve all levels.

    Each subnet is a tower of 3x3 convolutions with ReLU and one more 3x3
    convolution. Weights start Gaussian with standard deviation 0.01, and the
    bias of the class logits so that every anchor is foreground with
    probability `prior` (section 4.1).

    Args:
        num_classes: K, without background.
        num_anchors: anchors per location.
        filters: channels of the towers.
        depth: convolutions in each tower.
        prior: foreground probability of an untrained head.
        norm: "", or "group": group normalisation in place of the bias of the
            towers' convolutions, as in torchvision's second version.
    """

    def __init__(
        self,
        num_classes: int,
        num_anchors: int,
        *,
        filters: int = 256,
        depth: int = 4,
        prior: float = 0.01,
        norm: str = "",
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(num_classes, num_anchors, depth, prior)
        _check_norm(norm, filters)
        self.num_classes = num_classes
        self.num_anchors = num_anchors
        self.filters = filters
        self.depth = depth
        self.prior = prior
        self.norm = norm
        self.class_tower = self._tower("class")
        self.class_logits = self._convolution(
            "class_logits",
            num_anchors * num_classes,
            bias=-math.log((1 - prior) / prior),
        )
        self.box_tower = self._tower("box")
        self.box_deltas = self._convolution("box_deltas", num_anchors * 4)

    def _tower(self, name: str) -> list:
        layers = []
        for index in range(self.depth):
            layers.append(
                self._convolution(
                    f"{name}_conv_{index}",
                    self.filters,
                    use_bias=not self.norm,
                )
            )
            if self.norm:
                layers.append(
                    keras.layers.GroupNormalization(
                        GROUPS,
                        epsilon=1e-5,  # torch's
                        dtype=self.dtype_policy,
                        name=f"{name}_norm_{index}",
                    )
                )
            layers.append(
                keras.layers.ReLU(
                    dtype=self.dtype_policy, name=f"{name}_relu_{index}"
                )
            )
        return layers

    def _convolution(
        self, name: str, filters: int, *, use_bias=True, bias: float = 0.0
    ):
        return keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=use_bias,
            kernel_initializer=keras.initializers.RandomNormal(stddev=0.01),
            bias_initializer=keras.initializers.Constant(bias),
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        for tower, last in (
            (self.class_tower, self.class_logits),
            (self.box_tower, self.box_deltas),
        ):
            shape = levels.one_level(input_shape)
            for layer in [*tower, last]:
                layer.build(shape)
                shape = (None, None, None, self.filters)

    def call(self, inputs):
        """Compute logits and deltas of each level's anchors.

        Args:
            inputs: dict "P3" ... "P7" of float [B, H, W, channels].

        Returns:
            class_logits: dict with the same keys, float32 [B, A, K], where
                A is H * W * num_anchors in the order y, x, anchor.
            box_deltas: likewise, float32 [B, A, 4].
        """
        class_logits, box_deltas = {}, {}
        for level, features in inputs.items():
            class_logits[level] = _per_anchor(
                _run(self.class_tower, self.class_logits, features),
                self.num_classes,
            )
            box_deltas[level] = _per_anchor(
                _run(self.box_tower, self.box_deltas, features), 4
            )
        return class_logits, box_deltas

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "num_anchors": self.num_anchors,
            "filters": self.filters,
            "depth": self.depth,
            "prior": self.prior,
            "norm": self.norm,
        }


def _run(tower: list, last, features):
    for layer in tower:
        features = layer(features)
    return last(features)


def _per_anchor(features, size: int):
    """Reshape [B, H, W, anchors * size] to float32 [B, A, size]."""
    features = ops.cast(features, "float32")
    return ops.reshape(features, (ops.shape(features)[0], -1, size))


def _check(
    num_classes: int, num_anchors: int, depth: int, prior: float
) -> None:
    if num_classes < 1 or num_anchors < 1:
        raise ValueError(
            "Expected at least one class and one anchor. Received: "
            f"num_classes={num_classes}, num_anchors={num_anchors}."
        )
    if depth < 0:
        raise ValueError(f"Expected depth >= 0. Received: {depth}.")
    if not 0 < prior < 1:
        raise ValueError(
            f"Expected prior as a probability in (0, 1). Received: {prior}."
        )


def _check_norm(norm: str, filters: int) -> None:
    if norm not in NORMS:
        raise ValueError(
            f"Expected norm as one of {NORMS}. Received: {norm!r}."
        )
    if norm and filters % GROUPS:
        raise ValueError(
            f"Expected filters divisible by {GROUPS}, the groups of "
            f'norm="group". Received: {filters}.'
        )
