"""The learning rate over time."""

import pytest

from keras_fair.training.schedules import WarmupSteps


@pytest.fixture
def schedule():
    return WarmupSteps(0.01, drop_steps=(60_000, 80_000), warmup_steps=500)


@pytest.mark.parametrize(
    ("step", "rate"),
    [
        (0, 0.01 / 3),
        (250, 0.01 * 2 / 3),
        (500, 0.01),
        (59_999, 0.01),
        (60_000, 0.001),
        (80_000, 0.0001),
    ],
)
def test_the_rate_warms_up_and_drops(schedule, step, rate):
    assert float(schedule(step)) == pytest.approx(rate, rel=1e-5)


def test_no_warmup_starts_at_the_full_rate():
    assert float(WarmupSteps(0.5)(0)) == 0.5


def test_its_config_survives_a_round_trip(schedule):
    twin = WarmupSteps.from_config(schedule.get_config())
    assert float(twin(70_000)) == pytest.approx(0.001)
