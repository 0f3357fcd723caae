"""Keypoint R-CNN: the keypoint loss, keypoints of detections and boxes."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.models import KeypointRCNN, roi
from tests import reference
from tests.models import tiny
from tests.ops import keypoints_reference


def with_decided_keypoints(model):
    """Give the last layer weights that tell cells and keypoints apart."""
    kernel = model.keypoint_head.keypoint_logits.kernel
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return model


@pytest.fixture(scope="module")
def model():
    return with_decided_keypoints(tiny.keypoint_rcnn())


@pytest.fixture(scope="module")
def truth():
    return tiny.batch_with_keypoints()[1]


@pytest.fixture(scope="module")
def rois(truth):
    """RoIs: the object itself, a part of it; one not positive; padding."""
    index = np.array([[0, 0, 0, 0], [1, 0, 1, 0]], "int32")
    positive = np.array([[1, 1, 0, 0], [1, 1, 0, 0]], bool)
    labels = np.take_along_axis(truth["labels"], index, axis=1)
    labels = np.where(positive, labels, 3)
    labels[:, -1] = -1
    boxes = np.take_along_axis(truth["boxes"], index[..., None], axis=1)
    boxes[:, 1, 2:] -= 10  # without the corners on the right
    return roi.Rois(boxes, labels.astype("int32"), index, positive)


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    sides = {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}
    return {
        name: rng.normal(size=(2, *sides[name], 8)).astype("float32")
        for name in sides
    }


def slow_terms(logits, rois, y):
    """Return the cross-entropy of each keypoint that counts, with loops."""
    index = rois.gt_index[..., None, None]
    points = np.take_along_axis(y["keypoints"], index, axis=1)
    cells = keypoints_reference.encode(points, rois.boxes, 56)
    terms = []
    for image, row, keypoint in np.ndindex(*cells.shape):
        cell = cells[image, row, keypoint]
        if rois.positive[image, row] and cell >= 0:
            values = logits[image, row, :, :, keypoint].astype("float64")
            terms.append(np.log(np.exp(values).sum()) - values.ravel()[cell])
    return terms


def loss_and_gradients(model, features, rois, y):
    """Return the keypoint loss and its gradients in features and kernel."""
    variable = model.keypoint_head.keypoint_logits.kernel

    def loss(features_and_kernel, rois, y):
        features, kernel = features_and_kernel
        with keras.StatelessScope(state_mapping=[(variable, kernel)]):
            return model.keypoint_loss(features, rois, y)

    values = features, ops.convert_to_numpy(variable)
    value = tiny.runner(loss)(values, rois, y)
    return value, *tiny.gradient_runner(loss)(values, rois, y)


def test_the_loss_is_the_average_over_labelled_keypoints_in_the_rois(
    model, features, rois, truth
):
    def logits_and_loss(features, rois, y):
        logits = model.keypoint_logits(features, rois.boxes)
        return logits, model.keypoint_loss(features, rois, y)

    logits, loss = tiny.runner(logits_and_loss)(features, rois, truth)
    assert logits.shape == (2, 4, 56, 56, 3)
    terms = slow_terms(logits, rois, truth)
    # All of an object, and the corner on the left of a part of it.
    assert len(terms) == (3 + 1) + (3 + 1)
    # Averages of float32 terms of one size.
    assert loss == pytest.approx(np.mean(terms), rel=1e-5)


def test_the_other_normalizer_is_the_same_in_every_batch(
    model, features, rois, truth
):
    other = tiny.keypoint_rcnn(
        keypoint_normalizer="all", keypoint_loss_weight=4.0
    )
    with_decided_keypoints(other)
    other.keypoint_head.set_weights(model.keypoint_head.get_weights())

    def both(features, rois, y):
        return [m.keypoint_loss(features, rois, y) for m in (model, other)]

    visible, every = tiny.runner(both)(features, rois, truth)
    # 2 images, 4 positives of 16 samples, 3 keypoints.
    expected = 4 * visible * 8 / (2 * 4 * 3)
    assert every == pytest.approx(expected, rel=1e-5)


def test_without_labelled_keypoints_loss_and_gradient_are_zero(
    model, features, rois, truth
):
    y = {**truth, "keypoints": np.zeros_like(truth["keypoints"])}
    loss, features_gradient, kernel = loss_and_gradients(
        model, features, rois, y
    )
    assert loss == 0 and not kernel.any()
    assert not any(g.any() for g in features_gradient.values())


def test_a_keypoint_that_is_not_labelled_has_exactly_no_gradient(
    model, features, rois, truth
):
    y = {**truth, "keypoints": truth["keypoints"].copy()}
    y["keypoints"][:, :, 1:] = 0
    y["keypoints"][1] = 0
    loss, features_gradient, kernel = loss_and_gradients(
        model, features, rois, y
    )
    assert loss > 0
    assert kernel[:, :, 0].any() and not kernel[:, :, 1:].any()
    assert features_gradient["P2"][0].any()
    assert not any(g[1].any() for g in features_gradient.values())


def roi_losses(model, features, rois, y):
    return tiny.runner(
        lambda *values: model.roi_losses(*values, training=True)
    )(features, rois, y)


def test_the_second_stage_adds_the_keypoints_of_its_positives(
    model, features, rois, truth
):
    terms = roi_losses(model, features, rois, truth)
    loss, *_ = loss_and_gradients(model, features, rois, truth)
    assert terms["keypoint_loss"] == pytest.approx(loss, rel=1e-6)
    assert terms["class_loss"] > 0 and terms["box_loss"] > 0


def test_a_data_set_without_keypoints_trains_boxes(
    model, features, rois, truth
):
    y = {"boxes": truth["boxes"], "labels": truth["labels"]}
    terms = roi_losses(model, features, rois, y)
    assert terms["keypoint_loss"] == 0
    assert terms["class_loss"] > 0


@pytest.fixture(scope="module")
def detected(model):
    return tiny.runner(model)(tiny.batch()[0])


def test_detections_have_keypoints_and_padding_has_none(model, detected):
    found = model.detections(detected)
    contract.check_detections(found)
    assert found["keypoints"].shape == (2, 100, 3, 3)
    valid = found["labels"] >= 0
    assert 0 < valid.sum() < valid.size
    scores = found["keypoints"][valid][..., 2]
    assert (scores > 0).any() and (scores <= 1).all()


def test_detected_keypoints_are_in_their_boxes(detected):
    valid = detected["labels"] >= 0
    boxes = detected["boxes"][valid][:, None]
    places = detected["keypoints"][valid][..., :2]
    # A box of less than a pixel counts as one pixel.
    assert (places >= boxes[..., :2]).all()
    assert (places <= np.maximum(boxes[..., 2:], boxes[..., :2] + 1)).all()


def test_keypoints_of_given_boxes_are_those_of_equal_detections(
    model, detected
):
    x, _ = tiny.batch()
    boxes = detected["boxes"][:, :8]
    keypoints = tiny.runner(model.predict_keypoints)(x, boxes)
    # Another number of RoIs may be summed in another order.
    np.testing.assert_allclose(
        keypoints, detected["keypoints"][:, :8], rtol=1e-3
    )


def test_bfloat16_gives_a_float32_loss_and_keypoints(features, rois, truth):
    model = tiny.keypoint_rcnn(dtype="mixed_bfloat16")

    def run(features, rois, y):
        logits = model.keypoint_logits(features, rois.boxes)
        return model.keypoint_loss(features, rois, y), logits

    loss, logits = tiny.runner(run)(features, rois, truth)
    assert np.isfinite(loss) and loss.dtype == "float32"
    assert logits.dtype == "float32"


@pytest.mark.slow
def test_a_model_compiled_by_xla_learns_two_images_by_heart():
    model = tiny.keypoint_rcnn(weight_decay=0.0, max_detections=20)
    # At a rate that stays, a corner is taken for another every now and then.
    rate = keras.optimizers.schedules.CosineDecay(5e-3, decay_steps=240)
    optimizer = keras.optimizers.Adam(rate, epsilon=1e-3)
    model.compile(optimizer=optimizer, jit_compile=True)
    x, y = tiny.batch_with_keypoints()
    first = model.train_on_batch(x, y, return_dict=True)
    for _ in range(239):
        last = model.train_on_batch(x, y, return_dict=True)
    assert last["keypoint_loss"] < 0.5 * first["keypoint_loss"]
    found = model.predict(x, verbose=0)
    contract.check_detections(found)
    for image, row in zip(*np.nonzero(y["labels"] >= 0)):
        box = y["boxes"][image, row]
        overlaps = reference.pairwise_iou(found["boxes"][image], box[None])
        best = overlaps[:, 0].argmax()
        corners = y["keypoints"][image, row]
        has_label = corners[:, 2] > 0
        error = found["keypoints"][image, best] - corners
        # Of a box of 26 x 30.
        assert np.abs(error[has_label, :2]).max() < 5


def test_a_saved_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(read, KeypointRCNN)
    assert read.config == model.config
    for found, expected in zip(
        read.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_another_number_of_keypoints_is_refused(model, rois, truth):
    y = {**truth, "keypoints": np.zeros((2, 3, 17, 3), "float32")}
    with pytest.raises(ValueError, match="Expected 3 keypoints an object"):
        model.keypoint_targets(rois, y)


def test_an_unknown_normalizer_is_refused():
    with pytest.raises(ValueError, match="'visible', 'all'. Received: 'x'"):
        tiny.keypoint_rcnn(keypoint_normalizer="x")


def test_names_of_another_number_of_keypoints_are_refused():
    with pytest.raises(ValueError, match="Expected 3 keypoint_names"):
        tiny.keypoint_rcnn(keypoint_names=("nose",))
