import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.box_head import BoxHead
from tests import modes

SHAPE = (2, 3, 2, 2, 4)  # B, R, S, S, channels


def _rois(shape=SHAPE):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def _head(**changes):
    return BoxHead(3, **{"units": (8,), **changes})


def _built(**changes):
    head = _head(**changes)
    head.build(SHAPE)
    return head


def test_returns_logits_with_background_and_a_box_per_class():
    class_logits, box_deltas = _head()(_rois())
    assert tuple(class_logits.shape) == (2, 3, 4)
    assert tuple(box_deltas.shape) == (2, 3, 3, 4)


def test_agnostic_boxes_are_one_per_roi():
    class_logits, box_deltas = _head(class_agnostic=True)(_rois())
    assert tuple(class_logits.shape) == (2, 3, 4)
    assert tuple(box_deltas.shape) == (2, 3, 1, 4)


def test_computes_the_two_layer_perceptron_of_the_flattened_features():
    head = _built(units=(8, 5))
    for layer in (*head.hidden, head.class_logits, head.box_deltas):
        layer.bias.assign(np.random.default_rng(1).normal(size=layer.units))
    features = _rois().reshape(2, 3, -1)  # y, x, channel
    for layer in head.hidden:
        features = np.maximum(_dense(features, layer), 0.0)
    expected = _dense(features, head.box_deltas).reshape(2, 3, 3, 4)

    class_logits, box_deltas = head(_rois())

    # Sums of 16 terms below ten, in another order.
    np.testing.assert_allclose(
        class_logits, _dense(features, head.class_logits), atol=1e-5
    )
    np.testing.assert_allclose(box_deltas, expected, atol=1e-5)


def _dense(features, layer):
    return features @ np.asarray(layer.kernel) + np.asarray(layer.bias)


def test_convolutions_come_before_the_hidden_layers():
    head = _head(convolutions=2, filters=6, norm="batch", name="head")
    head.build(SHAPE)
    kernels = [w.path for w in head.weights if w.path.endswith("kernel")]
    assert kernels == [
        f"head/{name}/kernel"
        for name in (
            "convolution_0",
            "convolution_1",
            "dense_0",
            "class_logits",
            "box_deltas",
        )
    ]
    assert head.hidden[0].kernel.shape == (2 * 2 * 6, 8)
    paths = [weight.path for weight in head.weights]
    assert "head/convolution_0/bias" not in paths
    assert "head/convolution_norm_1/moving_mean" in paths


def test_batch_norm_uses_the_batch_only_in_training():
    head = _built(convolutions=1, filters=4, norm="batch")
    mean = head.tower[1].moving_mean
    served = np.asarray(head(_rois(), training=False)[0])
    assert not np.asarray(mean).any()
    trained = np.asarray(head(_rois(), training=True)[0])
    assert np.asarray(mean).any()
    assert abs(trained - served).max() > 1e-4


def test_parameters_are_those_of_the_paper():
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = BoxHead(80)
        head.build((None, None, 7, 7, 256))
    keras.utils.clear_session()
    hidden = (7 * 7 * 256 + 1) * 1024 + (1024 + 1) * 1024
    assert hidden == 13_895_680
    assert head.count_params() == hidden + (1024 + 1) * (81 + 320)


def test_parameters_are_those_of_torchvisions_second_version():
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = BoxHead(90, units=(1024,), convolutions=4, norm="batch")
        head.build((None, None, 7, 7, 256))
    keras.utils.clear_session()
    trainable = sum(int(np.prod(w.shape)) for w in head.trainable_weights)
    convolutions = 4 * (9 * 256 * 256 + 2 * 256)
    hidden = (7 * 7 * 256 + 1) * 1024
    assert trainable == convolutions + hidden + (1024 + 1) * (91 + 360)


def test_last_layers_start_gaussian_and_hidden_ones_as_xavier_fill():
    head = BoxHead(63, units=(64,))
    head.build((None, None, 2, 2, 16))
    logits, deltas = head.class_logits, head.box_deltas
    # 4,096 draws know the deviation to 1.1 %, four times.
    assert abs(np.asarray(logits.kernel).std() / 0.01 - 1) < 0.045
    assert abs(np.asarray(deltas.kernel).std() / 0.001 - 1) < 0.045
    limit = (3 / 64) ** 0.5  # of a uniform distribution; 64 inputs
    largest = abs(np.asarray(head.hidden[0].kernel)).max()
    assert 0.99 * limit < largest <= limit
    for layer in (*head.hidden, logits, deltas):
        assert not np.asarray(layer.bias).any()


