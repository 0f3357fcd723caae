import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.layers import MaskProposalHead
from tests import modes

SIZES = {"P2": (6, 7), "P3": (3, 4)}


def _levels():
    random = np.random.default_rng(0)
    return {
        name: random.normal(size=(2, *size, 8)).astype("float32")
        for name, size in SIZES.items()
    }


def _head(**changes):
    values = {"window": 5, "filters": 16, "mask_size": 4, **changes}
    return MaskProposalHead(**values)


def _built(**changes):
    head = _head(**changes)
    head.build(dict.fromkeys(SIZES, (None, None, None, 8)))
    return head


def _shapes(output):
    return {name: tuple(tensor.shape) for name, tensor in output.items()}


def test_returns_one_row_per_place_on_every_level():
    objectness, hidden = _head()(_levels())
    assert _shapes(objectness) == {"P2": (2, 42), "P3": (2, 12)}
    assert _shapes(hidden) == {"P2": (2, 42, 16), "P3": (2, 12, 16)}


def test_a_place_is_what_a_perceptron_says_of_its_window():
    keras.utils.set_random_seed(0)
    head = _built(window=3)
    features = _levels()
    objectness, hidden = head(features)
    masks = head.masks(hidden["P2"])

    # Row 2, column 4 of P2, far from the border: plain matrix products.
    window = features["P2"][1, 1:4, 3:6].reshape(-1)
    kernel, bias = head.convolution.get_weights()
    units = np.maximum(window @ kernel.reshape(-1, 16) + bias, 0.0)
    kernel, bias = head.objectness.get_weights()
    place = 2 * 7 + 4
    # Sums of 72 and 16 products of size 1 in another order.
    np.testing.assert_allclose(
        objectness["P2"][1, place], units @ kernel[:, 0] + bias[0], atol=1e-5
    )
    kernel, bias = head.mask_logits.get_weights()
    np.testing.assert_allclose(
        masks[1, place], (units @ kernel + bias).reshape(4, 4), atol=1e-5
    )


@modes.every_mode
def test_masks_of_chosen_places_are_those_of_all_places(mode):
    keras.utils.set_random_seed(0)
    head = _built()
    chosen = np.array([[40, 0, 17], [3, 3, 41]], "int32")

    def masks(features, chosen):
        hidden = head({"P2": features})[1]["P2"]
        rows = ops.take_along_axis(hidden, chosen[..., None], axis=1)
        return head.masks(hidden), head.masks(rows)

    everywhere, some = modes.run(masks, _levels()["P2"], chosen, mode=mode)

    assert everywhere.shape == (2, 42, 4, 4)
    for image in range(2):
        # The matrix product of three rows may round otherwise.
        np.testing.assert_allclose(
            some[image], everywhere[image, chosen[image]], atol=1e-6
        )
    assert np.abs(some[0, 0] - some[0, 1]).max() > 1e-3


def test_weights_are_named_and_shared_by_the_levels():
    head = _head(name="head")
    head(_levels())
    assert [weight.path for weight in head.weights] == [
        f"head/{layer}/{kind}"
        for layer in ("convolution", "objectness", "mask_logits")
        for kind in ("kernel", "bias")
    ]


@pytest.mark.parametrize(
    ("window", "mask_size", "pixels"), [(5, 14, 196), (7, 28, 784)]
)
def test_parameters_are_those_of_the_paper(window, mask_size, pixels):
    with keras.StatelessScope(initialize_variables=False):  # shapes only
        head = MaskProposalHead(window, mask_size=mask_size)
        head.build({"P2": (None, None, None, 128)})
    keras.utils.clear_session()
    convolution = (window**2 * 128 + 1) * 512
    assert head.count_params() == convolution + 513 * (1 + pixels)


@modes.every_mode
def test_gradients_flow_from_scores_and_from_masks(mode):
    head = _built()

    def outputs(features):
        objectness, hidden = head({"P2": features})
        masks = head.masks(hidden["P2"][:, :3])
        return ops.sum(objectness["P2"]) + ops.sum(masks**2)

    gradient = modes.gradient(outputs, _levels()["P2"], mode)
    assert np.isfinite(gradient).all() and gradient.any(axis=(1, 2, 3)).all()


def test_sizes_may_be_unknown_in_a_functional_model(tmp_path):
    inputs = {name: keras.Input((None, None, 8), name=name) for name in SIZES}
    objectness, hidden = _head()(inputs)
    model = keras.Model(inputs, {**objectness})
    model.save(tmp_path / "head.keras")

    loaded = keras.models.load_model(tmp_path / "head.keras")

    assert objectness["P2"].shape == (None, None)
    assert hidden["P2"].shape == (None, None, 16)
    expected = model(_levels())
    for name, logits in loaded(_levels()).items():
        np.testing.assert_array_equal(logits, expected[name])


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_logits_are_float32_under_mixed_precision(policy):
    head = _head(dtype=policy)
    objectness, hidden = head({"P3": _levels()["P3"]})
    compute = policy.removeprefix("mixed_")
    assert keras.backend.standardize_dtype(hidden["P3"].dtype) == compute
    for output in (objectness["P3"], head.masks(hidden["P3"])):
        assert keras.backend.standardize_dtype(output.dtype) == "float32"


def test_config_makes_an_equal_head():
    head = _head(window=7, mask_size=28)
    config = head.get_config()
    assert MaskProposalHead.from_config(config).get_config() == config
    assert (config["window"], config["filters"]) == (7, 16)
    assert config["mask_size"] == 28


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 4}, "odd window.*Received: 4"),
        ({"window": -1}, "odd window.*Received: -1"),
        ({"filters": 0}, "filters=0, mask_size=4"),
        ({"mask_size": 0}, "filters=16, mask_size=0"),
    ],
)
def test_a_head_of_no_size_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        _head(**changes)


def test_levels_of_different_width_are_refused():
    with pytest.raises(ValueError, match="same number of channels"):
        _head().build({"P2": (1, 4, 4, 8), "P3": (1, 2, 2, 16)})
