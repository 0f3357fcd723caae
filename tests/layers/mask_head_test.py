import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.mask_head import MaskHead, MaskMLPHead
from tests import modes

SHAPE = (2, 3, 4, 4, 8)  # B, R, S, S, channels
LABELS = np.array([[0, 2, -1], [1, -1, -1]], "int32")


def _rois(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _fcn(num_masks=3, **changes):
    return MaskHead(num_masks, **{"depth": 1, "filters": 8, **changes})


def _mlp(num_masks=3, **changes):
    return MaskMLPHead(num_masks, **{"units": 8, "size": 8, **changes})


both_heads = pytest.mark.parametrize("make", [_fcn, _mlp])


def _with_bias(head):
    """Build the head and give each mask a bias of its own."""
    head.build(SHAPE)
    bias = head.mask_logits.bias
    bias.assign(np.arange(bias.shape[0]) % head.num_masks)
    return head


@both_heads
def test_returns_a_mask_per_class_and_roi(make):
    masks = make()(_rois())
    assert tuple(masks.shape) == (2, 3, 8, 8, 3)


@both_heads
def test_with_labels_returns_the_mask_of_each_rois_class(make):
    head = _with_bias(make())
    every = np.asarray(head(_rois()))
    wanted = np.asarray(head(_rois(), LABELS))
    assert wanted.shape == (2, 3, 8, 8)
    for image, row in np.argwhere(LABELS >= 0):
        # The same sums of 8 products below one, in another order.
        np.testing.assert_allclose(
            wanted[image, row],
            every[image, row, ..., LABELS[image, row]],
            atol=1e-6,
        )
    assert np.isfinite(wanted).all()


@both_heads
def test_agnostic_masks_do_not_depend_on_the_labels(make):
    head = make(num_masks=1)
    every = np.asarray(head(_rois()))
    assert every.shape == (2, 3, 8, 8, 1)
    np.testing.assert_array_equal(head(_rois(), LABELS + 50), every[..., 0])


def test_upsampling_paints_each_cell_two_by_two():
    head = _with_bias(_fcn(depth=0))
    kernel = np.zeros((2, 2, 8, 8), "float32")  # rows, columns, out, in
    kernel[0, 1, 3, 5] = 2.0  # the right upper quarter of channel 3
    head.upsampling.set_weights([kernel, np.zeros(8)])
    kernel = np.zeros((1, 1, 8, 3), "float32")
    kernel[0, 0, 3, 1] = 1.0
    head.mask_logits.set_weights([kernel, np.zeros(3)])
    expected = np.zeros((2, 3, 8, 8, 3), "float32")
    expected[:, :, 0::2, 1::2, 1] = np.maximum(2.0 * _rois()[..., 5], 0.0)
    np.testing.assert_array_equal(head(_rois()), expected)


def test_features_are_what_the_last_layer_sees():
    head = _with_bias(_fcn())
    features = np.asarray(head.features(_rois()))
    assert features.shape == (2, 3, 8, 8, 8)
    assert (features >= 0.0).all()
    kernel = np.asarray(head.mask_logits.kernel)[0, 0]
    # Sums of 8 products below one, in another order.
    np.testing.assert_allclose(
        head(_rois()), features @ kernel + np.arange(3), atol=1e-6
    )


def test_perceptron_is_that_of_the_flattened_features():
    head = _with_bias(_mlp(depth=1))
    (hidden,) = head.hidden
    features = _rois().reshape(2, 3, -1) @ np.asarray(hidden.kernel)
    expected = np.maximum(features, 0.0) @ np.asarray(head.mask_logits.kernel)
    expected = expected.reshape(2, 3, 8, 8, 3) + np.arange(3)
    # The last kernel is a thousandth, the sums of 128 terms a few.
    np.testing.assert_allclose(head(_rois()), expected, atol=1e-6)


@pytest.mark.parametrize(("num_masks", "last"), [(80, 20_560), (1, 257)])
def test_parameters_are_those_of_the_paper(num_masks, last):
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = MaskHead(num_masks)
        head.build((None, None, 14, 14, 256))
    keras.utils.clear_session()
    assert sum(layer.count_params() for layer in head.tower) == 2_360_320
    assert head.upsampling.count_params() == 262_400
    assert head.mask_logits.count_params() == last


def test_parameters_of_the_perceptron_are_those_of_the_paper():
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = MaskMLPHead(80)
        head.build((None, None, 14, 14, 256))
    keras.utils.clear_session()
    hidden = (14 * 14 * 256 + 1) * 1024 + (1024 + 1) * 1024
    assert head.count_params() == hidden + (1024 + 1) * 80 * 28 * 28


def test_weights_are_named():
    head = _fcn(norm="batch", name="head")
    head.build(SHAPE)
    assert [weight.path for weight in head.trainable_weights] == [
        "head/convolution_0/kernel",
        "head/convolution_norm_0/gamma",
        "head/convolution_norm_0/beta",
        "head/upsampling/kernel",
        "head/upsampling/bias",
        "head/mask_logits/kernel",
        "head/mask_logits/bias",
    ]


def test_kernels_start_as_msra_fill_and_the_last_gaussian():
    head = MaskHead(64, depth=1, filters=64)
    head.build((None, None, 4, 4, 64))
    for layer, deviation in (
        (head.tower[0], (2 / (9 * 64)) ** 0.5),
        (head.upsampling, (2 / (4 * 64)) ** 0.5),
        (head.mask_logits, 0.001),
    ):
        # At least 4,096 draws: the deviation is known to 1.1 %, four times.
        ratio = np.asarray(layer.kernel).std() / deviation
        assert abs(ratio - 1.0) < 0.045
        assert not np.asarray(layer.bias).any()


def test_batch_norm_uses_the_batch_only_in_training():
    head = _fcn(norm="batch")
    head.build(SHAPE)
    mean = head.tower[1].moving_mean
    head(_rois(), LABELS, training=False)
    assert not np.asarray(mean).any()
    head(_rois(), LABELS, training=True)
    assert np.asarray(mean).any()


@both_heads
@modes.every_mode
def test_gradients_flow_through_the_wanted_masks_only(make, mode):
    head = make()
    head.build(SHAPE, LABELS.shape)

    def outputs(rois):
        wanted = head(rois, ops.convert_to_tensor(LABELS))
        return wanted * ops.cast(LABELS >= 0, "float32")[..., None, None]

    gradient = modes.gradient(outputs, _rois(), mode)
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient.any(axis=(2, 3, 4)), LABELS >= 0)


