import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.rpn_head import RPNHead
from tests import modes

SIZES = {"P2": (3, 4), "P3": (2, 2)}


def _levels():
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=(2, *size, 8)).astype("float32")
        for name, size in SIZES.items()
    }


def _head(**changes):
    return RPNHead(3, **{"filters": 8, **changes})


def _shapes(output):
    return {name: tuple(tensor.shape) for name, tensor in output.items()}


def test_returns_one_row_per_anchor_on_every_level():
    objectness, box_deltas = _head()(_levels())
    assert _shapes(objectness) == {"P2": (2, 36), "P3": (2, 12)}
    assert _shapes(box_deltas) == {"P2": (2, 36, 4), "P3": (2, 12, 4)}


def test_rows_are_ordered_by_y_then_x_then_anchor():
    head = _head(depth=0)
    features = _levels()
    head.build({name: value.shape for name, value in features.items()})
    kernel = np.zeros((1, 1, 8, 3), "float32")
    kernel[0, 0, 5, 1] = 1.0  # channel 5 is the objectness of anchor 1
    head.objectness.set_weights([kernel, np.zeros(3)])
    kernel = np.zeros((1, 1, 8, 12), "float32")
    kernel[0, 0, 6, 2 * 4 + 3] = 1.0  # channel 6 is dh of anchor 2
    head.box_deltas.set_weights([kernel, np.zeros(12)])

    objectness, box_deltas = head(features)

    expected = np.zeros((2, 3, 4, 3), "float32")
    expected[..., 1] = features["P2"][..., 5]
    np.testing.assert_array_equal(objectness["P2"], expected.reshape(2, 36))
    expected = np.zeros((2, 3, 4, 3, 4), "float32")
    expected[..., 2, 3] = features["P2"][..., 6]
    np.testing.assert_array_equal(box_deltas["P2"], expected.reshape(2, 36, 4))


def test_weights_are_named_and_shared_by_the_levels():
    head = _head(name="head")
    head(_levels())
    assert [weight.path for weight in head.weights] == [
        f"head/{layer}/{kind}"
        for layer in ("convolution_0", "objectness", "box_deltas")
        for kind in ("kernel", "bias")
    ]


@pytest.mark.parametrize(
    ("depth", "convolutions"), [(1, 590_080), (2, 1180160)]
)
def test_parameters_are_those_of_the_paper(depth, convolutions):
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = RPNHead(3, depth=depth)
        head.build({"P2": (None, None, None, 256)})
    keras.utils.clear_session()
    assert head.count_params() == convolutions + (256 + 1) * 3 * (1 + 4)


def test_weights_start_gaussian_with_deviation_one_hundredth():
    head = RPNHead(64, filters=64)
    head.build({"P2": (None, None, None, 64)})
    for layer in (*head.tower, head.objectness, head.box_deltas):
        # At least 4,096 draws: the deviation is known to 1.1 %, four times.
        assert abs(np.asarray(layer.kernel).std() - 0.01) < 4.5e-4
        assert not np.asarray(layer.bias).any()


@modes.every_mode
def test_gradients_flow_to_the_features_of_each_output(mode):
    head = _head()
    head.build({"P2": (None, None, None, 8)})

    def outputs(features):
        objectness, box_deltas = head({"P2": features})
        return ops.sum(objectness["P2"]) + ops.sum(box_deltas["P2"] ** 2)

    gradient = modes.gradient(outputs, _levels()["P2"], mode)
    assert np.isfinite(gradient).all() and gradient.any(axis=(1, 2, 3)).all()


def test_sizes_may_be_unknown_in_a_functional_model(tmp_path):
    inputs = {name: keras.Input((None, None, 8), name=name) for name in SIZES}
    objectness, box_deltas = _head()(inputs)
    model = keras.Model(inputs, {**objectness})
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    assert objectness["P2"].shape == (None, None)
    assert box_deltas["P2"].shape == (None, None, 4)
    expected = model(_levels())
    for name, logits in loaded(_levels()).items():
        np.testing.assert_array_equal(logits, expected[name])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_mixed_precision(policy):
    head = _head(dtype=policy)
    for output in head({"P3": _levels()["P3"]}):
        assert keras.backend.standardize_dtype(output["P3"].dtype) == "float32"
    layers = [*head.tower, head.objectness, head.box_deltas]
    assert {layer.compute_dtype for layer in layers} == {
        policy.removeprefix("mixed_")
    }


def test_symbolic_outputs_have_the_shapes_of_the_outputs():
    head = _head()
    symbolic = {
        name: keras.Input(batch_shape=(2, *size, 8))
        for name, size in SIZES.items()
    }
    for found, expected in zip(head(symbolic), head(_levels())):
        assert _shapes(found) == _shapes(expected)


def test_config_rebuilds_the_layer():
    config = _head(depth=2, name="head").get_config()
    assert RPNHead.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_anchors": 0}, "at least one anchor"),
        ({"num_anchors": 3, "filters": 0}, "one filter"),
        ({"num_anchors": 3, "depth": -1}, "depth >= 0"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RPNHead(**arguments)


def test_levels_of_different_widths_are_refused():
    levels = _levels()
    levels["P3"] = levels["P3"][..., :4]
    with pytest.raises(ValueError, match="same number of channels"):
        _head()(levels)
