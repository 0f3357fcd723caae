import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers.retinanet_head import RetinaNetHead

SIZES = {"P3": (3, 4), "P4": (2, 2)}


def _levels(channels=8):
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=(2, *size, channels)).astype("float32")
        for name, size in SIZES.items()
    }


def _head(**changes):
    arguments = {"filters": 8, "depth": 1, **changes}
    return RetinaNetHead(3, 2, **arguments)


def _array(tensor):
    return np.asarray(ops.convert_to_numpy(tensor))


def test_returns_one_row_per_anchor_on_every_level():
    class_logits, box_deltas = _head()(_levels())
    counts = {"P3": 24, "P4": 8}
    assert {k: tuple(v.shape) for k, v in class_logits.items()} == {
        name: (2, count, 3) for name, count in counts.items()
    }
    assert {k: tuple(v.shape) for k, v in box_deltas.items()} == {
        name: (2, count, 4) for name, count in counts.items()
    }


def test_rows_are_ordered_by_y_then_x_then_anchor():
    head = _head(depth=0, filters=8)
    features = _levels()
    head(features)
    kernel = np.zeros((3, 3, 8, 6), "float32")
    # Channel 0 of the features goes to class 1 of anchor 1.
    kernel[1, 1, 0, 1 * 3 + 1] = 1.0
    head.class_logits.set_weights([kernel, np.zeros(6)])
    logits = _array(head(features)[0]["P3"])
    expected = np.zeros((2, 3, 4, 2, 3), "float32")
    expected[:, :, :, 1, 1] = features["P3"][..., 0]
    np.testing.assert_array_equal(logits, expected.reshape(2, 24, 3))


def test_untrained_head_calls_an_anchor_foreground_with_the_prior():
    head = _head(prior=0.01)
    zeros = {name: np.zeros((1, 2, 2, 8), "float32") for name in SIZES}
    class_logits, box_deltas = head(zeros)
    scores = _array(ops.sigmoid(class_logits["P3"]))
    # One rounding of the logit -4.595 is 5e-7 of the score.
    np.testing.assert_allclose(scores, 0.01, rtol=1e-6)
    assert not _array(box_deltas["P3"]).any()


def test_kernels_start_gaussian_with_deviation_one_hundredth():
    head = RetinaNetHead(16, 4, filters=64, depth=1)
    head.build({"P3": (None, None, None, 64)})
    kernels = [w for w in head.weights if w.path.endswith("kernel")]
    assert len(kernels) == 4
    for kernel in kernels:
        # At least 9,216 draws: the deviation is known to 0.8 %, five times.
        assert abs(_array(kernel).std() - 0.01) < 4e-4


def test_parameters_are_those_of_the_paper():
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = RetinaNetHead(80, 9)
        head.build({"P3": (None, None, None, 256)})
    keras.utils.clear_session()
    tower = 4 * (9 * 256 + 1) * 256
    assert head.count_params() == 2 * tower + 9 * (80 + 4) * (9 * 256 + 1)


def test_weights_are_named_and_shared_by_the_levels():
    head = _head(name="head")
    head(_levels())
    paths = [weight.path for weight in head.weights]
    assert paths[0] == "head/class_conv_0/kernel"
    assert "head/class_logits/bias" in paths
    assert "head/box_conv_0/bias" in paths
    assert paths[-1] == "head/box_deltas/bias"
    assert len(paths) == 2 * 2 * 2


def test_group_norm_stands_between_convolution_and_relu():
    head = RetinaNetHead(3, 2, filters=32, depth=1, norm="group", name="head")
    features = _levels(32)
    head(features)
    assert [layer.name for layer in head.class_tower] == [
        "class_conv_0",
        "class_norm_0",
        "class_relu_0",
    ]
    assert head.class_tower[1].epsilon == 1e-5
    paths = [w.path for w in head.weights]
    assert "head/class_conv_0/bias" not in paths
    assert "head/class_norm_0/gamma" in paths


def test_sizes_may_be_unknown_in_a_functional_model(tmp_path):
    inputs = {name: keras.Input((None, None, 8), name=name) for name in SIZES}
    class_logits, box_deltas = _head()(inputs)
    model = keras.Model(inputs, {**class_logits})
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    assert class_logits["P3"].shape == (None, None, 3)
    assert box_deltas["P3"].shape == (None, None, 4)
    expected = model(_levels())
    for name, logits in loaded(_levels()).items():
        np.testing.assert_array_equal(_array(logits), _array(expected[name]))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_outputs_are_float32_under_mixed_precision(policy):
    head = _head(dtype=policy)
    tensors = {name: keras.Input((None, None, 8)) for name in SIZES}
    eager = head({"P4": _levels()["P4"]})
    for output in [*head(tensors), *eager]:
        dtypes = {
            keras.backend.standardize_dtype(o.dtype) for o in output.values()
        }
        assert dtypes == {"float32"}
    assert {layer.compute_dtype for layer in head.class_tower} == {
        policy.removeprefix("mixed_")
    }


def test_symbolic_outputs_have_the_shapes_of_the_outputs():
    def shapes(outputs):
        return [
            {name: tuple(tensor.shape) for name, tensor in output.items()}
            for output in outputs
        ]

    head = _head()
    symbolic = {
        name: keras.Input(batch_shape=(2, *size, 8))
        for name, size in SIZES.items()
    }
    assert shapes(head(symbolic)) == shapes(head(_levels()))


def test_config_rebuilds_the_layer():
    head = RetinaNetHead(
        3, 2, filters=64, depth=1, prior=0.1, norm="group", name="head"
    )
    config = head.get_config()
    assert RetinaNetHead.from_config(config).get_config() == config


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0, "num_anchors": 9}, "at least one class"),
        ({"num_classes": 3, "num_anchors": 0}, "at least one class"),
        ({"num_classes": 3, "num_anchors": 9, "prior": 1.0}, "prior"),
        ({"num_classes": 3, "num_anchors": 9, "norm": "batch"}, "norm as one"),
        (
            {
                "num_classes": 3,
                "num_anchors": 9,
                "filters": 48,
                "norm": "group",
            },
            "filters divisible by 32",
        ),
        ({"num_classes": 3, "num_anchors": 9, "depth": -1}, "depth"),
    ],
)
def test_impossible_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        RetinaNetHead(**arguments)


def test_levels_of_different_widths_are_refused():
    levels = _levels()
    levels["P4"] = levels["P4"][..., :4]
    with pytest.raises(ValueError, match="same number of channels"):
        _head()(levels)
