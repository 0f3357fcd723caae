import keras
import numpy as np
import pytest

from keras_fair.layers.weight_transfer import WeightTransfer
from tests import modes


def rows(shape=(5, 12)):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def transfer(depth=2, **changes) -> WeightTransfer:
    """Return a built layer, its biases not zero."""
    keras.utils.set_random_seed(0)
    layer = WeightTransfer(4, 6, depth=depth, **changes)
    layer.build((None, 12))
    for dense in layer.dense_layers:
        dense.bias.assign(np.linspace(-1, 1, dense.units))
    return layer


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("slope", [0.1, 0.0])
def test_is_the_papers_function(depth, slope):
    layer = transfer(depth, slope=slope)
    expected = rows().astype("float64")
    for index, dense in enumerate(layer.dense_layers):
        if index:
            expected = np.where(expected > 0, expected, slope * expected)
        expected = expected @ np.asarray(dense.kernel) + np.asarray(dense.bias)
    assert expected.shape == (5, 4)
    # Sums of twelve products of a size of 1, in float32.
    np.testing.assert_allclose(layer(rows()), expected, atol=1e-5)


@modes.every_mode
def test_leading_axes_are_free(mode):
    layer = transfer()
    found = modes.run(layer, rows((2, 3, 12)), mode=mode)
    expected = np.asarray(layer(rows((2, 3, 12)).reshape(6, 12)))
    # The same products, summed in another order.
    np.testing.assert_allclose(
        found, expected.reshape(2, 3, 4), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize(
    ("depth", "weights"), [(1, 1_310_976), (2, 1_376_768), (3, 1_442_560)]
)
def test_has_the_papers_number_of_weights(depth, weights):
    layer = WeightTransfer(256, 256, depth=depth)
    layer.build((None, 5 * 1024))  # "class+box" of a 2-fc box head
    assert layer.count_params() == weights


def test_starts_as_msra_fill_without_bias():
    keras.utils.set_random_seed(0)
    layer = WeightTransfer(256, 256)
    layer.build((None, 1024))
    for dense in layer.dense_layers:
        deviation = np.asarray(dense.kernel).std()
        # 65,536 draws know it to 0.3 %, four times.
        assert deviation == pytest.approx((2 / 256) ** 0.5, rel=0.012)
        assert not np.asarray(dense.bias).any()


def test_computes_in_bfloat16_and_returns_float32():
    layer = transfer(dtype="mixed_bfloat16")
    found = layer(rows())
    assert keras.backend.standardize_dtype(found.dtype) == "float32"
    # Eight bits of mantissa, sums of twelve products.
    np.testing.assert_allclose(found, transfer()(rows()), atol=0.2)


def test_works_symbolically_and_from_its_config():
    layer = transfer(3, slope=0.0)
    copy = WeightTransfer.from_config(layer.get_config())
    output = copy(keras.Input((7, 12)))
    assert output.shape == (None, 7, 4)
    assert (copy.depth, copy.slope) == (3, 0.0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"depth": 0}, "depth=0"), ({"slope": 1.5}, "below 1. Received: 1.5")],
)
def test_nonsense_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        WeightTransfer(4, 6, **changes)
