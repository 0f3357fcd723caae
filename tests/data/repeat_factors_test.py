import math

import numpy as np
import pytest

from keras_fair.data import repeat_factors

# Class 0 is in all eight images, 1 in two of them, 2 in one, 3 in none; 4 is
# there three times in one image, which counts once.
LABELS = [[0], [0], [0], [0, 1], [0, 1, 2], [0, 0], [4, 0, 4, 4], [0]]


def test_factors_are_the_formula_s():
    factors = repeat_factors.image_factors(LABELS, 0.5)
    quarter, eighth = math.sqrt(0.5 / (2 / 8)), math.sqrt(0.5 / (1 / 8))
    np.testing.assert_allclose(
        factors, [1, 1, 1, quarter, eighth, 1, eighth, 1], rtol=1e-12
    )
    assert eighth == 2


def test_a_class_at_the_threshold_is_frequent():
    factors = repeat_factors.image_factors(LABELS, 1 / 8)
    np.testing.assert_array_equal(factors, np.ones(8))


def test_images_without_objects_count_and_stay():
    empty = np.zeros(0, np.int32)
    factors = repeat_factors.image_factors([np.array([0]), empty], 1.0)
    np.testing.assert_allclose(factors, [math.sqrt(1 / 0.5), 1], rtol=1e-12)
    only_empty = repeat_factors.image_factors([empty, empty], 1.0)
    np.testing.assert_array_equal(only_empty, [1, 1])


def test_no_threshold_is_off():
    factors = repeat_factors.image_factors(LABELS, 0.0)
    np.testing.assert_array_equal(factors, np.ones(8))


@pytest.mark.parametrize("threshold", [-0.1, 1.5, float("nan")])
def test_another_threshold_is_refused(threshold):
    with pytest.raises(ValueError, match="repeat_threshold from 0"):
        repeat_factors.image_factors(LABELS, threshold)


def test_whole_factors_are_exact_and_fractions_are_rounded_at_random():
    factors = np.array([1.0, 2.0, 1.25, 3.75])
    counts = np.stack(
        [
            np.bincount(
                repeat_factors.draw(factors, np.random.default_rng(seed)),
                minlength=4,
            )
            for seed in range(2000)
        ]
    )
    np.testing.assert_array_equal(counts[:, :2], [[1, 2]] * 2000)
    assert set(counts[:, 2]) == {1, 2} and set(counts[:, 3]) == {3, 4}
    # 4 standard errors of 2000 draws of a coin of 1/4.
    tolerance = 4 * math.sqrt(3 / 16 / 2000)
    np.testing.assert_allclose(counts.mean(0), factors, atol=tolerance)
