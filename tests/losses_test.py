import keras
import numpy as np
import pytest

from keras_fair import losses
from tests import modes, reference, shared

# Float32 against float64: a few roundings, relative to the value.
CLOSE = {"rtol": 2e-6, "atol": 1e-7}
EXTREME = np.float32([-1000, -100, -88, -20, -1, 0, 1, 20, 88, 100, 1000])
FOCAL = [(0.25, 2.0), (-1.0, 2.0), (None, 2.0), (0.25, 0.0), (0.5, 1.5)]


def logits_and_targets(dtype="float32"):
    logits = np.random.default_rng(0).normal(0, 4, 40).astype("float32")
    logits = np.concatenate([logits, EXTREME, EXTREME])
    targets = np.arange(len(logits)) % 2
    return logits, targets.astype(dtype)


def run_focal(targets, logits, alpha, gamma, mode="eager"):
    return modes.run(
        lambda t, x: losses.sigmoid_focal_loss(t, x, alpha, gamma),
        targets,
        logits,
        mode=mode,
    )


def focal_gradient(targets, logits, alpha, gamma, mode="eager"):
    return modes.gradient(
        lambda x: losses.sigmoid_focal_loss(targets, x, alpha, gamma),
        logits,
        mode=mode,
    )


@pytest.mark.parametrize("p_t, factor", [(0.9, 100), (0.968, 1000), (0.5, 4)])
def test_focal_loss_shrinks_easy_examples_as_in_the_paper(p_t, factor):
    logit = np.float32([np.log(p_t / (1 - p_t))])
    ones = np.ones(1, "float32")
    focal = run_focal(ones, logit, None, 2.0)
    ratio = -np.log(p_t) / focal[0]
    # (1 - 0.968)^-2 is 977; "1000" is the paper's rounding.
    assert ratio == pytest.approx(factor, rel=0.03)


@modes.every_mode
@pytest.mark.parametrize("alpha, gamma", FOCAL)
def test_focal_loss_and_gradient_equal_the_closed_form(alpha, gamma, mode):
    logits, targets = logits_and_targets()
    loss = run_focal(targets, logits, alpha, gamma, mode)
    expected = reference.sigmoid_focal_loss(targets, logits, alpha, gamma)
    np.testing.assert_allclose(loss, expected, **CLOSE)
    slope = focal_gradient(targets, logits, alpha, gamma, mode)
    expected = reference.sigmoid_focal_gradient(targets, logits, alpha, gamma)
    np.testing.assert_allclose(slope, expected, **CLOSE)
    assert np.isfinite(loss).all() and np.isfinite(slope).all()


def test_focal_gradient_scales_with_what_follows():
    logits, targets = logits_and_targets()
    slope = modes.gradient(
        lambda x: 3.0 * losses.sigmoid_focal_loss(targets, x), logits
    )
    expected = 3.0 * reference.sigmoid_focal_gradient(targets, logits)
    np.testing.assert_allclose(slope, expected, **CLOSE)


@pytest.mark.parametrize("dtype", ["bool", "int32", "float16", "float32"])
def test_focal_targets_may_have_any_dtype(dtype):
    logits, targets = logits_and_targets(dtype)
    loss = run_focal(targets, logits, 0.25, 2.0)
    expected = reference.sigmoid_focal_loss(targets.astype(int), logits)
    np.testing.assert_allclose(loss, expected, **CLOSE)


@pytest.mark.parametrize(
    "alpha, gamma",
    [(0.25, 2.0), (-1.0, 2.0), (0.25, 0.0), (0.5, 1.5), (0.75, 1.0)],
)
def test_focal_loss_equals_torchvision(alpha, gamma):
    golden = shared.fixture("ops_losses.npz")
    logits, targets = golden["in_logits"], golden["in_targets"]
    name = f"a{alpha}_g{gamma}"
    loss = run_focal(targets, logits, alpha, gamma)
    # The peer computes 1 - p_t by subtraction, which loses what is small.
    close = {"rtol": 1e-5, "atol": 1e-6}
    np.testing.assert_allclose(loss, golden[f"focal_{name}"], **close)
    slope = focal_gradient(targets, logits, alpha, gamma)
    np.testing.assert_allclose(slope, golden[f"focal_grad_{name}"], **close)


