import os
import pathlib
import zipfile

import keras
import numpy as np
import pytest

from keras_fair.checkpoints import keras_applications
from keras_fair.config import BackboneConfig
from keras_fair.models import backbones

THEIR_FEATURES = {
    "C2": "conv2_block3_out",
    "C3": "conv3_block4_out",
    "C4": "conv4_block6_out",
    "C5": "conv5_block3_out",
}


def _zeros(build) -> keras.Model:
    """Build a model whose kernels are zeros, which is quick."""
    with keras.StatelessScope(initialize_variables=False):
        config = build().get_config()
    keras.utils.clear_session()
    for layer in config["layers"]:
        if "kernel_initializer" in layer["config"]:
            layer["config"]["kernel_initializer"] = "zeros"
    return keras.Model.from_config(config)


def _backbone(**changes):
    config = BackboneConfig(norm_epsilon=1e-5, **changes)
    return _zeros(lambda: backbones.build_backbone(config))


@pytest.fixture(scope="module")
def network():
    """ResNet-50 of keras.applications with no weight at its start value."""
    model = _zeros(
        lambda: keras.applications.ResNet50(
            weights=None, include_top=False, input_shape=(None, None, 3)
        )
    )
    random = np.random.default_rng(0)
    for layer in model.layers:
        arrays = layer.get_weights()
        if isinstance(layer, keras.layers.Conv2D):
            deviation = np.sqrt(2 / np.prod(arrays[0].shape[:3]))
            arrays = [
                random.normal(scale=deviation, size=arrays[0].shape),
                random.normal(scale=0.1, size=arrays[1].shape),
            ]
        elif arrays:
            arrays = [random.uniform(0.5, 1.5, a.shape) for a in arrays]
        layer.set_weights(arrays)
    return model


@pytest.fixture(scope="module")
def weights_path(network, tmp_path_factory):
    path = tmp_path_factory.mktemp("resnet50") / "network.weights.h5"
    network.save_weights(path)
    return str(path)


@pytest.fixture(scope="module")
def backbone():
    return _backbone()


def test_features_equal_those_of_keras_applications(
    network, weights_path, backbone
):
    keras_applications.load_resnet(backbone, weights_path)
    outputs = {
        k: network.get_layer(v).output for k, v in THEIR_FEATURES.items()
    }
    theirs = keras.Model(network.input, outputs)
    image = np.random.default_rng(1).uniform(-128, 128, (1, 64, 64, 3))

    expected = theirs.predict(image.astype("float32"), verbose=0)
    features = backbone.predict(image.astype("float32"), verbose=0)

    for name, feature in features.items():
        # The bias enters by another rounding in each of up to 53 layers,
        # half a unit in the last place (6e-8) each, summed at worst.
        scale = np.abs(expected[name]).max()
        np.testing.assert_allclose(
            feature, expected[name], rtol=0, atol=5e-6 * scale
        )


@pytest.mark.parametrize("suffix", [".h5", ".weights.h5", ".keras"])
def test_every_file_format_of_keras_is_read(suffix, tmp_path):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 1, name="conv1_conv")(inputs)
    x = keras.layers.BatchNormalization(name="conv1_bn")(x)
    x = keras.layers.Conv2D(2, 1, name="conv2_conv")(keras.layers.ReLU()(x))
    model = keras.Model(inputs, x)
    random = np.random.default_rng(0)
    model.set_weights([random.normal(size=w.shape) for w in model.weights])
    path = str(tmp_path / f"model{suffix}")
    save = model.save_weights if "weights" in suffix else model.save
    save(path)

    layers = keras_applications.read_layers(path)

    assert sorted(layers) == ["conv1_bn", "conv1_conv", "conv2_conv"]
    for name, arrays in layers.items():
        expected = model.get_layer(name).get_weights()
        assert len(arrays) == len(expected)
        for array, other in zip(arrays, expected):
            np.testing.assert_array_equal(array, other)


def test_bias_and_epsilon_move_into_the_statistics(
    network, weights_path, backbone
):
    keras_applications.load_resnet(backbone, weights_path)
    _, bias = network.get_layer("conv4_block1_0_conv").get_weights()
    theirs = network.get_layer("conv4_block1_0_bn").get_weights()
    ours = backbone.get_layer("res4_0_shortcut_norm").get_weights()
    np.testing.assert_array_equal(ours[0], theirs[0])
    np.testing.assert_array_equal(ours[1], theirs[1])
    np.testing.assert_array_equal(ours[2], theirs[2] - bias)
    np.testing.assert_allclose(ours[3], theirs[3] + 1e-8, rtol=1e-7)


def test_weights_of_another_network_are_listed_by_name(
    network, backbone, tmp_path
):
    before = backbone.get_layer("stem_conv").get_weights()[0]
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(64, 3, name="conv1_conv")(inputs)
    x = keras.layers.Dense(2, name="extra")(x)
    x = keras.layers.Dense(2, name="predictions")(x)
    path = str(tmp_path / "small.weights.h5")
    keras.Model(inputs, x).save_weights(path)

    with pytest.raises(ValueError, match="does not fit 'resnet50'") as error:
        keras_applications.load_resnet(backbone, path)

    missing, unexpected, mismatched = str(error.value).splitlines()[1:]
    assert missing.count(",") == 2 * 53 - 1 - 1
    assert "conv5_block3_3_bn" in missing
    assert unexpected == "Unexpected: extra."
    assert "conv1_conv [(3, 3, 3, 64), (64,)] instead of" in mismatched
    after = backbone.get_layer("stem_conv").get_weights()[0]
    np.testing.assert_array_equal(before, after)


def test_the_stride_in_the_3x3_is_refused(weights_path):
    backbone = _backbone(stride_in="3x3")
    with pytest.raises(ValueError, match='Build it with stride_in="1x1"'):
        keras_applications.load_resnet(backbone, weights_path)


def test_networks_that_keras_has_not_are_refused(weights_path):
    backbone = _backbone(name="resnet18")
    with pytest.raises(ValueError, match="weights for resnet50, resnet101"):
        keras_applications.load_resnet(backbone, weights_path)


def test_a_missing_file_is_named():
    with pytest.raises(FileNotFoundError, match="nowhere.h5"):
        keras_applications.read_layers("nowhere.h5")


def test_a_file_of_another_kind_is_refused(tmp_path):
    path = tmp_path / "weights.h5"
    path.write_text("not HDF5")
    with pytest.raises(ValueError, match="Expected a weight file of Keras"):
        keras_applications.read_layers(str(path))


def test_an_archive_without_weights_is_refused(tmp_path):
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="Expected model.weights.h5 inside"):
        keras_applications.read_layers(str(path))


def test_imagenet_weights_load_from_the_cache_of_keras(backbone):
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    name = "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5"
    if not (pathlib.Path(home) / "models" / name).is_file():
        pytest.skip("the ImageNet weights are not in Keras's cache")
    keras_applications.load_resnet(backbone, "imagenet")
    variance = backbone.get_layer("stem_norm").get_weights()[3]
    assert variance.min() >= 0 and variance.std() > 0
