import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.feature_pyramid import FeaturePyramid
from tests import shared

# Sizes of an image of 100 x 167 pixels: odd on most levels.
SIZES = {2: (25, 42), 3: (13, 21), 4: (7, 11), 5: (4, 6)}
GOLDEN = {
    "pool": {"min_level": 2, "max_level": 6, "coarse": "pool"},
    "p6p7": {"coarse_input": "p5"},
    "p6p7_c5": {"coarse_input": "c5"},
}


def _features(levels=(3, 4, 5), channels=3, sizes=SIZES):
    random = np.random.default_rng(0)
    return {
        f"C{level}": random.normal(
            size=(2, *sizes[level], channels + level)
        ).astype("float32")
        for level in levels
    }


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def _golden(name: str):
    """Return torchvision's inputs, our layer with its weights, its outputs."""
    golden = shared.fixture("ops_fpn.npz")
    layer = FeaturePyramid(8, **GOLDEN[name])
    inputs = {
        f"C{level}": golden[f"in_c{level}"].transpose(0, 2, 3, 1)
        for level in layer.levels
    }
    layer.build({key: value.shape for key, value in inputs.items()})
    groups = {
        "inner_blocks.{}.0": layer.lateral_convolutions,
        "layer_blocks.{}.0": layer.output_convolutions,
    }
    for pattern, convolutions in groups.items():
        for index, convolution in enumerate(convolutions):
            _load(golden, f"w_{name}.{pattern.format(index)}", convolution)
    for level, convolution in zip((6, 7), layer.coarse_convolutions):
        _load(golden, f"w_{name}.extra_blocks.p{level}", convolution)
    outputs = [
        golden[key]
        for key in golden.files
        if key.rpartition("_")[0] == f"out_{name}"
    ]
    return inputs, layer, [out.transpose(0, 2, 3, 1) for out in outputs]


def _load(golden, key: str, convolution):
    kernel = golden[f"{key}.weight"].transpose(2, 3, 1, 0)
    convolution.set_weights([kernel, golden[f"{key}.bias"]])


def _assert_equals_golden(outputs, expected):
    assert len(outputs) == len(expected)
    for output, golden in zip(outputs.values(), expected):
        # Three chained sums of up to 162 products in another order: a few
        # units in the last place of the largest terms.
        scale = np.abs(golden).max()
        np.testing.assert_allclose(
            _array(output), golden, rtol=0, atol=4e-6 * scale
        )


@pytest.mark.parametrize("name", GOLDEN)
def test_equals_torchvision_on_odd_sizes(name):
    inputs, layer, expected = _golden(name)
    _assert_equals_golden(layer(inputs), expected)


def test_equals_torchvision_where_sizes_are_unknown():
    inputs, layer, expected = _golden("pool")
    tensors = {
        key: keras.Input((None, None, value.shape[-1]), name=key)
        for key, value in inputs.items()
    }
    model = keras.Model(tensors, layer(tensors))
    _assert_equals_golden(model(inputs), expected)


def test_serves_in_a_functional_model_that_is_saved(tmp_path):
    inputs = {
        f"C{level}": keras.Input((None, None, 3 + level), name=f"C{level}")
        for level in (3, 4, 5)
    }
    outputs = FeaturePyramid(4)(inputs)
    model = keras.Model(inputs, outputs)
    path = tmp_path / "pyramid.keras"
    model.save(path)

    loaded = keras.models.load_model(path)

    assert [outputs[f"P{level}"].shape for level in (3, 7)] == [
        (None, None, None, 4)
    ] * 2
    features = _features()
    expected = model(features)
    for key, output in loaded(features).items():
        np.testing.assert_array_equal(_array(output), _array(expected[key]))


@pytest.mark.parametrize("coarse", ["conv", "pool"])
def test_output_shape_is_the_shape_of_the_output(coarse):
    layer = FeaturePyramid(4, min_level=2, max_level=7, coarse=coarse)
    features = _features((2, 3, 4, 5))

    shapes = layer.compute_output_shape(
        {key: value.shape for key, value in features.items()}
    )
    outputs = layer(features)

    assert shapes == {key: tuple(out.shape) for key, out in outputs.items()}
    assert shapes["P7"] == (2, 1, 2, 4)