@modes.every_mode
def test_cross_entropy_and_gradient_equal_the_closed_form(mode):
    logits, _ = logits_and_targets()
    targets = np.linspace(0, 1, len(logits), dtype="float32")
    loss = modes.run(losses.sigmoid_cross_entropy, targets, logits, mode=mode)
    expected = reference.sigmoid_cross_entropy(np.float64(targets), logits)
    np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=1e-6)
    slope = modes.gradient(
        lambda x: losses.sigmoid_cross_entropy(targets, x), logits, mode
    )
    sigmoid = np.exp(-np.logaddexp(0, -np.float64(logits)))
    np.testing.assert_allclose(slope, sigmoid - targets, atol=2e-7)


def test_cross_entropy_of_logit_zero_is_log_two():
    zero = np.zeros(1, "float32")
    loss = modes.run(losses.sigmoid_cross_entropy, zero, zero)
    assert loss[0] == pytest.approx(np.log(2))


@pytest.mark.parametrize("gamma, beta", [(2.0, 1.0), (4.0, 0.0)])
def test_focal_star_loss_and_gradient(gamma, beta):
    logits, targets = logits_and_targets()
    loss = modes.run(
        lambda t, x: losses.focal_star_loss(t, x, gamma, beta),
        targets,
        logits,
    )
    expected = reference.focal_star_loss(targets, logits, gamma, beta)
    np.testing.assert_allclose(loss, expected, **CLOSE)
    slope = modes.gradient(
        lambda x: losses.focal_star_loss(targets, x, gamma, beta), logits
    )
    # RetinaNet, appendix B: y (p*_t - 1), p*_t = sigmoid(gamma x_t + beta).
    y = np.where(targets > 0.5, 1.0, -1.0)
    not_p = np.exp(-np.logaddexp(0, gamma * y * np.float64(logits) + beta))
    np.testing.assert_allclose(slope, -y * not_p, rtol=1e-5, atol=1e-7)


def test_softmax_cross_entropy_equals_the_reference():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 5, (7, 4)).astype("float32")
    logits[0] = [1000, -1000, 0, 500]
    labels = np.array([1, 0, 3, 2, -1, 0, 1], "int32")
    loss = modes.run(losses.softmax_cross_entropy, labels, logits)
    expected = reference.softmax_cross_entropy(labels, logits)
    np.testing.assert_allclose(loss, expected, rtol=2e-6, atol=1e-6)
    slope = modes.gradient(
        lambda x: losses.softmax_cross_entropy(labels, x), logits
    )
    scores = np.exp(
        logits - np.logaddexp.reduce(np.float64(logits), 1)[:, None]
    )
    expected = scores - (labels[:, None] == np.arange(4))
    expected[labels < 0] = 0
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_softmax_cross_entropy_equals_torchvision():
    golden = shared.fixture("ops_losses.npz")
    labels = golden["in_fr_labels"].astype("int32")
    loss = modes.run(
        losses.softmax_cross_entropy, labels, golden["in_fr_logits"]
    )
    np.testing.assert_allclose(loss.mean(), golden["fr_cls"], rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.11, 1.0])
def test_smooth_l1_of_hand_sized_differences(beta):
    predictions = np.float32([0.0, 0.05, -0.05, 2.0, -2.0])
    zeros = np.zeros(5, "float32")
    loss = modes.run(
        lambda t, p: losses.smooth_l1_loss(t, p, beta), zeros, predictions
    )
    expected = reference.smooth_l1_loss(zeros, predictions, beta)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)


