"""The convolutions on RoI features that the heads of R-CNNs begin with.

B images, R RoIs, S the side of an RoI's features. Convolutions see the RoIs
of all images as one batch: N rows [N, S, S, channels], N = B * R. B and R may
be unknown. Where there are no RoIs, N is 1: TensorFlow's convolutions on a CPU
return wrong shapes for no rows, and their gradients fail.
"""

import keras
from keras import ops

NORMS = ("", "batch")


def msra():
    """Caffe2's MSRAFill, and kaiming_normal_ of torch with "fan_out"."""
    return keras.initializers.VarianceScaling(
        2.0, "fan_out", "untruncated_normal"
    )


def convolutions(depth: int, filters: int, *, norm: str, dtype) -> list:
    """Return the layers of `depth` 3x3 convolutions with ReLU.

    Args:
        depth: number of convolutions.
        filters: channels of each.
        norm: "", or "batch": batch normalisation in place of the bias.
        dtype: the policy of the layer they belong to.

    Returns:
        Layers convolution_0, convolution_norm_0 (if any), relu_0, and so on.
    """
    _check(depth, filters, norm)
    layers = []
    for index in range(depth):
        convolution = keras.layers.Conv2D(
            filters,
            3,
            padding="same",
            use_bias=not norm,
            kernel_initializer=msra(),
            dtype=dtype,
            name=f"convolution_{index}",
        )
        layers.append(convolution)
        if norm:
            layers.append(_norm(f"convolution_norm_{index}", dtype))
        layers.append(keras.layers.ReLU(dtype=dtype, name=f"relu_{index}"))
    return layers


def _norm(name: str, dtype):
    return keras.layers.BatchNormalization(
        momentum=0.9,  # torch's 0.1
        epsilon=1e-5,
        dtype=dtype,
        name=name,
    )


def build(layers: list, shape: tuple) -> tuple:
    """Build layers that follow each other; return the last one's shape."""
    for layer in layers:
        layer.build(shape)
        shape = layer.compute_output_shape(shape)
    return shape


def run(layers: list, features, training):
    """Apply layers that follow each other; batch norm knows `training`."""
    for layer in layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            features = layer(features, training=training)
        else:
            features = layer(features)
    return features


def merge_rois(rois):
    """Reshape [B, R, ...] to [N, ...]; a row of zeros if there are no RoIs."""
    rows = ops.reshape(rois, (-1, *rois.shape[2:]))
    if rows.shape[0]:
        return rows
    count = ops.shape(rows)[0]
    missing = 1 if rows.shape[0] == 0 else 1 - ops.minimum(count, 1)
    zeros = ops.zeros((missing, *rows.shape[1:]), rows.dtype)
    return ops.concatenate([rows, zeros])


def split_rois(rows, rois):
    """Reshape [N, ...] to [B, R, ...], with B and R those of `rois`."""
    batch, count = ops.shape(rois)[:2]
    if not (rois.shape[0] and rois.shape[1]):
        rows = rows[: batch * count]
    return ops.reshape(rows, (batch, count, *rows.shape[1:]))


def check_rois(shape: tuple) -> None:
    """Refuse anything but the shape [B, R, S, S, channels], S known."""
    if len(shape) != 5 or None in shape[2:]:
        raise ValueError(
            "Expected RoI features [B, R, S, S, channels] of which only B "
            f"and R may be unknown. Received the shape: {tuple(shape)}."
        )


def _check(depth: int, filters: int, norm: str) -> None:
    if depth < 0 or filters < 1:
        raise ValueError(
            "Expected no fewer than 0 convolutions of at least one filter. "
            f"Received: {depth} of {filters}."
        )
    if norm not in NORMS:
        raise ValueError(
            f"Expected norm as one of {NORMS}. Received: {norm!r}."
        )