def test_output_shape_of_unknown_sizes_is_unknown():
    layer = FeaturePyramid(4)
    shapes = layer.compute_output_shape(
        {f"C{level}": (None, None, None, 8) for level in (3, 4, 5)}
    )
    assert shapes == {f"P{level}": (None,) * 3 + (4,) for level in range(3, 8)}


def test_weights_have_the_names_of_their_levels():
    layer = FeaturePyramid(4, name="pyramid")
    layer(_features())
    paths = [weight.path for weight in layer.weights]
    assert paths[0] == "pyramid/lateral_3/kernel"
    assert "pyramid/output_5/bias" in paths
    assert paths[-1] == "pyramid/coarse_7/bias"
    assert len(paths) == 2 * (3 + 3 + 2)


def test_kernels_start_uniform_by_fan_in_and_biases_zero():
    layer = FeaturePyramid(64, max_level=5)
    layer.build({f"C{i}": (None, None, None, 64) for i in (3, 4, 5)})
    kernel, bias = layer.output_convolutions[0].get_weights()
    limit = np.sqrt(3 / (9 * 64))  # Caffe2's XavierFill
    assert limit * 0.99 < np.abs(kernel).max() <= limit
    assert not bias.any()


@pytest.mark.parametrize("static", [True, False])
def test_levels_that_were_rounded_down_are_filled_at_the_edge(static):
    sizes = {4: (7, 2), 5: (3, 1)}  # as DenseNet's average pooling leaves
    layer = FeaturePyramid(1, min_level=4, max_level=5)
    features = _features((4, 5), sizes=sizes)
    shapes = {key: value.shape for key, value in features.items()}
    if not static:
        shapes = {k: (None, None, None, s[-1]) for k, s in shapes.items()}
    tensors = {
        key: keras.Input(shape[1:], batch_size=shape[0], name=key)
        for key, shape in shapes.items()
    }
    model = keras.Model(tensors, layer(tensors))
    lateral, output = layer.lateral_convolutions[0], layer.output_convolutions
    lateral.set_weights([np.zeros((1, 1, 7, 1)), np.zeros(1)])
    top, out = layer.lateral_convolutions[1], output[0]
    top.set_weights([np.ones((1, 1, 8, 1)), np.zeros(1)])
    centre = np.zeros((3, 3, 1, 1))
    centre[1, 1] = 1.0
    out.set_weights([centre, np.zeros(1)])

    outputs = _array(model(features)["P4"])[..., 0]

    rows = np.array([0, 0, 1, 1, 2, 2, 2])
    expected = features["C5"].sum(-1)[:, rows][:, :, [0, 0]]
    # A sum of eight numbers near one, in another order.
    np.testing.assert_allclose(outputs, expected, rtol=1e-5, atol=1e-6)


@keras.saving.register_keras_serializable(package="keras_fair_test")
def _keep_lateral(lateral, top_down):
    return lateral + 0.0 * top_down


def test_merge_may_be_a_function():
    features = _features()
    layer = FeaturePyramid(4, merge=_keep_lateral)
    with_function = layer(features)
    features["C4"] = features["C4"] + 1.0
    assert FeaturePyramid.from_config(layer.get_config()).merge is _keep_lateral
    np.testing.assert_array_equal(
        _array(with_function["P3"]), _array(layer(features)["P3"])
    )


def test_merge_may_be_a_layer_with_weights(tmp_path):
    @keras.saving.register_keras_serializable(package="keras_fair_test")
    class Gate(keras.layers.Layer):
        def build(self, input_shape):
            self.gate = self.add_weight(shape=(), initializer="zeros")

        def call(self, inputs):
            lateral, top_down = inputs
            return lateral + self.gate * top_down

    features = _features()
    inputs = {
        key: keras.Input((None, None, value.shape[-1]), name=key)
        for key, value in features.items()
    }
    layer = FeaturePyramid(4, merge=Gate())
    model = keras.Model(inputs, layer(inputs))
    layer.merge.gate.assign(0.5)
    model.save(tmp_path / "gated.keras")

    loaded = keras.models.load_model(tmp_path / "gated.keras")

    assert len(layer.trainable_weights) == 2 * 8 + 1
    np.testing.assert_array_equal(
        _array(loaded(features)["P3"]), _array(model(features)["P3"])
    )


