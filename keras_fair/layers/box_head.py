"""The second stage of Faster R-CNN on a pyramid. FPN, section 4.2.

B images, R RoIs, S the side of an RoI's features, K classes.
"""

import keras
from keras import ops

from keras_fair.layers import roi_convolutions

ROWS = ("class", "box", "class+box")


@keras.saving.register_keras_serializable(package="keras_fair")
class BoxHead(keras.layers.Layer):
    """Classify each RoI and correct its box, for every class.

    Hidden fully connected layers with ReLU ("2-fc" in the paper), optionally
    3x3 convolutions before them, and two linear layers beside each other.
    Features are flattened in the order y, x, channel; torch's order is
    channel, y, x, so its first kernel has to be transposed.

    Args:
        num_classes: K, without background.
        units: of each hidden layer; torchvision's second version (1024,).
        convolutions: 3x3 convolutions before the hidden layers; torchvision's
            second version 4.
        filters: channels of these convolutions.
        norm: "", or "batch": batch normalisation in place of their bias.
        class_agnostic: one box for all classes.
        unused_logits: logits beyond background's that take part in the
            softmax and are of no class, as torchvision's for the ids that
            COCO leaves out.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        units=(1024, 1024),
        convolutions: int = 0,
        filters: int = 256,
        norm: str = "",
        class_agnostic: bool = False,
        unused_logits: int = 0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check(num_classes, units)
        self.num_classes = num_classes
        self.units = tuple(units)
        self.convolutions = convolutions
        self.filters = filters
        self.norm = norm
        self.class_agnostic = class_agnostic
        self.unused_logits = unused_logits
        self.num_logits = num_classes + 1 + unused_logits
        self.num_boxes = 1 if class_agnostic else num_classes
        self._make_layers()

    def _make_layers(self) -> None:
        self.tower = roi_convolutions.convolutions(
            self.convolutions,
            self.filters,
            norm=self.norm,
            dtype=self.dtype_policy,
        )
        # Caffe2's XavierFill, which Detectron uses here.
        xavier = keras.initializers.VarianceScaling
        self.hidden = [
            self._dense(
                f"dense_{index}",
                units,
                xavier(1.0, "fan_in", "uniform"),
                "relu",
            )
            for index, units in enumerate(self.units)
        ]
        normal = keras.initializers.RandomNormal
        self.class_logits = self._dense(
            "class_logits", self.num_logits, normal(stddev=0.01)
        )
        self.box_deltas = self._dense(
            "box_deltas", 4 * self.num_boxes, normal(stddev=0.001)
        )

    def _dense(self, name: str, units: int, initializer, activation=None):
        return keras.layers.Dense(
            units,
            activation=activation,
            kernel_initializer=initializer,
            dtype=self.dtype_policy,
            name=name,
        )

    def build(self, input_shape):
        roi_convolutions.check_rois(input_shape)
        _, height, width, channels = roi_convolutions.build(
            self.tower, (None, *input_shape[2:])
        )
        shape = roi_convolutions.build(
            self.hidden, (None, height * width * channels)
        )
        self.class_logits.build(shape)
        self.box_deltas.build(shape)

    def call(self, inputs, training=None):
        """Compute logits and deltas of each RoI.

        Args:
            inputs: float [B, R, S, S, channels], from `roi_align`.
            training: whether batch normalisation uses the batch's statistics.

        Returns:
            class_logits: float32 [B, R, K + 1]; background is last, but for
                the unused ones.
            box_deltas: float32 [B, R, K, 4], or [B, R, 1, 4].
        """
        features = roi_convolutions.merge_rois(inputs)
        features = roi_convolutions.run(self.tower, features, training)
        size = features.shape[1] * features.shape[2] * features.shape[3]
        features = ops.reshape(features, (-1, size))
        features = roi_convolutions.run(self.hidden, features, training)
        class_logits = ops.cast(self.class_logits(features), "float32")
        box_deltas = ops.cast(self.box_deltas(features), "float32")
        box_deltas = ops.reshape(box_deltas, (-1, self.num_boxes, 4))
        return (
            roi_convolutions.split_rois(class_logits, inputs),
            roi_convolutions.split_rois(box_deltas, inputs),
        )

    def rows(self, kind: str, labels=None):
        """Return what the last layers know of classes. Mask^X, section 3.1.

        Args:
            kind: "class", "box" or "class+box".
            labels: int [N], 0..K-1, whose rows are wanted; None for all. Work
                and memory grow with N, not with K.

        Returns:
            w_det, float32 [N, D]. Of "class", D is the last hidden layer's
            units: the class's weights, without bias and background. Of "box",
            4 * units: its weights for dx, dy, dw and dh, one after the other.
            Of "class+box", the two, one after the other.
        """
        _check_rows(kind, self.class_agnostic)
        if labels is None:
            labels = ops.arange(self.num_classes, dtype="int32")
        units = self.units[-1]
        rows = []
        if kind != "box":
            kernel = ops.take(self.class_logits.kernel, labels, axis=1)
            rows.append(ops.transpose(kernel))
        if kind != "class":
            kernel = ops.reshape(
                self.box_deltas.kernel, (units, self.num_classes, 4)
            )
            kernel = ops.transpose(ops.take(kernel, labels, axis=1), (1, 2, 0))
            rows.append(ops.reshape(kernel, (-1, 4 * units)))
        return ops.cast(ops.concatenate(rows, axis=-1), "float32")

    def row_size(self, kind: str) -> int:
        """Return D of `rows`."""
        _check_rows(kind, self.class_agnostic)
        return {"class": 1, "box": 4, "class+box": 5}[kind] * self.units[-1]

    def compute_output_shape(self, input_shape):
        batch = tuple(input_shape[:2])
        return (
            (*batch, self.num_logits),
            (*batch, self.num_boxes, 4),
        )

    def compute_output_spec(self, inputs, training=None):
        return tuple(
            keras.KerasTensor(shape, dtype="float32")
            for shape in self.compute_output_shape(inputs.shape)
        )

    def get_config(self):
        return {
            **super().get_config(),
            "num_classes": self.num_classes,
            "units": self.units,
            "convolutions": self.convolutions,
            "filters": self.filters,
            "norm": self.norm,
            "class_agnostic": self.class_agnostic,
            "unused_logits": self.unused_logits,
        }


def _check_rows(kind: str, class_agnostic: bool) -> None:
    """Refuse rows that a box head does not have."""
    if kind not in ROWS:
        raise ValueError(f"Expected kind as one of {ROWS}. Received: {kind!r}.")
    if kind != "class" and class_agnostic:
        raise ValueError(
            "Expected class-specific boxes for the rows of kind "
            f'{kind!r}. Received: class_agnostic=True. Use "class".'
        )


def _check(num_classes: int, units) -> None:
    if num_classes < 1:
        raise ValueError(
            f"Expected at least one class. Received: {num_classes}."
        )
    if not units or min(units) < 1:
        raise ValueError(
            "Expected the sizes of one or more hidden layers, such as "
            f"(1024, 1024). Received: units={units}."
        )
