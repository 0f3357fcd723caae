import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.frozen_batch_norm import FrozenBatchNorm
from tests import shared

INPUTS = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype("float32")


def _with_weights(layer):
    """Give the layer statistics and an affine map other than the identity."""
    random = np.random.default_rng(1)
    layer.build((None, None, None, 5))
    layer.set_weights([random.uniform(0.5, 1.5, 5) for _ in range(4)])
    return layer


@pytest.mark.parametrize(
    ("epsilon", "key"), [(0.0, "out_eps0"), (1e-5, "out_eps1e5")]
)
def test_equals_torchvision(epsilon, key):
    golden = shared.fixture("ops_frozen_bn.npz")
    layer = FrozenBatchNorm(epsilon)
    inputs = golden["in_x"].transpose(0, 2, 3, 1)
    layer.build(inputs.shape)
    names = ("weight", "bias", "running_mean", "running_var")
    layer.set_weights([golden[name] for name in names])
    outputs = ops.convert_to_numpy(layer(inputs))
    expected = golden[key].transpose(0, 2, 3, 1)
    # Channel 0 has variance 1e-6: outputs of a thousand are differences of
    # such, so the last place of the largest counts, times three roundings.
    scale = np.abs(expected).max(axis=(0, 1, 2))
    error = np.abs(outputs - expected).max(axis=(0, 1, 2))
    assert (error <= 4 * np.finfo("float32").eps * scale).all()


def test_training_changes_nothing():
    layer = _with_weights(FrozenBatchNorm(1e-5))
    before = layer.get_weights()
    inference = ops.convert_to_numpy(layer(INPUTS))
    training = ops.convert_to_numpy(layer(INPUTS, training=True))
    np.testing.assert_array_equal(inference, training)
    for old, new in zip(before, layer.get_weights()):
        np.testing.assert_array_equal(old, new)


def test_equals_batch_normalization_at_inference():
    layer = _with_weights(FrozenBatchNorm(1e-5))
    other = keras.layers.BatchNormalization(epsilon=1e-5)
    other.build((None, None, None, 5))
    other.set_weights(layer.get_weights())
    np.testing.assert_array_equal(
        ops.convert_to_numpy(layer(INPUTS)),
        ops.convert_to_numpy(other(INPUTS, training=False)),
    )


def test_nothing_is_trainable_even_when_asked_for():
    layer = _with_weights(FrozenBatchNorm(1e-5))
    layer.trainable = True
    assert layer.trainable_weights == []
    assert len(layer.non_trainable_weights) == 4


def test_half_precision_is_computed_in_float32():
    layer = _with_weights(FrozenBatchNorm(1e-5, dtype="mixed_bfloat16"))
    inputs = ops.cast(INPUTS, "bfloat16")
    reference = _with_weights(FrozenBatchNorm(1e-5))
    expected = ops.cast(reference(ops.cast(inputs, "float32")), "bfloat16")
    outputs = layer(inputs)
    assert keras.backend.standardize_dtype(outputs.dtype) == "bfloat16"
    np.testing.assert_array_equal(
        ops.convert_to_numpy(ops.cast(outputs, "float32")),
        ops.convert_to_numpy(ops.cast(expected, "float32")),
    )


def test_weights_stay_float32_under_a_pure_half_policy():
    layer = _with_weights(FrozenBatchNorm(1e-5, dtype="bfloat16"))
    assert {weight.dtype for weight in layer.weights} == {"float32"}


def test_config_rebuilds_the_layer():
    config = FrozenBatchNorm(0.25, name="norm").get_config()
    assert FrozenBatchNorm.from_config(config).get_config() == config


def test_a_negative_epsilon_is_refused():
    with pytest.raises(ValueError, match="Expected epsilon >= 0"):
        FrozenBatchNorm(-1e-5)
