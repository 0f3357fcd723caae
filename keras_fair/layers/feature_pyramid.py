"""The feature pyramid. FPN (Lin et al., CVPR 2017), section 3.

C2 to C5 are the backbone's features at strides 4 to 32, P2 to P7 the
pyramid's at strides 4 to 128. All are [B, H, W, channels].
"""

import keras
from keras import ops

COARSEST_INPUT = 5  # C5; P6 and above are made by striding
COARSE = ("conv", "pool")
COARSE_INPUTS = ("c5", "p5")
NORMS = ("", "batch")


@keras.saving.register_keras_serializable(package="keras_fair")
class FeaturePyramid(keras.layers.Layer):
    """Merge a backbone's features top-down into levels of equal width.

    A 1x1 convolution of each C meets the level above, repeated 2x2; a 3x3
    convolution of the sum is the level. There is no non-linearity.

    Example:
        >>> pyramid = FeaturePyramid(256, min_level=3, max_level=7)
        >>> pyramid({"C3": c3, "C4": c4, "C5": c5}).keys()
        dict_keys(['P3', 'P4', 'P5', 'P6', 'P7'])

    Args:
        filters: channels of every level.
        min_level: finest level; 2 for P2.
        max_level: coarsest level, inclusive.
        coarse: how P6 and above are made: "conv", a 3x3 convolution of stride
            2 (after a ReLU from P7 on; RetinaNet), or "pool", every second
            row and column of the level below (FPN, footnote 1).
        coarse_input: what the convolution of P6 sees: "c5" or "p5".
        merge: "add", or a function of (lateral, top_down), or a layer called
            with the list of the two as Keras's merging layers are. Both are
            [B, H, W, filters], as must be the result. A layer is shared by
            all levels.
        norm: "", or "batch": batch normalisation in place of the bias of the
            1x1 and 3x3 convolutions, as in torchvision's second version.
    """

    def __init__(
        self,
        filters: int = 256,
        *,
        min_level: int = 3,
        max_level: int = 7,
        coarse: str = "conv",
        coarse_input: str = "c5",
        merge="add",
        norm: str = "",
        **kwargs,
    ):
        super().__init__(**kwargs)
        _check_levels(min_level, max_level)
        _check_choice("coarse", coarse, COARSE)
        _check_choice("coarse_input", coarse_input, COARSE_INPUTS)
        _check_choice("norm", norm, NORMS)
        if merge != "add" and not callable(merge):
            raise ValueError(
                'Expected merge as "add", a function of (lateral, top_down) '
                f"or a layer. Received: {merge!r}."
            )
        self.filters = filters
        self.min_level = min_level
        self.max_level = max_level
        self.coarse = coarse
        self.coarse_input = coarse_input
        self.merge = merge
        self.norm = norm
        self._make_layers()

    def _make_layers(self) -> None:
        top = min(self.max_level, COARSEST_INPUT)
        self.levels = list(range(self.min_level, top + 1))
        self.coarse_levels = list(range(top + 1, self.max_level + 1))
        self.lateral_convolutions = [
            self._convolution(f"lateral_{level}", 1, use_bias=not self.norm)
            for level in self.levels
        ]
        self.lateral_norms = self._norms("lateral_norm")
        self.output_convolutions = [
            self._convolution(f"output_{level}", 3, use_bias=not self.norm)
            for level in self.levels
        ]
        self.output_norms = self._norms("output_norm")
        self.coarse_convolutions = [
            self._convolution(f"coarse_{level}", 3, strides=2, padding="valid")
            for level in (self.coarse_levels if self.coarse == "conv" else [])
        ]

    def _convolution(
        self,
        name: str,
        kernel_size: int,
        *,
        strides: int = 1,
        padding: str = "same",
        use_bias: bool = True,
    ):
        return keras.layers.Conv2D(
            self.filters,
            kernel_size,
            strides=strides,
            padding=padding,
            use_bias=use_bias,
            # Caffe2's XavierFill, which Detectron uses here.
            kernel_initializer=keras.initializers.VarianceScaling(
                1.0, "fan_in", "uniform"
            ),
            dtype=self.dtype_policy,
            name=name,
        )

    def _norms(self, name: str) -> list:
        if not self.norm:
            return [None] * len(self.levels)
        return [
            keras.layers.BatchNormalization(
                momentum=0.9,  # torch's 0.1
                epsilon=1e-5,
                dtype=self.dtype_policy,
                name=f"{name}_{level}",
            )
            for level in self.levels
        ]

    def build(self, input_shape):
        _check_inputs(input_shape, self.levels)
        level_shape = (None, None, None, self.filters)
        for level, lateral in zip(self.levels, self.lateral_convolutions):
            lateral.build((None, None, None, input_shape[f"C{level}"][-1]))
        for layer in self.output_convolutions:
            layer.build(level_shape)
        for layer in [*self.lateral_norms, *self.output_norms]:
            if layer is not None:
                layer.build(level_shape)
        for index, layer in enumerate(self.coarse_convolutions):
            on_c5 = index == 0 and self.coarse_input == "c5"
            channels = input_shape["C5"][-1] if on_c5 else self.filters
            layer.build((None, None, None, channels))
        if isinstance(self.merge, keras.Layer) and not self.merge.built:
            self.merge.build([level_shape, level_shape])

    def call(self, inputs):
        """Compute the pyramid.

        Args:
            inputs: dict with "C3" ... "C5" (from `min_level` on; further
                entries are ignored), float [B, H, W, channels]. Each level is
                half as large as the one before, rounded up or down.

        Returns:
            dict "P3" ... "P7" of [B, H, W, filters], in the compute dtype.
        """
        merged = self._top_down(inputs)
        outputs = {
            f"P{level}": _normalised(convolution(features), norm)
            for level, features, convolution, norm in zip(
                self.levels, merged, self.output_convolutions, self.output_norms
            )
        }
        if self.coarse == "pool":
            for level in self.coarse_levels:
                outputs[f"P{level}"] = outputs[f"P{level - 1}"][:, ::2, ::2]
            return outputs
        for level, convolution in zip(
            self.coarse_levels, self.coarse_convolutions
        ):
            features = outputs[f"P{level - 1}"]
            if level > COARSEST_INPUT + 1:
                features = ops.relu(features)
            elif self.coarse_input == "c5":
                features = inputs["C5"]
            outputs[f"P{level}"] = convolution(_pad(features))
        return outputs

    def _top_down(self, inputs) -> list:
        """Return the merged maps, finest first, before their 3x3."""
        laterals = [
            _normalised(convolution(inputs[f"C{level}"]), norm)
            for level, convolution, norm in zip(
                self.levels, self.lateral_convolutions, self.lateral_norms
            )
        ]
        merged = [laterals[-1]]
        for lateral in reversed(laterals[:-1]):
            merged.append(self._merged(lateral, _upsample(merged[-1], lateral)))
        return merged[::-1]

    def _merged(self, lateral, top_down):
        if self.merge == "add":
            return lateral + top_down
        if isinstance(self.merge, keras.Layer):
            return self.merge([lateral, top_down])
        return self.merge(lateral, top_down)

    def compute_output_shape(self, input_shape):
        shapes = {
            f"P{level}": (*input_shape[f"C{level}"][:3], self.filters)
            for level in self.levels
        }
        for level in self.coarse_levels:
            batch, height, width, _ = shapes[f"P{level - 1}"]
            size = [side and -(-side // 2) for side in (height, width)]
            shapes[f"P{level}"] = (batch, *size, self.filters)
        return shapes

    def get_config(self):
        merge = self.merge
        if merge != "add":
            merge = keras.saving.serialize_keras_object(merge)
        return {
            **super().get_config(),
            "filters": self.filters,
            "min_level": self.min_level,
            "max_level": self.max_level,
            "coarse": self.coarse,
            "coarse_input": self.coarse_input,
            "merge": merge,
            "norm": self.norm,
        }

    @classmethod
    def from_config(cls, config):
        config = dict(config)
        if config["merge"] != "add":
            config["merge"] = keras.saving.deserialize_keras_object(
                config["merge"]
            )
        return cls(**config)


def _normalised(features, norm):
    return features if norm is None else norm(features)


def _pad(features):
    """Surround with one row and column of zeros, the same on each side."""
    return ops.pad(features, [[0, 0], [1, 1], [1, 1], [0, 0]])


def _upsample(coarse, fine):
    """Repeat each cell 2x2 to the size of `fine`: nearest upsampling."""
    for axis in (1, 2):
        cells, size = coarse.shape[axis], fine.shape[axis]
        if cells is None or size is None or 2 * cells < size:
            coarse = _repeat_last(coarse, axis)
        coarse = ops.repeat(coarse, 2, axis=axis)
    shape = ops.shape(fine)
    return coarse[:, : shape[1], : shape[2]]


def _repeat_last(features, axis: int):
    last = features[:, -1:] if axis == 1 else features[:, :, -1:]
    return ops.concatenate([features, last], axis=axis)


def _check_levels(min_level: int, max_level: int) -> None:
    if not 1 <= min_level <= min(max_level, COARSEST_INPUT):
        raise ValueError(
            "Expected 1 <= min_level <= max_level and min_level <= 5 (C5 is "
            "the coarsest input). Received: "
            f"min_level={min_level}, max_level={max_level}."
        )


def _check_choice(name: str, value: str, choices: tuple) -> None:
    if value not in choices:
        raise ValueError(
            f"Expected {name} as one of {choices}. Received: {value!r}."
        )


def _check_inputs(shapes, levels: list) -> None:
    names = [f"C{level}" for level in levels]
    missing = [name for name in names if name not in shapes]
    if missing:
        raise ValueError(
            f"Expected features {', '.join(names)}; {', '.join(missing)} "
            f"missing. Received: {', '.join(sorted(shapes))}. Build the "
            "pyramid with the min_level that the backbone has."
        )
    for fine, coarse in zip(names, names[1:]):
        for axis in (1, 2):
            size, cells = shapes[fine][axis], shapes[coarse][axis]
            if size and cells and abs(2 * cells - size) > 1:
                raise ValueError(
                    f"Expected {coarse} half as large as {fine}, rounded up "
                    f"or down. Received: {shapes[fine][1:3]} and "
                    f"{shapes[coarse][1:3]}."
                )