@modes.only_tensorflow
def test_gradients_are_dense():
    import tensorflow as tf

    head = _fcn()
    head.build(SHAPE)
    with tf.GradientTape() as tape:
        total = tf.reduce_sum(head(_rois(), LABELS))
    variables = [variable.value for variable in head.trainable_weights]
    for gradient in tape.gradient(total, variables):
        assert isinstance(gradient, tf.Tensor)


@both_heads
@pytest.mark.parametrize("with_labels", [True, False])
def test_a_saved_head_predicts_the_same(make, with_labels, tmp_path):
    inputs = [keras.Input((None, *SHAPE[2:]))]
    arrays = [_rois()]
    if with_labels:
        inputs.append(keras.Input((None,), dtype="int32"))
        arrays.append(LABELS)
    masks = make()(*inputs)
    model = keras.Model(inputs, masks)
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    last = () if with_labels else (3,)
    assert masks.shape == (None, None, 8, 8, *last)
    np.testing.assert_array_equal(loaded(arrays), model(arrays))


@both_heads
@modes.every_mode
def test_images_may_have_no_rois(make, mode):
    head = make()
    head.build(SHAPE)
    rois = _rois((2, 0, *SHAPE[2:]))
    assert modes.run(head, rois, mode=mode).shape == (2, 0, 8, 8, 3)
    wanted = modes.run(head, rois, LABELS[:, :0], mode=mode)
    assert wanted.shape == (2, 0, 8, 8)
    assert modes.gradient(head, rois, mode).shape == rois.shape


@both_heads
@modes.only_tensorflow
def test_a_graph_need_not_know_the_number_of_rois(make):
    import tensorflow as tf

    head = _with_bias(make())
    signature = [
        tf.TensorSpec((None, None, *SHAPE[2:]), tf.float32),
        tf.TensorSpec((None, None), tf.int32),
    ]

    def total_and_gradient(rois, labels):
        with tf.GradientTape() as tape:
            masks = head(rois, labels)
            total = tf.reduce_sum(masks)
        kernel = head.mask_logits.kernel.value
        return masks, tape.gradient(total, kernel)

    graph = tf.function(
        total_and_gradient, input_signature=signature, autograph=False
    )
    # A graph may fuse the bias into the convolution.
    np.testing.assert_allclose(
        graph(_rois(), LABELS)[0], head(_rois(), LABELS), atol=1e-5
    )
    masks, gradient = graph(_rois((2, 0, *SHAPE[2:])), LABELS[:, :0])
    assert tuple(masks.shape) == (2, 0, 8, 8)
    assert not np.asarray(gradient).any()


@both_heads
@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_masks_are_float32_under_mixed_precision(make, policy):
    head = make(dtype=policy)
    for masks in (head(_rois()), head(_rois(), LABELS)):
        assert keras.backend.standardize_dtype(masks.dtype) == "float32"
    assert head.mask_logits.compute_dtype == policy.removeprefix("mixed_")


@both_heads
def test_output_shape_is_the_shape_of_the_output(make):
    head = make()
    shape = head.compute_output_shape(SHAPE)
    assert shape == tuple(head(_rois()).shape)
    shape = head.compute_output_shape(SHAPE, LABELS.shape)
    assert shape == tuple(head(_rois(), LABELS).shape)


@both_heads
def test_config_rebuilds_the_layer(make):
    head = make(depth=3, name="masks")
    config = head.get_config()
    assert type(head).from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("make", "arguments", "message"),
    [
        (MaskHead, {"num_masks": -1}, "number of classes, or 1"),
        (MaskMLPHead, {"num_masks": 0}, "number of classes, or 1"),
        (MaskHead, {"num_masks": 1, "norm": "group"}, "norm as one of"),
        (MaskMLPHead, {"num_masks": 1, "units": 0}, "units >= 1"),
        (MaskMLPHead, {"num_masks": 1, "size": 0}, "size >= 1"),
        (MaskMLPHead, {"num_masks": 1, "depth": -1}, "depth >= 0"),
    ],
)
def test_impossible_arguments_are_refused(make, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(**arguments)


@both_heads
def test_features_without_a_roi_axis_are_refused(make):
    with pytest.raises(ValueError, match="RoI features"):
        make()(_rois()[0])


def test_a_head_without_masks_has_features_only():
    head = _fcn(0)
    head.build(SHAPE)
    assert head.features(_rois()).shape == (2, 3, 8, 8, 8)
    assert not any("mask_logits" in w.path for w in head.weights)
    with pytest.raises(ValueError, match="predicts no masks"):
        head(_rois(), LABELS)
