"""The optimisers: bad gradients, small gradients, several devices."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import optimizers
from keras_fair.models import RetinaNet
from tests.models import tiny


class FaintRetinaNet(RetinaNet):
    """A RetinaNet whose gradients are too small for float16."""

    def compute_losses(self, x, y, outputs, training):
        losses = super().compute_losses(x, y, outputs, training)
        return {name: 1e-7 * value for name, value in losses.items()}


def applied(optimizer, *gradients: float) -> list[float]:
    """Return a weight's values as it takes gradients; it starts at 0."""
    weight = keras.Variable(0.0)
    optimizer.build([weight])
    values = []
    for gradient in gradients:
        optimizer.apply([ops.convert_to_tensor(gradient, "float32")])
        values.append(float(weight.numpy()))
    return values


def moved(dtype: str, optimizer) -> float:
    """Return how far a step takes the weights of a FaintRetinaNet."""
    keras.utils.set_random_seed(0)
    config = tiny.config(weight_decay=0.0)
    model = FaintRetinaNet(config, tiny.backbone(dtype), dtype=dtype)
    model.compile(optimizer, auto_scale_loss=False)
    before = model.get_weights()
    x, y = tiny.batch()
    model.train_on_batch(x, y)
    pairs = zip(model.get_weights(), before)
    return float(sum(np.abs(new - old).sum() for new, old in pairs))


def test_a_scaled_loss_keeps_gradients_that_float16_loses():
    rate = 1e4  # the steps shall be large enough for float32 weights
    expected = moved("float32", optimizers.FiniteSGD(rate))
    kept = moved("mixed_float16", optimizers.LossScaledSGD(rate))
    lost = moved("mixed_float16", optimizers.FiniteSGD(rate))
    # Activations have 11 bits.
    assert kept == pytest.approx(expected, rel=0.05)
    assert lost < 0.2 * expected


def test_the_scale_halves_when_gradients_overflow_and_grows_later():
    optimizer = optimizers.LossScaledSGD(1.0)
    optimizer.GROWTH_STEPS = 2
    start = optimizer.START
    values = applied(optimizer, np.inf)
    assert values == [0.0]
    assert float(optimizer.loss_scale.numpy()) == start / 2
    assert int(optimizer.iterations.numpy()) == 1  # it counts as a step
    for _ in range(2):
        optimizer.apply([ops.convert_to_tensor(start / 2)])
    assert float(optimizer.loss_scale.numpy()) == start


def test_the_scale_divides_the_gradient():
    optimizer = optimizers.LossScaledSGD(1.0)
    assert applied(optimizer, optimizer.START) == [-1.0]
    assert float(optimizer.scale_loss(ops.ones([]))) == optimizer.START


@pytest.mark.parametrize(
    ("dtype", "expected"),
    [
        ("float32", optimizers.FiniteSGD),
        ("mixed_bfloat16", optimizers.FiniteSGD),
        ("mixed_float16", optimizers.LossScaledSGD),
    ],
)
def test_a_model_scales_its_loss_where_it_computes_in_float16(dtype, expected):
    model = tiny.retinanet(dtype=dtype)
    model.compile()
    assert type(model.optimizer) is expected


def test_a_gradient_that_is_not_finite_moves_by_momentum_only():
    optimizer = optimizers.FiniteSGD(1.0, momentum=0.5)
    assert applied(optimizer, 1.0, np.nan) == [-1.0, -1.5]
