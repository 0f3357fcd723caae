"""ResNets as detectors use them.

ResNet is He et al., CVPR 2016; ResNeXt is Xie et al., CVPR 2017. Strided
convolutions are padded alike on all sides, have no bias and may stride in
the first 1x1 or in the 3x3 of a block; normalisation and freezing follow a
`BackboneConfig`.

Names of layers: `stem_conv`, `stem_norm`, then for block 0 of stage 2
`res2_0_conv1`, `res2_0_norm1`, ..., `res2_0_shortcut` and
`res2_0_shortcut_norm`.

On TensorFlow norm="batch" takes the means of a device's images and "sync"
those of all devices'; on JAX "batch" takes all devices', whose compiled step
sees the whole batch.
"""

import keras
from keras import ops

from keras_fair.config import BackboneConfig
from keras_fair.layers.frozen_batch_norm import FrozenBatchNorm

STRIDES_IN = ("1x1", "3x3")
NORMS = ("frozen", "batch", "sync")
NUM_STAGES = 5  # the stem, then res2 to res5


def resnet18(config: BackboneConfig, dtype=None) -> keras.Model:
    """ResNet-18: two blocks of two 3x3 convolutions per stage."""
    return _build(config, dtype, (2, 2, 2, 2), _basic_block, expansion=1)


def resnet50(config: BackboneConfig, dtype=None) -> keras.Model:
    """ResNet-50."""
    return _build(config, dtype, (3, 4, 6, 3), _bottleneck)


def resnet101(config: BackboneConfig, dtype=None) -> keras.Model:
    """ResNet-101."""
    return _build(config, dtype, (3, 4, 23, 3), _bottleneck)


def resnet152(config: BackboneConfig, dtype=None) -> keras.Model:
    """ResNet-152."""
    return _build(config, dtype, (3, 8, 36, 3), _bottleneck)


def resnext101_32x8d(config: BackboneConfig, dtype=None) -> keras.Model:
    """ResNeXt-101: the 3x3 of res2 has 32 groups of 8 channels."""
    return _build(config, dtype, (3, 4, 23, 3), _bottleneck, width=4, groups=32)


