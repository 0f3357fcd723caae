"""RoIPool and RoIWarp equal torchvision and slow truths."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.ops import roi_pool
from tests import shared
from tests.ops import roi_reference

BOXES = np.array(
    [[[2.0, 3, 31, 22], [-9, -9, 12, 60], [90, 90, 99, 99], [0, 0, 0, 0]]],
    "float32",
)


def feature():
    random = np.random.default_rng(0)
    return random.standard_normal((1, 9, 11, 3)).astype("float32")


def gradient_of(function, features, upstream):
    """Return the gradient of the function, compiled by XLA."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(
            lambda f, u: jax.vjp(function, f)[1](u)[0],
        )(features, upstream)
    import tensorflow as tf

    @tf.function(jit_compile=True, autograph=False)
    def gradient(features, upstream):
        with tf.GradientTape() as tape:
            tape.watch(features)
            pooled = function(features)
        return tape.gradient(pooled, features, upstream)

    return gradient(features, upstream)


def test_roi_pool_is_the_definition():
    pooled = roi_pool.roi_pool({"P2": feature()}, BOXES, 3)

    expected = roi_reference.roi_pool(feature(), BOXES, 3, 4)
    np.testing.assert_array_equal(pooled, expected)


def test_roi_pool_and_its_gradient_are_torchvisions():
    golden = shared.fixture("ops_roi_align.npz")
    features = ops.convert_to_tensor(golden["in_feat"].transpose(0, 2, 3, 1))
    image, boxes = golden["in_rois"][:14, 0], golden["in_rois"][:14, 1:]
    # All boxes are pooled from both images; each row keeps its own.
    boxes = np.stack([boxes, boxes])
    own = (image.astype(int), np.arange(14))
    upstream = np.zeros((2, 14, 7, 7, 8), "float32")
    upstream[own] = golden["in_grad_out_7"][:14].transpose(0, 2, 3, 1)

    def pool(features):
        return roi_pool.roi_pool({"P2": features}, boxes, 7)

    pooled = ops.convert_to_numpy(pool(features))
    gradient = gradient_of(pool, features, ops.convert_to_tensor(upstream))

    expected = golden["out_roi_pool_first14"].transpose(0, 2, 3, 1)
    np.testing.assert_array_equal(pooled[own], expected)
    expected = golden["grad_roi_pool_first14"].transpose(0, 2, 3, 1)
    # The sum of a cell's upstreams in another order.
    np.testing.assert_allclose(gradient, expected, atol=1e-5)


def test_roi_warp_is_roi_align_of_the_rounded_box():
    pooled = roi_pool.roi_warp({"P2": feature()}, BOXES[:, :1], 3)

    # (2, 3, 31, 22) / 4 rounds to cells 1..8 and 1..6, ends included.
    rounded = np.array([[[4.0, 4, 36, 28]]], "float32")
    expected = roi_reference.roi_align({"P2": feature()}, rounded, 3)
    # float32 against float64.
    np.testing.assert_allclose(pooled, expected, atol=1e-5)


@pytest.mark.parametrize("pool", [roi_pool.roi_pool, roi_pool.roi_warp])
def test_no_rois_give_no_features(pool):
    pooled = pool({"P2": feature()}, BOXES[:, :0], 3)

    assert pooled.shape == (1, 0, 3, 3, 3)