@pytest.mark.parametrize("beta", [0.0, 0.1, 1 / 9, 1.0])
@modes.every_mode
def test_smooth_l1_and_gradient_equal_fvcore(beta, mode):
    golden = shared.fixture("ops_losses.npz")
    targets, predictions = golden["in_sl_target"], golden["in_sl_pred"]
    loss = modes.run(
        lambda t, p: losses.smooth_l1_loss(t, p, beta),
        targets,
        predictions,
        mode=mode,
    )
    close = {"rtol": 1e-6, "atol": 1e-7}
    np.testing.assert_allclose(loss, golden[f"smooth_l1_{beta:.4f}"], **close)
    slope = modes.gradient(
        lambda p: losses.smooth_l1_loss(targets, p, beta), predictions, mode
    )
    expected = golden[f"smooth_l1_grad_{beta:.4f}"]
    np.testing.assert_allclose(slope, expected, rtol=1e-5, atol=1e-6)


def test_giou_of_hand_sized_boxes():
    target = np.tile(np.float32([0, 0, 10, 10]), (3, 1))
    prediction = np.float32([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10]])
    loss = modes.run(losses.giou_loss, target, prediction)
    # Apart: 300 pixels of hull, of which 100 are neither's.
    np.testing.assert_allclose(loss, [0.0, 0.5, 1 + 1 / 3], atol=1e-6)


@modes.every_mode
def test_giou_equals_the_reference(mode):
    rng = np.random.default_rng(2)
    target = reference.random_boxes(rng, 30)
    prediction = reference.random_boxes(rng, 30)
    loss = modes.run(losses.giou_loss, target, prediction, mode=mode)
    expected = list(map(reference.giou_loss, target, prediction))
    np.testing.assert_allclose(loss, expected, rtol=1e-5, atol=1e-6)


@modes.every_mode
def test_giou_of_boxes_without_area_is_finite(mode):
    target = np.float32([[0, 0, 0, 0], [0, 0, 0, 0], [5, 5, 9, 9]])
    prediction = np.float32([[0, 0, 0, 0], [3, 3, 3, 3], [7, 7, 7, 7]])
    loss = modes.run(losses.giou_loss, target, prediction, mode=mode)
    slope = modes.gradient(
        lambda p: losses.giou_loss(target, p), prediction, mode
    )
    assert np.isfinite(loss).all() and np.isfinite(slope).all()


def test_giou_and_gradient_equal_torchvision():
    golden = shared.fixture("ops_losses.npz")
    target, prediction = golden["in_box_gt"], golden["in_box_pred"]
    loss = modes.run(losses.giou_loss, target, prediction)
    np.testing.assert_allclose(loss, golden["giou_loss"], rtol=1e-5, atol=1e-6)
    slope = modes.gradient(lambda p: losses.giou_loss(target, p), prediction)
    # Row 10 is a perfect prediction: a kink, where any slope between the
    # sides' is right and backends choose differently.
    rows = np.arange(len(target)) != 10
    np.testing.assert_allclose(
        slope[rows], golden["giou_grad"][rows], rtol=1e-4, atol=1e-6
    )
    assert np.isfinite(slope[10]).all()


@pytest.mark.parametrize(
    "loss",
    [
        losses.sigmoid_cross_entropy,
        losses.sigmoid_focal_loss,
        losses.focal_star_loss,
        lambda t, p: losses.smooth_l1_loss(t, p, 0.11),
    ],
)
def test_half_precision_inputs_give_float32(loss):
    ops = keras.ops
    predictions = ops.convert_to_tensor([-3.0, 0.5, 88.0])
    targets = ops.convert_to_tensor([0.0, 1.0, 0.0])
    half = loss(
        ops.cast(targets, "bfloat16"), ops.cast(predictions, "bfloat16")
    )
    assert keras.backend.standardize_dtype(half.dtype) == "float32"
    # These three numbers are exact in bfloat16.
    assert (np.asarray(half) == np.asarray(loss(targets, predictions))).all()
