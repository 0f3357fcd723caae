import keras
import numpy as np
import pytest

from keras_fair.layers.keypoint_head import KeypointHead
from tests import modes

SHAPE = (2, 3, 2, 2, 8)  # B, R, S, S, channels


def _rois(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _head(**changes):
    return KeypointHead(2, **{"depth": 1, "filters": 8, **changes})


def test_returns_maps_four_times_as_large():
    maps = _head()(_rois())
    assert tuple(maps.shape) == (2, 3, 8, 8, 2)


def test_kernel_reaches_one_cell_beyond_each_side():
    head = _head(depth=0)
    head.build((None, None, 1, 1, 8))
    kernel = np.zeros((4, 4, 2, 8), "float32")  # rows, columns, out, in
    kernel[:, :, 1, 0] = np.arange(16).reshape(4, 4)
    head.keypoint_logits.set_weights([kernel, np.zeros(2)])
    rois = np.zeros((1, 1, 1, 1, 8), "float32")
    rois[..., 0] = 1.0
    maps = np.asarray(head(rois))[0, 0]
    # What is left of the kernel without its border, and then upsampled by two
    # along each axis: [a, 3/4 a + 1/4 b, 1/4 a + 3/4 b, b].
    weights = np.array([[1, 0], [0.75, 0.25], [0.25, 0.75], [0, 1]])
    middle = kernel[1:3, 1:3, 1, 0]
    # Quarters of small integers are exact.
    np.testing.assert_array_equal(maps[..., 1], weights @ middle @ weights.T)
    assert not maps[..., 0].any()


def test_parameters_are_those_of_the_paper():
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = KeypointHead()
        head.build((None, None, 14, 14, 256))
    keras.utils.clear_session()
    first, others = (9 * 256 + 1) * 512, 7 * (9 * 512 + 1) * 512
    last = 16 * 512 * 17 + 17
    assert head.count_params() == first + others + last
    assert head.compute_output_shape((2, 3, 14, 14, 256)) == (2, 3, 56, 56, 17)


def test_weights_are_named():
    head = _head(name="head")
    head.build(SHAPE)
    assert [weight.path for weight in head.weights] == [
        f"head/{layer}/{kind}"
        for layer in ("convolution_0", "keypoint_logits")
        for kind in ("kernel", "bias")
    ]


@modes.every_mode
def test_gradients_flow_to_every_roi(mode):
    head = _head()
    head.build(SHAPE)
    gradient = modes.gradient(lambda rois: head(rois) ** 2, _rois(), mode)
    assert np.isfinite(gradient).all() and gradient.any(axis=(2, 3, 4)).all()


def test_gradient_is_that_of_a_linear_map():
    head = _head(depth=0)
    head.build(SHAPE)
    gradient = modes.gradient(head, _rois())
    # Without ReLU, the sum of the maps is the gradient times the features.
    total = np.sum(np.asarray(head(_rois())), dtype="float64")
    # 1,536 terms below one, added in another order.
    np.testing.assert_allclose(np.sum(gradient * _rois()), total, atol=1e-3)


def test_counts_may_be_unknown_in_a_functional_model(tmp_path):
    rois = keras.Input((None, *SHAPE[2:]))
    maps = _head()(rois)
    model = keras.Model(rois, maps)
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    assert maps.shape == (None, None, 8, 8, 2)
    np.testing.assert_array_equal(loaded(_rois()), model(_rois()))


@modes.every_mode
def test_images_may_have_no_rois(mode):
    head = _head(filters=6)
    head.build(SHAPE)
    rois = _rois((2, 0, *SHAPE[2:]))
    assert modes.run(head, rois, mode=mode).shape == (2, 0, 8, 8, 2)
    assert modes.gradient(head, rois, mode).shape == rois.shape


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_maps_are_float32_under_mixed_precision(policy):
    head = _head(dtype=policy)
    maps = head(_rois())
    assert keras.backend.standardize_dtype(maps.dtype) == "float32"
    assert head.keypoint_logits.compute_dtype == policy.removeprefix("mixed_")


def test_output_shape_is_the_shape_of_the_output():
    head = _head()
    assert head.compute_output_shape(SHAPE) == tuple(head(_rois()).shape)


def test_config_rebuilds_the_layer():
    config = _head(name="keypoints").get_config()
    assert KeypointHead.from_config(config).get_config() == config


def test_impossible_arguments_are_refused():
    with pytest.raises(ValueError, match="at least one keypoint"):
        KeypointHead(0)
    with pytest.raises(ValueError, match="fewer than 0 convolutions"):
        KeypointHead(depth=-1)


def test_features_without_a_roi_axis_are_refused():
    with pytest.raises(ValueError, match="RoI features"):
        _head()(_rois()[0])
