"""ImageNet weights of keras.applications' ResNets, for our backbones.

Their networks are ours with the stride in the first 1x1, except that a
convolution there has a bias, which is folded into the normalisation after
it, and that epsilon is 1.001e-5, for which the variance makes up where a
backbone has another.
"""

import pathlib
import zipfile

import h5py
import keras
import numpy as np

NETWORKS = {
    "resnet50": keras.applications.ResNet50,
    "resnet101": keras.applications.ResNet101,
    "resnet152": keras.applications.ResNet152,
}
EPSILON = 1.001e-5  # of their batch normalisation
CLASSIFIER = "predictions"  # the layer that a detector has no use for
DOWNLOAD = "imagenet"


def load_resnet(backbone: keras.Model, source: str) -> None:
    """Load weights of keras.applications into one of our ResNets.

    They expect pixels in BGR order minus (103.939, 116.779, 123.68), which
    is what `config.PixelConfig` gives by default.

    Args:
        backbone: from `models.backbones`, ResNet-50, -101 or -152 with
            `stride_in="1x1"`. Changed only if everything fits.
        source: "imagenet", which downloads through keras.applications, or a
            path to weights of such a network: ".h5", ".weights.h5", ".keras".

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: another network; the message lists all names that are
            missing, not expected, or of another shape.
    """
    _check_backbone(backbone)
    if source == DOWNLOAD:
        network = NETWORKS[backbone.name](
            weights=DOWNLOAD, include_top=False, input_shape=(None, None, 3)
        )
        arrays = {
            layer.name: layer.get_weights()
            for layer in network.layers
            if layer.weights
        }
    else:
        arrays = read_layers(source)
    names = _their_names(backbone)
    _check_arrays(backbone, names, arrays, source)
    for layer_name, their_name in names.items():
        layer = backbone.get_layer(layer_name)
        if isinstance(layer, keras.layers.Conv2D):
            layer.set_weights(arrays[their_name][:1])
        else:
            convolution = their_name.removesuffix("bn") + "conv"
            bias = arrays[convolution][1]
            layer.set_weights(_fold(arrays[their_name], bias, layer.epsilon))


def read_layers(path: str) -> dict[str, list[np.ndarray]]:
    """Read a Keras weight file into {layer name: its arrays, in order}.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a weight file of Keras.
    """
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f'Expected "{DOWNLOAD}" or a path to a weight file. '
            f"Received: {path!r}."
        )
    if zipfile.is_zipfile(path):  # a .keras archive
        with zipfile.ZipFile(path) as archive:
            if "model.weights.h5" not in archive.namelist():
                raise ValueError(f"Expected model.weights.h5 inside {path}.")
            with archive.open("model.weights.h5") as file:
                return _read(file, path)
    return _read(path, path)


def _read(file, path: str) -> dict:
    layers = {}

    def visit(name, group):
        """Collect a layer of the older or of the newer layout."""
        if "weight_names" in group.attrs:
            arrays = [group[key][()] for key in group.attrs["weight_names"]]
            layers[name.rpartition("/")[2]] = arrays
        elif name.endswith("vars") and "name" in group.attrs:
            keys = sorted(group, key=int)
            layers[group.attrs["name"]] = [group[key][()] for key in keys]

    try:
        with h5py.File(file, "r") as opened:
            opened.visititems(visit)
    except OSError as error:
        raise ValueError(
            f"Expected a weight file of Keras (HDF5) at {path}. "
            f"Received: {error}."
        ) from error
    return {name: arrays for name, arrays in layers.items() if arrays}


def _their_names(backbone: keras.Model) -> dict[str, str]:
    """Map the names of our layers with weights to theirs.

    Example: "res2_0_conv1" -> "conv2_block1_1_conv", "res2_0_shortcut_norm"
    -> "conv2_block1_0_bn".
    """
    names = {"stem_conv": "conv1_conv", "stem_norm": "conv1_bn"}
    for layer in backbone.layers:
        if not layer.weights or layer.name in names:
            continue
        stage, block, part = layer.name.removeprefix("res").split("_", 2)
        if part.startswith("shortcut"):
            index = 0
        else:
            index = int(part[-1])
        kind = "bn" if "norm" in part else "conv"
        their_block = f"conv{stage}_block{int(block) + 1}"
        names[layer.name] = f"{their_block}_{index}_{kind}"
    return names


def _fold(norm: list, bias, epsilon: float) -> list:
    """Return the four arrays of a normalisation that has no bias before it.

    (x + bias - mean) / sqrt(variance + EPSILON) with the bias inside the
    mean, and the difference of the epsilons inside the variance.
    """
    gamma, beta, mean, variance = norm
    return [gamma, beta, mean - bias, variance + (EPSILON - epsilon)]


def _check_backbone(backbone: keras.Model) -> None:
    if backbone.name not in NETWORKS:
        raise ValueError(
            f"keras.applications has weights for {', '.join(NETWORKS)}. "
            f"Received: {backbone.name!r}."
        )
    if backbone.get_layer("res3_0_conv1").strides == (1, 1):
        raise ValueError(
            "Expected a backbone with the stride in the first 1x1, as "
            'keras.applications has it. Build it with stride_in="1x1".'
        )


def _check_arrays(backbone, names: dict, arrays: dict, source: str) -> None:
    """Refuse files that do not hold exactly the weights of the backbone."""
    missing = [name for name in names.values() if name not in arrays]
    unexpected = sorted(set(arrays) - set(names.values()) - {CLASSIFIER})
    mismatched = []
    for layer_name, name in names.items():
        expected = [w.shape for w in backbone.get_layer(layer_name).weights]
        if name.endswith("conv"):
            expected.append(expected[0][-1:])  # the bias
        shapes = [array.shape for array in arrays.get(name, ())]
        if name in arrays and shapes != expected:
            mismatched.append(f"{name} {shapes} instead of {expected}")
    if missing or unexpected or mismatched:
        raise ValueError(
            f"{source} does not fit {backbone.name!r}.\n"
            f"Missing: {', '.join(missing) or 'none'}.\n"
            f"Unexpected: {', '.join(unexpected) or 'none'}.\n"
            f"Other shapes: {'; '.join(mismatched) or 'none'}."
        )
