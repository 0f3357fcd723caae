import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.config import BackboneConfig
from keras_fair.layers import FrozenBatchNorm
from keras_fair.models import backbones

IMAGE = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype("float32")


def _build(**changes):
    arguments = {"name": "resnet18", "norm": "batch", "frozen_stages": 0}
    return backbones.build_backbone(BackboneConfig(**arguments | changes))


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


@pytest.fixture
def shapes_only():
    """Build models without drawing their weights: only shapes are read."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()  # forget the weights that wait for values


def test_features_have_strides_4_to_32_rounded_up(shapes_only):
    pixels = keras.Input((65, 97, 3), batch_size=2)
    features = _build()(pixels)
    assert {name: feature.shape for name, feature in features.items()} == {
        "C2": (2, 17, 25, 64),
        "C3": (2, 9, 13, 128),
        "C4": (2, 5, 7, 256),
        "C5": (2, 3, 4, 512),
    }


# torchvision's counts without its classifier.
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("resnet18", 11_176_512),
        ("resnet50", 23_508_032),
        ("resnet101", 42_500_160),
        ("resnet152", 58_143_808),
        ("resnext101_32x8d", 86_742_336),
    ],
)
def test_parameters_are_those_of_torchvision(shapes_only, name, count):
    model = _build(name=name)
    sizes = [int(np.prod(w.shape)) for w in model.trainable_weights]
    assert sum(sizes) == count
    assert model.name == name


def _alone(name: str, channels: int):
    """Return a layer of ResNet-18 without the rest, built for an input."""
    with keras.StatelessScope(initialize_variables=False):
        layer = _build().get_layer(name)
        made = type(layer), layer.get_config()
    keras.utils.clear_session()
    layer = made[0].from_config(made[1])
    layer.build((None, None, None, channels))
    return layer


@pytest.mark.parametrize(
    ("name", "channels", "shift"),
    [("stem_conv", 3, 3), ("res3_0_conv1", 64, 1)],
)
def test_strided_convolutions_are_padded_alike_on_all_sides(
    name, channels, shift
):
    """A kernel that picks its first tap sees the input `shift` cells off."""
    convolution = _alone(name, channels)
    padding = _alone(f"{name}_pad", channels)
    kernel = np.zeros(convolution.kernel.shape, "float32")
    kernel[0, 0, 0, 0] = 1.0
    convolution.set_weights([kernel])
    x = np.random.default_rng(0).normal(size=(1, 9, 10, channels))
    x = x.astype("float32")

    outputs = _array(convolution(padding(x)))[0, :, :, 0]

    expected = np.pad(x[0, :, :, 0], shift)[0:9:2, 0:10:2]
    assert outputs.shape == (5, 5)
    np.testing.assert_array_equal(outputs, expected)


def test_the_stem_pools_with_one_cell_of_padding():
    x = np.arange(25, dtype="float32").reshape(1, 5, 5, 1)
    padded = _alone("stem_pool_pad", 1)(x)
    outputs = _array(_alone("stem_pool", 1)(padded))[0, :, :, 0]
    np.testing.assert_array_equal(
        outputs, [[6, 8, 9], [16, 18, 19], [21, 23, 24]]
    )


@pytest.mark.parametrize(
    ("stride_in", "strides"), [("1x1", (2, 1)), ("3x3", (1, 2))]
)
def test_stride_is_in_the_convolution_asked_for(
    shapes_only, stride_in, strides
):
    model = _build(name="resnet50", stride_in=stride_in)
    for stage in (3, 4, 5):
        found = tuple(
            model.get_layer(f"res{stage}_0_conv{index}").strides[0]
            for index in (1, 2)
        )
        assert found == strides
    assert model.get_layer("res2_0_conv1").strides == (1, 1)


def test_layers_have_the_names_that_converters_rely_on(shapes_only):
    model = _build(name="resnet50")
    names = [layer.name for layer in model.layers if layer.weights]
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


def test_kernels_start_as_he_proposed():
    kernel = _array(_alone("res5_1_conv2", 512).kernel)
    # 2.4 million draws: the deviation is known to 0.05 %.
    assert kernel.std() == pytest.approx(np.sqrt(2 / (9 * 512)), rel=2e-3)


def test_frozen_norm_is_all_that_is_there(shapes_only):
    model = _build(name="resnet50", norm="frozen")
    norms = [layer for layer in model.layers if "norm" in layer.name]
    assert len(norms) == 53
    assert {type(norm) for norm in norms} == {FrozenBatchNorm}
    assert {norm.epsilon for norm in norms} == {1.001e-5}


def test_frozen_stages_train_nothing(shapes_only):
    model = _build(name="resnet50", norm="frozen", frozen_stages=2)
    trained = {w.path.split("/")[0] for w in model.trainable_weights}
    assert trained == {
        layer.name
        for layer in model.layers
        if isinstance(layer, keras.layers.Conv2D)
        and layer.name.startswith(("res3", "res4", "res5"))
    }


@pytest.mark.parametrize(
    ("frozen_stages", "first", "count"),
    [
        (0, "stem_conv", 40),
        (1, "res2_0_conv1", 38),
        (4, "res5_0_conv1", 10),
        (5, None, 0),
    ],
)
def test_training_starts_after_the_frozen_stages(
    shapes_only, frozen_stages, first, count
):
    model = _build(frozen_stages=frozen_stages)
    trained = {w.path.split("/")[0] for w in model.trainable_weights}
    assert len(trained) == count
    assert first is None or first in trained


def _first_stages(model):
    """Cut off what follows C2, which is slow to compile."""
    return keras.Model(model.input, model.output["C2"])


def test_batch_norm_learns_statistics_except_in_frozen_stages():
    stages = _first_stages(_build(frozen_stages=1))
    stages(IMAGE, training=True)
    for name, changed in (("stem_norm", False), ("res2_1_norm2", True)):
        norm = stages.get_layer(name)
        assert _array(norm.moving_mean).any() == changed
        assert (norm.momentum, norm.epsilon) == (0.9, 1.001e-5)


@pytest.mark.parametrize("frozen_stages", [0, 1, 2])
def test_gradients_stop_at_the_frozen_stages(frozen_stages):
    stages = _first_stages(_build(frozen_stages=frozen_stages))
    assert _pixel_gradient(stages).any() == (frozen_stages == 0)


def _pixel_gradient(model):
    """Return the gradient of the sum of the output by the pixels."""
    if keras.backend.backend() == "jax":
        import jax

        def loss(pixels):
            weights = [v.value for v in model.trainable_variables]
            others = [v.value for v in model.non_trainable_variables]
            return ops.sum(model.stateless_call(weights, others, pixels)[0])

        return np.asarray(jax.jit(jax.grad(loss))(IMAGE))
    tf = pytest.importorskip("tensorflow")
    pixels = tf.constant(IMAGE)
    with tf.GradientTape() as tape:
        tape.watch(pixels)
        loss = ops.sum(model(pixels))
    gradient = tape.gradient(loss, pixels)
    return np.zeros(1) if gradient is None else gradient.numpy()


def test_grouped_convolutions_train():
    with keras.StatelessScope(initialize_variables=False):
        resnext = _build(name="resnext101_32x8d")
        config = resnext.get_layer("res2_0_conv2").get_config()
    keras.utils.clear_session()
    convolution = keras.layers.Conv2D.from_config(config)
    model = keras.Sequential([keras.Input((4, 4, 256)), convolution])
    before = _array(convolution.kernel)
    model.compile("sgd", "mse")
    random = np.random.default_rng(0)
    x, y = random.normal(size=(2, 1, 4, 4, 256)).astype("float32")

    model.train_on_batch(x, y)

    assert before.shape == (3, 3, 8, 256)  # 32 groups of 8 channels
    change = _array(convolution.kernel) - before
    assert np.isfinite(change).all() and (change != 0).all()


def test_sync_norm_is_keras_own(shapes_only):
    if keras.backend.backend() != "tensorflow":
        with pytest.raises(ValueError, match="needs the TensorFlow backend"):
            _build(norm="sync")
        return
    assert _build(norm="sync").get_layer("stem_norm").synchronized


def test_dtype_policy_reaches_every_layer(shapes_only):
    config = BackboneConfig(name="resnet18")
    model = backbones.build_backbone(config, dtype="mixed_bfloat16")
    assert {f.dtype for f in model.output.values()} == {"bfloat16"}
    assert {w.dtype for w in model.weights} == {"float32"}
    layers = [
        x for x in model.layers if not isinstance(x, keras.layers.InputLayer)
    ]
    computed = {x.compute_dtype for x in layers if hasattr(x, "compute_dtype")}
    assert computed == {"bfloat16"}


def test_a_saved_backbone_is_the_same(tmp_path):
    model = _build(norm="frozen", frozen_stages=2)
    path = tmp_path / "backbone.keras"
    model.save(path)
    loaded = keras.models.load_model(path)
    assert len(loaded.trainable_weights) == len(model.trainable_weights)
    for weight, other in zip(loaded.weights, model.weights, strict=True):
        np.testing.assert_array_equal(_array(weight), _array(other))
    np.testing.assert_array_equal(
        _array(_first_stages(loaded)(IMAGE)),
        _array(_first_stages(model)(IMAGE)),
    )


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