def test_rows_of_classes_are_their_weights_without_background():
    head = _built()
    kernel = np.asarray(head.class_logits.kernel)
    np.testing.assert_array_equal(head.rows("class"), kernel[:, :3].T)


def test_rows_of_boxes_are_the_weights_of_dx_dy_dw_dh_in_turn():
    head = _built()
    kernel = np.asarray(head.box_deltas.kernel)
    rows = np.asarray(head.rows("box"))
    assert rows.shape == (3, 4 * 8)
    np.testing.assert_array_equal(rows[1, :8], kernel[:, 4])  # class 1, dx
    np.testing.assert_array_equal(rows[2, 24:], kernel[:, 11])  # class 2, dh


def test_rows_of_both_are_class_then_box():
    head = _built()
    rows = np.asarray(head.rows("class+box"))
    np.testing.assert_array_equal(rows[:, :8], head.rows("class"))
    np.testing.assert_array_equal(rows[:, 8:], head.rows("box"))


@pytest.mark.parametrize("kind", ["class", "box", "class+box"])
def test_rows_of_some_classes_are_those_of_all(kind):
    head = _built()
    every = np.asarray(head.rows(kind))
    some = np.asarray(head.rows(kind, np.int32([2, 0, 2])))
    np.testing.assert_array_equal(some, every[[2, 0, 2]])
    assert every.shape == (3, head.row_size(kind))


def test_rows_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match="kind as one of"):
        _built().rows("mask")
    with pytest.raises(ValueError, match='Use "class"'):
        _built(class_agnostic=True).rows("box")


@modes.every_mode
def test_gradients_flow_to_every_roi(mode):
    head = _built(convolutions=1, filters=4, norm="batch")

    def outputs(rois):
        class_logits, box_deltas = head(rois)
        return ops.sum(class_logits[..., 0]) + ops.sum(box_deltas**2)

    gradient = modes.gradient(outputs, _rois(), mode)
    assert np.isfinite(gradient).all() and gradient.any(axis=(2, 3, 4)).all()


def test_counts_may_be_unknown_in_a_functional_model(tmp_path):
    rois = keras.Input((None, *SHAPE[2:]))
    outputs = _head(convolutions=1, filters=4, norm="batch")(rois)
    model = keras.Model(rois, outputs)
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    assert outputs[0].shape == (None, None, 4)
    assert outputs[1].shape == (None, None, 3, 4)
    for output, expected in zip(loaded(_rois()), model(_rois())):
        np.testing.assert_array_equal(output, expected)


@modes.every_mode
def test_images_may_have_no_rois(mode):
    head = _built(convolutions=1, filters=6)
    rois = _rois((2, 0, *SHAPE[2:]))
    class_logits, box_deltas = modes.run(head, rois, mode=mode)
    assert class_logits.shape == (2, 0, 4)
    assert box_deltas.shape == (2, 0, 3, 4)


@modes.every_mode
def test_a_gradient_without_rois_is_empty(mode):
    head = _built(convolutions=1, filters=6)
    rois = _rois((2, 0, *SHAPE[2:]))
    gradient = modes.gradient(lambda rois: head(rois)[0], rois, mode)
    assert gradient.shape == rois.shape


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_mixed_precision(policy):
    head = _head(convolutions=1, filters=4, norm="batch", dtype=policy)
    for output in head(_rois()):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"
    layers = [*head.tower, *head.hidden, head.class_logits, head.box_deltas]
    assert {layer.compute_dtype for layer in layers} == {
        policy.removeprefix("mixed_")
    }
    dtype = head.rows("class+box").dtype
    assert keras.backend.standardize_dtype(dtype) == "float32"


def test_output_shape_is_the_shape_of_the_output():
    head = _head()
    shapes = tuple(tuple(output.shape) for output in head(_rois()))
    assert head.compute_output_shape(SHAPE) == shapes


def test_config_rebuilds_the_layer():
    head = _head(
        convolutions=1, filters=4, norm="batch", class_agnostic=True, name="box"
    )
    config = head.get_config()
    assert BoxHead.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "at least one class"),
        ({"num_classes": 3, "units": ()}, "hidden layers"),
        ({"num_classes": 3, "units": (8, 0)}, "hidden layers"),
        ({"num_classes": 3, "norm": "group"}, "norm as one of"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        BoxHead(**arguments)


def test_features_without_a_roi_axis_are_refused():
    with pytest.raises(ValueError, match="RoI features"):
        _head()(_rois()[0])
