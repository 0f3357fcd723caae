"""Mask heads on RoI features. Mask R-CNN (He et al., ICCV 2017), section 3.

B images, R RoIs, S the side of an RoI's features, C channels, K masks: one per
class, or one.
"""

import keras
from keras import ops

from keras_fair.layers import roi_convolutions
from keras_fair.ops import masks


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskHead(keras.layers.Layer):
    """Predict a mask per class in each RoI's frame. Figure 4, right.

    3x3 convolutions with ReLU, a 2x2 transposed convolution of stride 2 with
    ReLU, and a 1x1 convolution. Convolutions start as in MSRAFill, the last
    Gaussian with standard deviation 0.001.

    Args:
        num_masks: K; 1 for class-agnostic masks; 0 for a head without the
            last convolution, that only has `features` (Mask^X R-CNN).
        depth: 3x3 convolutions.
        filters: channels of every convolution but the last.
        norm: "", or "batch": batch normalisation in place of the bias of the
            3x3 convolutions, as in torchvision's second version.
    """

    def __init__(
        self,
        num_masks: int,
        *,
        depth: int = 4,
        filters: int = 256,
        norm: str = "",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if num_masks:
            _check_masks(num_masks)
        self.num_masks = num_masks
        self.depth = depth
        self.filters = filters
        self.norm = norm
        self.tower = roi_convolutions.convolutions(
            depth, filters, norm=norm, dtype=self.dtype_policy
        )
        self.upsampling = keras.layers.Conv2DTranspose(
            filters,
            2,
            strides=2,
            activation="relu",
            kernel_initializer=roi_convolutions.msra(),
            dtype=self.dtype_policy,
            name="upsampling",
        )
        self.mask_logits = None
        if num_masks:
            normal = keras.initializers.RandomNormal(stddev=0.001)
            self.mask_logits = keras.layers.Conv2D(
                num_masks,
                1,
                kernel_initializer=normal,
                dtype=self.dtype_policy,
                name="mask_logits",
            )

    def build(self, rois_shape, labels_shape=None):
        roi_convolutions.check_rois(rois_shape)
        last = [self.mask_logits] if self.num_masks else []
        roi_convolutions.build(
            [*self.tower, self.upsampling, *last], (None, *rois_shape[2:])
        )

    def features(self, rois, training=None):
        """Compute what the last layer sees; the head must be built.

        Args:
            rois: float [B, R, S, S, C], from `roi_align`.
            training: whether batch normalisation uses the batch's statistics.

        Returns:
            [B, R, 2 * S, 2 * S, filters] in the compute dtype.
        """
        return roi_convolutions.split_rois(self._rows(rois, training), rois)

    def _rows(self, rois, training):
        rows = roi_convolutions.merge_rois(rois)
        rows = roi_convolutions.run(self.tower, rows, training)
        return self.upsampling(rows)

    def call(self, rois, labels=None, training=None):
        """Compute masks in the frames of the RoIs, 28 x 28 for S = 14.

        Args:
            rois: float [B, R, S, S, C], from `roi_align`.
            labels: int32 [B, R], whose mask is wanted of each RoI, or None
                for all masks. Rows of -1 (padding) get some mask. Without
                effect on what K = 1 predicts.
            training: whether batch normalisation uses the batch's statistics.

        Returns:
            Logits: float32 [B, R, 2 * S, 2 * S, K]; with labels float32
            [B, R, 2 * S, 2 * S].
        """
        if not self.num_masks:
            raise ValueError(
                "A MaskHead with num_masks=0 predicts no masks; call its "
                "`features`."
            )
        rows = self._rows(rois, training)
        if labels is None or self.num_masks == 1:
            logits = self.mask_logits(rows)
            logits = roi_convolutions.split_rois(logits, rois)
            logits = logits if labels is None else logits[..., 0]
        else:
            # Reshaped, the bias has a dense gradient in TensorFlow.
            bias = ops.reshape(self.mask_logits.bias, (self.num_masks,))
            logits = masks.mask_logits_for_labels(
                roi_convolutions.split_rois(rows, rois),
                self.mask_logits.kernel,
                bias,
                labels,
            )
        return ops.cast(logits, "float32")

    def compute_output_shape(self, rois_shape, labels_shape=None):
        batch, rois, height, width, _ = rois_shape
        shape = (batch, rois, 2 * height, 2 * width)
        return shape if labels_shape else (*shape, self.num_masks)

    def compute_output_spec(self, rois, labels=None, training=None):
        labels_shape = None if labels is None else labels.shape
        shape = self.compute_output_shape(rois.shape, labels_shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_masks": self.num_masks,
            "depth": self.depth,
            "filters": self.filters,
            "norm": self.norm,
        }


@keras.saving.register_keras_serializable(package="keras_fair")
class MaskMLPHead(keras.layers.Layer):
    """Predict masks by fully connected layers, for comparison. Table 2e.

    The features are flattened in the order y, x, channel. Hidden layers start
    as in Caffe2's XavierFill, the last Gaussian with deviation 0.001.

    Args:
        num_masks: K; 1 for class-agnostic masks.
        depth: hidden layers, with ReLU.
        units: of each hidden layer.
        size: side of a mask.
    """

    def __init__(
        self,
        num_masks: int,
        *,
        depth: int = 2,
        units: int = 1024,
        size: int = 28,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_masks(num_masks)
        _check_perceptron(depth, units, size)
        self.num_masks = num_masks
        self.depth = depth
        self.units = units
        self.size = size
        xavier = keras.initializers.VarianceScaling
        self.hidden = [
            self._dense(
                f"dense_{index}",
                units,
                xavier(1.0, "fan_in", "uniform"),
                "relu",
            )
            for index in range(depth)
        ]
        self.mask_logits = self._dense(
            "mask_logits",
            size * size * num_masks,
            keras.initializers.RandomNormal(stddev=0.001),
        )

    def _dense(self, name: str, units: int, initializer, activation=None):
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, rois_shape, labels_shape=None):
        roi_convolutions.check_rois(rois_shape)
        height, width, channels = rois_shape[2:]
        roi_convolutions.build(
            [*self.hidden, self.mask_logits],
            (None, height * width * channels),
        )

    def call(self, rois, labels=None, training=None):
        """Compute masks in the frames of the RoIs, as `MaskHead` does.

        Args:
            rois: float [B, R, S, S, C], from `roi_align`.
            labels: int32 [B, R], whose mask is wanted of each RoI, or None
                for all masks. Rows of -1 (padding) get zeros. Without effect
                on what K = 1 predicts.
            training: accepted as `MaskHead` does, without effect.

        Returns:
            Logits: float32 [B, R, size, size, K]; with labels float32
            [B, R, size, size].
        """
        height, width, channels = rois.shape[2:]
        rows = roi_convolutions.merge_rois(rois)
        rows = ops.reshape(rows, (-1, height * width * channels))
        for layer in [*self.hidden, self.mask_logits]:
            rows = layer(rows)
        shape = (-1, self.size, self.size, self.num_masks)
        logits = ops.cast(ops.reshape(rows, shape), "float32")
        logits = roi_convolutions.split_rois(logits, rois)
        if labels is None:
            return logits
        if self.num_masks == 1:
            return logits[..., 0]
        wanted = ops.one_hot(labels, self.num_masks, dtype="float32")
        return ops.sum(logits * wanted[:, :, None, None], axis=-1)

    def compute_output_shape(self, rois_shape, labels_shape=None):
        shape = (*rois_shape[:2], self.size, self.size)
        return shape if labels_shape else (*shape, self.num_masks)

    def compute_output_spec(self, rois, labels=None, training=None):
        labels_shape = None if labels is None else labels.shape
        shape = self.compute_output_shape(rois.shape, labels_shape)
        return keras.KerasTensor(shape, dtype="float32")

    def get_config(self):
        return {
            **super().get_config(),
            "num_masks": self.num_masks,
            "depth": self.depth,
            "units": self.units,
            "size": self.size,
        }


def _check_masks(num_masks: int) -> None:
    if num_masks < 1:
        raise ValueError(
            "Expected num_masks as the number of classes, or 1 for "
            f"class-agnostic masks. Received: {num_masks}."
        )


def _check_perceptron(depth: int, units: int, size: int) -> None:
    if depth < 0 or units < 1 or size < 1:
        raise ValueError(
            "Expected depth >= 0, units >= 1 and size >= 1. Received: "
            f"depth={depth}, units={units}, size={size}."
        )