def test_merge_may_be_one_of_keras_merging_layers():
    layer = FeaturePyramid(4, merge=keras.layers.Maximum())
    assert layer(_features())["P3"].shape == (2, 13, 21, 4)


def test_features_finer_than_the_pyramid_are_ignored():
    features = _features((2, 3, 4, 5))
    layer = FeaturePyramid(4)
    outputs = layer(features)
    assert list(outputs) == ["P3", "P4", "P5", "P6", "P7"]


def test_batch_norm_replaces_the_bias_of_laterals_and_outputs():
    layer = FeaturePyramid(4, norm="batch", max_level=6, name="pyramid")
    layer(_features(), training=True)
    biased = [w.path for w in layer.weights if w.path.endswith("bias")]
    assert biased == ["pyramid/coarse_6/bias"]
    norm = layer.output_norms[0]
    assert norm.name == "output_norm_3"
    assert (norm.momentum, norm.epsilon) == (0.9, 1e-5)
    assert _array(norm.moving_mean).any()


def test_sublayers_follow_the_dtype_policy():
    layer = FeaturePyramid(4, norm="batch", dtype="mixed_bfloat16")
    outputs = layer(_features())
    dtypes = {
        keras.backend.standardize_dtype(x.dtype) for x in outputs.values()
    }
    assert dtypes == {"bfloat16"}
    assert {w.dtype for w in layer.weights} == {"float32"}


def test_config_rebuilds_the_layer():
    layer = FeaturePyramid(
        4,
        min_level=2,
        max_level=6,
        coarse="pool",
        coarse_input="p5",
        norm="batch",
        name="pyramid",
    )
    config = layer.get_config()
    assert FeaturePyramid.from_config(config).get_config() == config


def test_gradient_of_the_compiled_layer_equals_the_eager_one():
    layer = FeaturePyramid(4, min_level=4, max_level=7)
    features = _features((4, 5))
    layer(features)
    eager, compiled = _gradients(layer, features)
    for one, other in zip(eager, compiled):
        # Sums of up to 2 * 7 * 11 * 36 products in another order.
        scale = np.abs(one).max()
        np.testing.assert_allclose(one, other, rtol=0, atol=2e-5 * scale)
        assert scale > 0


def _gradients(layer, features):
    """Return the gradients of a loss on all levels, eager and under XLA."""
    if keras.backend.backend() == "jax":
        import jax

        def loss(weights, features):
            outputs, _ = layer.stateless_call(weights, [], features)
            return sum(ops.sum(ops.square(out)) for out in outputs.values())

        weights = [v.value for v in layer.trainable_variables]
        eager = jax.grad(loss)(weights, features)
        return eager, jax.jit(jax.grad(loss))(weights, features)
    tf = pytest.importorskip("tensorflow")
    weights = [v.value for v in layer.trainable_variables]

    def gradients(features):
        with tf.GradientTape() as tape:
            outputs = layer(features)
            loss = sum(ops.sum(ops.square(out)) for out in outputs.values())
        return tape.gradient(loss, weights)

    compiled = tf.function(gradients, jit_compile=True)
    features = {key: tf.constant(value) for key, value in features.items()}
    eager = [_array(gradient) for gradient in gradients(features)]
    return eager, [_array(gradient) for gradient in compiled(features)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"min_level": 6}, "Expected 1 <= min_level"),
        ({"max_level": 2}, "Expected 1 <= min_level"),
        ({"coarse": "max"}, "Expected coarse as one of"),
        ({"coarse_input": "c4"}, "Expected coarse_input as one of"),
        ({"norm": "layer"}, "Expected norm as one of"),
        ({"merge": "sum"}, "Expected merge as"),
    ],
)
def test_unknown_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        FeaturePyramid(4, **arguments)


def test_missing_features_are_named():
    with pytest.raises(ValueError, match="C3 missing. Received: C4, C5"):
        FeaturePyramid(4)(_features((4, 5)))


def test_levels_of_unrelated_sizes_are_refused():
    features = _features(sizes={3: (13, 21), 4: (7, 11), 5: (7, 11)})
    with pytest.raises(ValueError, match="Expected C5 half as large as C4"):
        FeaturePyramid(4)(features)