class _Maker:
    """Adds convolutions and normalisations as one config wants them."""

    def __init__(self, config: BackboneConfig, dtype, groups: int):
        self.config = config
        self.dtype = dtype
        self.groups = groups
        self.trainable = True

    def convolution(
        self, x, filters, kernel_size, name, *, strides=1, groups=1
    ):
        """Convolve without bias, padded alike on all sides as torch does."""
        padding = "same"
        if strides > 1:  # "same" would pad bottom and right only
            padding = "valid"
            x = self.pad(x, kernel_size // 2, f"{name}_pad")
        return keras.layers.Conv2D(
            filters,
            kernel_size,
            strides=strides,
            padding=padding,
            groups=groups,
            use_bias=False,
            # Caffe2's MSRAFill; torchvision's too.
            kernel_initializer=keras.initializers.VarianceScaling(
                2.0, "fan_out", "untruncated_normal"
            ),
            trainable=self.trainable,
            dtype=self.dtype,
            name=name,
        )(x)

    def pad(self, x, cells: int, name: str):
        if not cells:
            return x
        return keras.layers.ZeroPadding2D(cells, dtype=self.dtype, name=name)(x)

    def norm(self, x, name: str):
        epsilon = self.config.norm_epsilon
        if self.config.norm == "frozen":
            return FrozenBatchNorm(epsilon, dtype=self.dtype, name=name)(x)
        return keras.layers.BatchNormalization(
            momentum=0.9,
            epsilon=epsilon,
            synchronized=self.config.norm == "sync",
            trainable=self.trainable,
            dtype=self.dtype,
            name=name,
        )(x)

    def relu(self, x, name: str):
        return keras.layers.ReLU(dtype=self.dtype, name=name)(x)


def _build(config, dtype, blocks, block, *, expansion=4, width=1, groups=1):
    """Chain the stem and four stages of `block`."""
    _check_config(config)
    make = _Maker(config, dtype, groups)
    pixels = keras.Input((None, None, 3), name="pixels")
    make.trainable = config.frozen_stages < 1
    x = make.convolution(pixels, config.stem_filters, 7, "stem_conv", strides=2)
    x = make.relu(make.norm(x, "stem_norm"), "stem_relu")
    # Zeros serve as minus infinity: nothing is negative after the ReLU.
    x = make.pad(x, 1, "stem_pool_pad")
    x = keras.layers.MaxPooling2D(3, 2, dtype=dtype, name="stem_pool")(x)
    if config.frozen_stages == 1:
        x = ops.stop_gradient(x)
    features = {}
    for stage in range(2, 6):
        make.trainable = config.frozen_stages < stage
        filters = config.stem_filters * 2 ** (stage - 2)
        for index in range(blocks[stage - 2]):
            strides = 2 if index == 0 and stage > 2 else 1
            name = f"res{stage}_{index}"
            out = filters * expansion
            x = block(make, x, filters * width, out, name, strides=strides)
        if config.frozen_stages == stage:
            x = ops.stop_gradient(x)
        features[f"C{stage}"] = x
    return keras.Model(pixels, features, name=config.name)


def _bottleneck(make, x, width, filters, name, *, strides):
    """1x1, 3x3, 1x1 around a shortcut. ResNet, figure 5 right."""
    in_1x1 = make.config.stride_in == "1x1"
    shortcut = _shortcut(make, x, filters, name, strides)
    x = make.convolution(
        x, width, 1, f"{name}_conv1", strides=strides if in_1x1 else 1
    )
    x = make.relu(make.norm(x, f"{name}_norm1"), f"{name}_relu1")
    x = make.convolution(
        x,
        width,
        3,
        f"{name}_conv2",
        strides=1 if in_1x1 else strides,
        groups=make.groups,
    )
    x = make.relu(make.norm(x, f"{name}_norm2"), f"{name}_relu2")
    x = make.convolution(x, filters, 1, f"{name}_conv3")
    x = make.norm(x, f"{name}_norm3")
    return _join(make, shortcut, x, name)


def _basic_block(make, x, width, filters, name, *, strides):
    """Two 3x3 around a shortcut; the first strides. ResNet, figure 5 left."""
    shortcut = _shortcut(make, x, filters, name, strides)
    x = make.convolution(x, width, 3, f"{name}_conv1", strides=strides)
    x = make.relu(make.norm(x, f"{name}_norm1"), f"{name}_relu1")
    x = make.convolution(x, filters, 3, f"{name}_conv2")
    x = make.norm(x, f"{name}_norm2")
    return _join(make, shortcut, x, name)


def _shortcut(make, x, filters: int, name: str, strides: int):
    """The identity, or a 1x1 projection where the shape changes."""
    if strides == 1 and x.shape[-1] == filters:
        return x
    x = make.convolution(x, filters, 1, f"{name}_shortcut", strides=strides)
    return make.norm(x, f"{name}_shortcut_norm")


def _join(make, shortcut, x, name: str):
    add = keras.layers.Add(dtype=make.dtype, name=f"{name}_add")
    return make.relu(add([shortcut, x]), f"{name}_out")


def _check_config(config: BackboneConfig) -> None:
    if config.stride_in not in STRIDES_IN:
        raise ValueError(
            f"Expected stride_in as one of {STRIDES_IN}. "
            f"Received: {config.stride_in!r}."
        )
    if config.norm not in NORMS:
        raise ValueError(
            f"Expected norm as one of {NORMS}. Received: {config.norm!r}."
        )
    if config.norm == "sync" and keras.backend.backend() != "tensorflow":
        raise ValueError(
            'norm="sync" needs the TensorFlow backend. Received: '
            f'{keras.backend.backend()}. Use "frozen" or "batch", which on JAX '
            "is over all devices already."
        )
    if not 0 <= config.frozen_stages <= NUM_STAGES:
        raise ValueError(
            "Expected frozen_stages from 0 (train everything) to "
            f"{NUM_STAGES} (stem and res2 to res5). "
            f"Received: {config.frozen_stages}."
        )
