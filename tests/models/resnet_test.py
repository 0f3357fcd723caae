import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.config import BackboneConfig
from keras_fair.models import backbones


def _build(**changes):
    arguments = {"name": "resnet18", "norm": "batch", "frozen_stages": 0}
    return backbones.build_backbone(BackboneConfig(**arguments | changes))


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.fixture(scope="module")
def small():
    """ResNet-18, nothing frozen."""
    return _build()


@pytest.fixture(scope="module")
def resnet50():
    return _build(name="resnet50", norm="frozen", frozen_stages=2)


@pytest.fixture(scope="module")
def resnext():
    return _build(name="resnext101_32x8d", stride_in="3x3")


def test_features_have_strides_4_to_32_rounded_up(small):
    features = small(np.zeros((2, 65, 97, 3), "float32"))
    assert {name: tuple(f.shape) for name, f in features.items()} == {
        "C2": (2, 17, 25, 64),
        "C3": (2, 9, 13, 128),
        "C4": (2, 5, 7, 256),
        "C5": (2, 3, 4, 512),
    }


def _trainable(model) -> int:
    return sum(int(np.prod(w.shape)) for w in model.trainable_weights)


# torchvision's counts without its classifier.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_176_512),
        ("resnet50", 23_508_032),
        ("resnet101", 42_500_160),
        ("resnet152", 58_143_808),
    ],
)
def test_parameters_are_those_of_torchvision(name, count):
    model = _build(name=name)
    assert _trainable(model) == count
    assert model.name == name


def test_resnext_has_the_parameters_of_torchvision(resnext):
    assert _trainable(resnext) == 86_742_336


@pytest.mark.parametrize(
    ("layer", "shift"), [("stem_conv", 3), ("res3_0_conv1", 1)]
)
def test_strided_convolutions_are_padded_alike_on_all_sides(
    small, layer, shift
):
    """A kernel that picks its first tap sees the input `shift` cells off."""
    convolution = small.get_layer(layer)
    padding = small.get_layer(f"{layer}_pad")
    size, _, channels, filters = convolution.kernel.shape
    kernel = np.zeros((size, size, channels, filters), "float32")
    kernel[0, 0, 0, 0] = 1.0
    before = convolution.get_weights()
    convolution.set_weights([kernel])
    x = np.random.default_rng(0).normal(size=(1, 9, 10, channels))
    x = x.astype("float32")

    outputs = _array(convolution(padding(x)))[0, :, :, 0]
    convolution.set_weights(before)

    expected = np.pad(x[0, :, :, 0], shift)[0:9:2, 0:10:2]
    assert outputs.shape == (5, 5)
    np.testing.assert_array_equal(outputs, expected)


def test_the_stem_pools_with_one_cell_of_padding(small):
    x = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    padded = small.get_layer("stem_pool_pad")(x)
    outputs = _array(small.get_layer("stem_pool")(padded))[0, :, :, 0]
    np.testing.assert_array_equal(
        outputs, [[6, 8, 9], [16, 18, 19], [21, 23, 24]]
    )


@pytest.mark.parametrize(
    ("network", "strides"), [("resnet50", (2, 1)), ("resnext", (1, 2))]
)
def test_stride_is_in_the_convolution_asked_for(network, strides, request):
    model = request.getfixturevalue(network)
    for stage in (3, 4, 5):
        found = tuple(
            model.get_layer(f"res{stage}_0_conv{index}").strides[0]
            for index in (1, 2)
        )
        assert found == strides
    assert model.get_layer("res2_0_conv1").strides == (1, 1)


def test_layers_have_the_names_that_converters_rely_on(resnet50):
    names = [layer.name for layer in resnet50.layers if layer.weights]
    assert len(names) == len(set(names)) == 2 * 53
    assert names[:2] == ["stem_conv", "stem_norm"]
    for name in (
        "res2_0_conv1",
        "res2_0_norm1",
        "res2_0_shortcut",
        "res2_0_shortcut_norm",
        "res5_2_norm3",
    ):
        assert name in names


def test_kernels_start_as_he_proposed(small):
    kernel = _array(small.get_layer("res5_1_conv2").kernel)
    # 2.4 million draws: the deviation is known to 0.05 %.
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=2e-3)


