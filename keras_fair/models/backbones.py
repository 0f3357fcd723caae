"""Bottom-up networks: the package's ResNets, or any Keras model.

A backbone is a functional `keras.Model` from [B, H, W, 3], normalised pixels,
to a dict of features "C2" to "C5" at strides 4 to 32.
"""

import keras

from keras_fair.config import BackboneConfig
from keras_fair.models import resnet

LEVELS = range(2, 6)  # C2 to C5, at strides 4 to 32
PROBE = 256  # pixels: the image side at which strides are found out
BACKBONES = {
    "resnet18": resnet.resnet18,
    "resnet50": resnet.resnet50,
    "resnet101": resnet.resnet101,
    "resnet152": resnet.resnet152,
    "resnext101_32x8d": resnet.resnext101_32x8d,
}


def build_backbone(config: BackboneConfig, dtype=None) -> keras.Model:
    """Build the network that the config describes, with random weights.

    Frozen stages have nothing trainable and gradients stop at their end; to
    train them, build with a smaller `frozen_stages`.

    Args:
        config: which network, and how it is normalised and frozen.
        dtype: dtype policy of every layer; None is the global policy.

    Returns:
        A model named `config.name`, of float [B, H, W, 3] to the dict
        "C2" ... "C5". Size of each level: half of the one before, rounded up.
    """
    if config.name not in BACKBONES:
        raise ValueError(
            f"Expected a backbone of {', '.join(BACKBONES)}. "
            f"Received: {config.name!r}."
        )
    return BACKBONES[config.name](config, dtype)


def as_backbone(model, levels=None, stage_names=None) -> keras.Model:
    """Return the features of any Keras model as a dict "C2" ... "C5".

    Models of keras.applications that rescale inside (MobileNetV3,
    EfficientNet, ConvNeXt: their `include_preprocessing`) expect pixels
    0..255: feed them RGB with mean 0 and standard deviation 1, or build them
    without it. Weights are shared with `model`, nothing is frozen.

    Example:
        >>> model = keras.applications.DenseNet121(
        ...     include_top=False, input_shape=(None, None, 3))
        >>> as_backbone(model, levels=(3, 4, 5)).output.keys()
        dict_keys(['C3', 'C4', 'C5'])

    Args:
        model: a keras.Model with one image input that has (first found wins)
            the attribute `pyramid_outputs`, a dict "P2" ... of tensors, as
            KerasHub's backbones; or a dict "C2" ... as output; or layers at
            strides 4 to 32, of which the last of each stride is taken.
        levels: which levels to keep; None keeps all that are found.
        stage_names: layers to take instead, {"C3": "name of a layer", ...}.

    Raises:
        ValueError: no layer of that name, or none at that stride.
    """
    model = _functional(model)
    if stage_names is not None:
        features = _named_stages(model, stage_names)
    elif hasattr(model, "pyramid_outputs"):
        features = {
            f"C{level}": model.pyramid_outputs[f"P{level}"]
            for level in LEVELS
            if f"P{level}" in model.pyramid_outputs
        }
    elif isinstance(model.output, dict):
        features = {
            f"C{level}": model.output[f"C{level}"]
            for level in LEVELS
            if f"C{level}" in model.output
        }
    else:
        features = _last_of_each_stride(model)
    wanted = [f"C{level}" for level in levels or ()] or list(features)
    missing = [name for name in wanted if name not in features]
    if missing or not wanted:
        raise ValueError(
            f"Expected features {', '.join(wanted) or 'C2 to C5'} of "
            f"{model.name!r}. Found: {', '.join(features) or 'none'}. Name "
            'the layers: stage_names={"C3": "...", ...}.'
        )
    return keras.Model(
        model.inputs[0],
        {name: features[name] for name in wanted},
        name=model.name,
    )


def _functional(model) -> keras.Model:
    """Return the model as a graph from one image input."""
    if not isinstance(model, keras.Model):
        raise TypeError(f"Expected a keras.Model. Received: {model!r}.")
    if not getattr(model, "inputs", None):  # subclassed, or not built
        pixels = keras.Input((None, None, 3), name="pixels")
        return keras.Model(pixels, model(pixels), name=model.name)
    if len(model.inputs) != 1 or model.inputs[0].shape[-1] != 3:
        raise ValueError(
            "Expected a backbone with one input [B, H, W, 3]. Received: "
            f"{[tuple(tensor.shape) for tensor in model.inputs]}."
        )
    return model


def _named_stages(model, stage_names: dict) -> dict:
    """Return the outputs of the layers of these names."""
    names = {layer.name for layer in model.layers}
    missing = [n for n in stage_names.values() if n not in names]
    if missing:
        raise ValueError(
            f"{model.name!r} has no layer {', '.join(missing)}. See "
            "model.summary()."
        )
    return {
        level: model.get_layer(name).output
        for level, name in stage_names.items()
    }


def _last_of_each_stride(model) -> dict:
    """Return the last feature map whose size is 1/4, 1/8, 1/16, 1/32."""
    maps = [
        operation.output
        for operation in keras.Model(model.inputs, model.outputs).operations
        if len(getattr(operation.output, "shape", ())) == 4
    ]
    _, height, width, channels = model.inputs[0].shape
    image = (1, height or PROBE, width or PROBE, channels)
    shapes = keras.Model(model.inputs[0], maps).compute_output_shape(image)
    features = {}
    for level in LEVELS:
        size = tuple(-(-side // 2**level) for side in image[1:3])
        found = [m for m, s in zip(maps, shapes) if tuple(s[1:3]) == size]
        if found:
            features[f"C{level}"] = found[-1]
    return features