def test_frozen_norm_has_nothing_to_train_and_keeps_its_statistics(resnet50):
    norms = [x for x in resnet50.layers if "norm" in x.name]
    assert len(norms) == 53
    assert not any(norm.trainable_weights for norm in norms)
    assert norms[0].epsilon == 1.001e-5
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    training = _array(resnet50(x, training=True)["C2"])
    np.testing.assert_array_equal(training, _array(resnet50(x)["C2"]))


def test_frozen_stages_train_nothing(resnet50):
    trained = {w.path.split("/")[0] for w in resnet50.trainable_weights}
    assert trained == {
        layer.name
        for layer in resnet50.layers
        if "norm" not in layer.name
        and layer.weights
        and layer.name.startswith(("res3", "res4", "res5"))
    }


@pytest.mark.parametrize(
    ("frozen_stages", "first"),
    [(0, "stem_conv"), (1, "res2_0_conv1"), (4, "res5_0_shortcut")],
)
def test_training_starts_after_the_frozen_stages(frozen_stages, first):
    model = _build(frozen_stages=frozen_stages)
    trained = {w.path.split("/")[0] for w in model.trainable_weights}
    assert first in trained
    assert len(trained) == {0: 40, 1: 38, 4: 10}[frozen_stages]


def test_batch_norm_learns_statistics_except_in_frozen_stages():
    model = _build(frozen_stages=2)
    x = np.random.default_rng(0).normal(size=(2, 32, 32, 3)).astype("float32")
    model(x, training=True)
    for name, changed in (("res2_1_norm2", False), ("res3_0_norm1", True)):
        norm = model.get_layer(name)
        assert _array(norm.moving_mean).any() == changed
        assert (norm.momentum, norm.epsilon) == (0.9, 1.001e-5)


@pytest.mark.parametrize("frozen_stages", [0, 1, 2])
def test_gradients_stop_at_the_frozen_stages(frozen_stages):
    model = _build(frozen_stages=frozen_stages)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    assert _pixel_gradient(model, x).any() == (frozen_stages == 0)


def _pixel_gradient(model, x):
    """Return the gradient of the sum of C5 by the pixels."""
    if keras.backend.backend() == "jax":
        import jax

        def loss(x):
            weights = [v.value for v in model.trainable_variables]
            others = [v.value for v in model.non_trainable_variables]
            features, _ = model.stateless_call(weights, others, x)
            return ops.sum(features["C5"])

        return np.asarray(jax.jit(jax.grad(loss))(x))
    tf = pytest.importorskip("tensorflow")
    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = ops.sum(model(x)["C5"])
    gradient = tape.gradient(loss, x)
    return np.zeros(1) if gradient is None else gradient.numpy()


def test_grouped_convolutions_train(resnext):
    convolution = resnext.get_layer("res2_0_conv2")
    before = _array(convolution.kernel)
    model = keras.Sequential([keras.Input((4, 4, 256)), convolution])
    model.compile("sgd", "mse")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 1, 4, 4, 256)).astype("float32")

    model.train_on_batch(x, y)

    assert before.shape == (3, 3, 8, 256)  # 32 groups of 8 channels
    change = _array(convolution.kernel) - before
    assert np.isfinite(change).all() and (change != 0).all()


def test_sync_norm_is_keras_own():
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="needs the TensorFlow backend"):
            _build(norm="sync")
        return
    assert _build(norm="sync").get_layer("stem_norm").synchronized


def test_dtype_policy_reaches_every_layer():
    config = BackboneConfig(name="resnet18")
    model = backbones.build_backbone(config, dtype="mixed_bfloat16")
    features = model(np.zeros((1, 32, 32, 3), "float32"))
    assert {
        keras.backend.standardize_dtype(f.dtype) for f in features.values()
    } == {"bfloat16"}
    assert {w.dtype for w in model.weights} == {"float32"}


def test_a_saved_backbone_is_the_same(tmp_path):
    model = _build(norm="frozen", frozen_stages=2)
    path = tmp_path / "backbone.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    x = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")
    np.testing.assert_array_equal(
        _array(loaded(x)["C5"]), _array(model(x)["C5"])
    )
    assert len(loaded.trainable_weights) == len(model.trainable_weights)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stride_in": "7x7"}, "Expected stride_in as one of"),
        ({"norm": "group"}, "Expected norm as one of"),
        ({"frozen_stages": 6}, "Expected frozen_stages from 0"),
    ],
)
def test_unknown_settings_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _build(**changes)
