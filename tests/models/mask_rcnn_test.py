"""Mask R-CNN: the mask loss, masks of detections and of given boxes."""

import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.models import MaskRCNN, roi, rpn
from keras_fair.ops import compiled, masks
from tests import modes, reference, shared
from tests.models import tiny
from tests.ops import masks_test

BACKGROUND = 3


def with_decided_masks(model):
    """Give the last layer weights that tell classes and pixels apart."""
    layer = model.mask_head.mask_logits
    kernel = np.random.default_rng(0).normal(size=layer.kernel.shape)
    layer.kernel.assign(0.1 * kernel)
    return model


@pytest.fixture(scope="module")
def model():
    return with_decided_masks(tiny.mask_rcnn())


@pytest.fixture(scope="module")
def detected(model):
    x, _ = tiny.batch_with_masks()
    return tiny.runner(model)(x)


@pytest.fixture(scope="module")
def truth():
    _, y = tiny.batch_with_masks()
    return y


@pytest.fixture(scope="module")
def rois(truth):
    """Two or three RoIs near objects, then background, then padding."""
    index = np.array([[0, 0, 0, 0, 0], [1, 0, 1, 0, 0]], "int32")
    positive = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 0, 0]], bool)
    labels = np.take_along_axis(truth["labels"], index, axis=1)
    labels = np.where(positive, labels, BACKGROUND)
    labels[:, -1] = -1
    boxes = np.take_along_axis(truth["boxes"], index[..., None], axis=1)
    noise = np.random.default_rng(0).normal(0, 4, boxes.shape)
    return roi.Rois(
        (boxes + noise).astype("float32"),
        labels.astype("int32"),
        index,
        positive,
    )


@pytest.fixture(scope="module")
def features():
    rng = np.random.default_rng(0)
    sides = {"P2": (16, 24), "P3": (8, 12), "P4": (4, 6), "P5": (2, 3)}
    return {
        name: rng.normal(size=(2, *sides[name], 8)).astype("float32")
        for name in sides
    }


def paper_loss(logits, rois, y, softmax: bool):
    """Return the average over RoIs with loops. Section 3.

    Args:
        logits: [B, R, 28, 28, K], all masks of each RoI.
    """
    total, count = 0.0, 0
    has_mask = y.get("has_mask", y["labels"] >= 0)
    for image, row in zip(*np.nonzero(rois.positive)):
        index = rois.gt_index[image, row]
        if not has_mask[image, index]:
            continue
        target = masks.crop_masks(
            y["masks"][image, index][None, None],
            y["boxes"][image, index][None, None],
            rois.boxes[image, row][None, None],
            28,
        )
        target = ops.convert_to_numpy(target)[0, 0]
        label = rois.labels[image, row]
        own = logits[image, row]
        if softmax:
            inside = np.where(target, label, BACKGROUND).ravel()
            loss = reference.softmax_cross_entropy(inside, own.reshape(784, -1))
        else:
            own = own[..., label if own.shape[-1] > 1 else 0]
            loss = reference.sigmoid_cross_entropy(target, own)
        total += loss.mean()
        count += 1
    return total / max(count, 1)


VARIANTS = {
    "class": {},
    "agnostic": {"masks": "agnostic"},
    "softmax": {"masks": "softmax"},
    "mlp": {"mask_head": "mlp"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_mask_loss_is_the_papers(name, features, rois, truth):
    variant = tiny.mask_rcnn(**VARIANTS[name])
    if name != "mlp":
        with_decided_masks(variant)

    def all_logits_and_loss(features, rois, y):
        pooled = variant.pool(features, rois.boxes, 14)
        loss = variant.mask_loss(features, rois, y, training=True)
        return variant.mask_head(pooled), loss

    y = {**truth, "has_mask": truth["has_mask"].copy()}
    y["has_mask"][1, 0] = False
    logits, loss = tiny.runner(all_logits_and_loss)(features, rois, y)
    masks_per_roi = {"agnostic": 1, "softmax": 4}.get(name, 3)
    assert logits.shape == (2, 5, 28, 28, masks_per_roi)
    expected = paper_loss(logits, rois, y, softmax=name == "softmax")
    # Averages of float32 terms of one size.
    assert loss == pytest.approx(expected, rel=1e-5)


class GivenLogits(MaskRCNN):
    """Mask R-CNN whose head says what the test wants."""

    def mask_logits(self, features, boxes, labels, training=False):
        return features["logits"]


def test_the_mask_loss_is_near_torchvisions():
    golden = shared.fixture("ops_mask_loss.npz")
    polygons = shared.fixture("ops_mask_targets.npz")
    index = golden["in_match"].astype("int32")
    labels = golden["in_labels_of_gt"][index]
    every = np.ones((1, 6), bool)
    rois = roi.Rois(
        golden["in_proposals"][None],
        labels[None].astype("int32"),
        index[None],
        every,
    )
    y = {
        "boxes": polygons["tight_boxes"][None],
        "labels": golden["in_labels_of_gt"][None].astype("int32"),
        "masks": masks_test.box_frame_masks(polygons, 112)[None],
    }
    logits = golden["in_mask_logits"][np.arange(6), labels][None]
    model = GivenLogits(tiny.mask_rcnn_config(), tiny.backbone())

    def loss(logits, rois, y):
        return model.mask_loss({"logits": logits}, rois, y, training=True)

    # torchvision crops bit masks of the image with interpolation, so targets
    # along the outline lie between 0 and 1; ours are 0 or 1.
    found = tiny.runner(loss)(logits, rois, y)
    assert found == pytest.approx(golden["tv_mask_loss"], rel=0.01)
    found = tiny.gradient_runner(loss)(logits, rois, y)[0]
    expected = golden["tv_mask_grad"][np.arange(6), labels]
    # Where torchvision's target is 0 or 1, so for most of the pixels.
    target = 1 / (1 + np.exp(-logits[0])) - expected * 6 * 784
    decided = np.abs(target - 0.5) > 0.499
    assert decided.mean() > 0.75
    same = np.abs(found - expected)[decided] < 1e-8  # of up to 2e-4
    # Up to 4 % of the targets differ, see masks_test.py.
    assert same.mean() > 0.96


def loss_and_gradients(model, features, rois, y):
    """Return the mask loss and its gradients in features and last kernel."""
    variable = model.mask_head.mask_logits.kernel

    def loss(features_and_kernel, rois, y):
        features, kernel = features_and_kernel
        with keras.StatelessScope(state_mapping=[(variable, kernel)]):
            return model.mask_loss(features, rois, y, training=True)

    values = features, ops.convert_to_numpy(variable)
    value = tiny.runner(loss)(values, rois, y)
    return value, *tiny.gradient_runner(loss)(values, rois, y)


def test_only_the_mask_of_the_true_class_learns(model, features, rois, truth):
    has_mask = truth["labels"] == 0
    y = {**truth, "has_mask": has_mask}
    _, _, kernel = loss_and_gradients(model, features, rois, y)
    assert kernel[..., 0].any()
    assert not kernel[..., 1:].any()


def test_an_object_without_mask_has_exactly_no_gradient(
    model, features, rois, truth
):
    assert truth["labels"].tolist() == [[0, -1, -1], [1, 2, -1]]
    has_mask = truth["has_mask"].copy()
    has_mask[1] = False
    clean = {**truth, "has_mask": has_mask}
    poisoned = {**clean, "masks": truth["masks"].copy()}
    poisoned["masks"][~has_mask] = 1
    loss, features_gradient, kernel = loss_and_gradients(
        model, features, rois, clean
    )
    other = loss_and_gradients(model, features, rois, poisoned)
    assert loss == other[0] > 0
    for name, gradient in features_gradient.items():
        np.testing.assert_array_equal(gradient, other[1][name])
        assert not gradient[1].any()
    assert features_gradient["P2"][0].any()
    np.testing.assert_array_equal(kernel, other[2])
    assert not kernel[..., 1:].any()


def test_without_any_mask_the_loss_and_its_gradient_are_zero(
    model, features, rois, truth
):
    y = {**truth, "has_mask": truth["has_mask"] & False}
    loss, features_gradient, kernel = loss_and_gradients(
        model, features, rois, y
    )
    assert loss == 0 and not kernel.any()
    assert not any(g.any() for g in features_gradient.values())


def roi_losses(model, features, rois, y):
    return tiny.runner(
        lambda *values: model.roi_losses(*values, training=True)
    )(features, rois, y)


def test_the_second_stage_adds_the_masks_of_its_positives(
    model, features, rois, truth
):
    terms = roi_losses(model, features, rois, truth)
    loss, *_ = loss_and_gradients(model, features, rois, truth)
    assert terms["mask_loss"] == pytest.approx(loss, rel=1e-6)
    assert terms["class_loss"] > 0 and terms["box_loss"] > 0


def test_a_data_set_without_masks_trains_boxes(model, features, rois, truth):
    y = {"boxes": truth["boxes"], "labels": truth["labels"]}
    terms = roi_losses(model, features, rois, y)
    assert terms["mask_loss"] == 0
    assert terms["class_loss"] > 0


def test_every_object_has_a_mask_unless_told(model, features, rois, truth):
    y = {key: truth[key] for key in ("boxes", "labels", "masks")}
    without = roi_losses(model, features, rois, y)["mask_loss"]
    told = roi_losses(model, features, rois, truth)["mask_loss"]
    assert without == told


def test_masks_may_train_on_the_objects_own_boxes(features, rois, truth):
    model = tiny.mask_rcnn(train_masks_on_ground_truth_boxes=True)
    with_decided_masks(model)
    found = roi_losses(model, features, rois, truth)["mask_loss"]
    objects = roi.ground_truth_rois(truth)
    objects = roi.Rois(*(ops.convert_to_numpy(part) for part in objects))
    expected, *_ = loss_and_gradients(model, features, objects, truth)
    assert found == pytest.approx(expected, rel=1e-6)
    other, *_ = loss_and_gradients(model, features, rois, truth)
    assert found != pytest.approx(other, rel=1e-4)


def test_detections_have_masks_and_padding_has_none(model, detected):
    found = {key: detected[key] for key in (*contract.DETECTION_KEYS, "masks")}
    contract.check_detections(found)
    assert found["masks"].shape == (2, 100, 28, 28)
    valid = found["labels"] >= 0
    assert 0 < valid.sum() < valid.size
    assert not found["masks"][~valid].any()
    assert 0.0 <= found["masks"][valid].min() < 0.4
    assert 0.6 < found["masks"][valid].max() <= 1.0


def test_masks_of_given_boxes_are_those_of_equal_detections(model, detected):
    x, _ = tiny.batch_with_masks()
    boxes, labels = detected["boxes"][:, :8], detected["labels"][:, :8]
    labels = labels.copy()
    labels[0, 3] = -1
    found = tiny.runner(model.predict_masks)(x, boxes, labels)
    assert not found[0, 3].any()
    found[0, 3] = detected["masks"][0, 3]
    # Another number of RoIs may be summed in another order.
    np.testing.assert_allclose(found, detected["masks"][:, :8], atol=1e-5)


def test_boxes_and_labels_may_be_lists(model):
    images = tiny.batch()[0]["images"][:1]
    boxes, labels = [[[4, 6, 30, 36]]], [[0]]
    found = tiny.runner(
        lambda images: model.predict_masks(images, boxes, labels)
    )(images)
    assert found.shape == (1, 1, 28, 28)


def test_softmax_masks_compete_with_the_background_of_a_pixel():
    model = with_decided_masks(tiny.mask_rcnn(masks="softmax"))
    x, _ = tiny.batch()
    boxes = np.tile(np.float32([4, 6, 30, 36]), (2, 3, 1))
    labels = np.tile(np.int32([0, 1, 2]), (2, 1))
    found = tiny.runner(model.predict_masks)(x, boxes, labels)
    total = found.sum(1)  # the same box, every class
    # The background has the rest, and float32 rounds the sum.
    assert 0.0 <= total.min() < 0.9 and total.max() < 1.0 + 1e-6
    assert (found[:, 0] != found[:, 1]).any()


@modes.only_tensorflow
def test_rows_of_padding_are_left_out_without_effect(
    model, features, rois, truth, detected
):
    x, _ = tiny.batch_with_masks()
    proposals = rpn.Proposals(**detected["proposals"])

    def both(features, proposals, image_shape, detected, rois, y):
        found = model.detect(features, proposals, image_shape)
        return found, model.roi_losses(detected, rois, y, training=True)

    values = (
        detected["features"],
        proposals,
        x["image_shape"],
        features,
        rois,
        truth,
    )
    run = tiny.runner(both)
    found, terms = run(*values)
    with compiled.plain_graph():
        assert not compiled.allows_dynamic_shapes()
        static, static_terms = run(*values)
    np.testing.assert_array_equal(found["labels"], static["labels"])
    # RoIAlign sums in another order there.
    np.testing.assert_allclose(found["masks"], static["masks"], atol=1e-5)
    assert terms == {
        name: pytest.approx(value, rel=1e-5)
        for name, value in static_terms.items()
    }


@modes.only_tensorflow
@pytest.mark.parametrize("on_objects", [False, True])
def test_the_number_of_objects_may_be_open_in_a_graph(
    detected, truth, on_objects
):
    import tensorflow as tf

    # All RoIs are drawn, so that the order of random numbers is no matter.
    model = tiny.mask_rcnn(
        num_samples=64, train_masks_on_ground_truth_boxes=on_objects
    )
    names = ("objectness", "rpn_deltas", "anchors", "features", "proposals")
    outputs = {name: detected[name] for name in names}
    outputs = keras.tree.map_structure(ops.convert_to_tensor, outputs)

    def losses(y):
        with keras.StatelessScope():
            total = model.compute_loss(None, y, outputs)
            return total, model.loss_trackers["mask_loss"].result()

    static = tf.function(losses, autograph=False)
    open_y = {
        name: tf.TensorSpec((2, None, *value.shape[2:]), value.dtype)
        for name, value in truth.items()
    }
    dynamic = tf.function(losses, input_signature=[open_y], autograph=False)
    for slots in (0, 3):
        y = {k: tf.constant(v[:, :slots]) for k, v in truth.items()}
        total, mask_loss = (float(value) for value in dynamic(y))
        assert (mask_loss > 0) == (slots > 0)
        expected = [float(value) for value in static(y)]
        # Sums in another order.
        assert [total, mask_loss] == pytest.approx(expected, rel=1e-5)


def test_bfloat16_trains_and_gives_float32():
    model = tiny.mask_rcnn(dtype="mixed_bfloat16")
    x, y = tiny.batch_with_masks()

    def run(x, y):
        loss = model.compute_loss(x, y, model(x, training=True))
        return loss, model.detections(model(x, training=False))

    loss, found = tiny.runner(run)(x, y)
    contract.check_detections(found)
    assert np.isfinite(loss) and loss.dtype == "float32"
    assert found["masks"].dtype == "float32"


EVERYTHING = {
    "num_samples": 256,  # more than there are RoIs: nothing is random
    "weight_decay": 0.0,
}


def compiled_model(**arguments):
    everything = tiny.proposals(num_samples=8192)  # and than anchors
    model = tiny.mask_rcnn(proposals=everything, **EVERYTHING)
    # The large epsilon keeps rounding out of small gradients.
    optimizer = keras.optimizers.Adam(5e-3, epsilon=1e-3)
    model.compile(optimizer=optimizer, **arguments)
    return model


@pytest.fixture(scope="module")
def trained():
    """A model that learned two images by heart under XLA (minutes).

    Compiling is what takes the time, so it is done once: the model, the
    losses of each step, and the detections at the end.
    """
    model = compiled_model(jit_compile=True)
    x, y = tiny.batch_with_masks()
    history = [model.train_on_batch(x, y, return_dict=True) for _ in range(200)]
    return model, history, model.predict(x, verbose=0)


@pytest.mark.slow
def test_a_compiled_step_is_the_plain_step(trained):
    _, history, _ = trained
    plain = compiled_model(run_eagerly=True)
    x, y = tiny.batch_with_masks()
    for expected in history[:2]:  # before and after one step
        found = plain.train_on_batch(x, y, return_dict=True)
        # Other orders of summation.
        assert found == {
            name: pytest.approx(value, rel=1e-3)
            for name, value in expected.items()
        }


@pytest.mark.slow
def test_compiled_prediction_is_plain_prediction(trained):
    model, _, found = trained
    x, _ = tiny.batch_with_masks()
    outputs = tiny.runner(model)(x)
    for name, value in found.items():
        np.testing.assert_allclose(value, outputs[name], atol=1e-3)


@pytest.mark.slow
def test_masks_of_what_was_seen_are_right(trained):
    _, history, found = trained
    assert history[-1]["mask_loss"] < 0.5 * history[0]["mask_loss"]
    _, y = tiny.batch_with_masks()
    for image, row in zip(*np.nonzero(y["labels"] >= 0)):
        box, label = y["boxes"][image, row], y["labels"][image, row]
        overlaps = reference.pairwise_iou(found["boxes"][image], box[None])
        best = np.where(found["labels"][image] == label, overlaps[:, 0], 0)
        best = best.argmax()
        assert overlaps[best] > 0.7
        target = masks.crop_masks(
            y["masks"][image, row][None, None],
            box[None, None],
            found["boxes"][image, best][None, None],
            28,
        )
        target = ops.convert_to_numpy(target)[0, 0] > 0
        inside = found["masks"][image, best] > 0.5
        # The whole box would have 0.5.
        assert (inside & target).sum() > 0.7 * (inside | target).sum()


def test_a_saved_model_is_the_same(tmp_path):
    model = compiled_model()
    model.optimizer.iterations.assign(7)
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(read, MaskRCNN)
    assert read.config == model.config
    assert int(read.optimizer.iterations) == 7
    for found, expected in zip(
        read.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


WITHOUT_KERAS = """
import sys
sys.modules["keras"] = sys.modules["keras_fair"] = None  # not to be imported
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
for path in sys.argv[2:]:
    found = model.serve(np.load(path))
    np.savez(path + ".npz", **{k: v.numpy() for k, v in found.items()})
"""


@pytest.mark.slow
@modes.only_tensorflow
def test_an_exported_model_needs_neither_keras_nor_this_package(
    model, tmp_path
):
    model.export(str(tmp_path / "saved"), verbose=False)
    images = tiny.batch(size=3)[0]["images"]
    batches = {"three.npy": images, "small.npy": images[:1, :50, :70]}
    for name, batch in batches.items():
        np.save(tmp_path / name, batch)
    subprocess.run(
        [sys.executable, "-I", "-c", WITHOUT_KERAS, "saved", *batches],
        cwd=tmp_path,
        check=True,
    )
    for name, batch in batches.items():
        found = np.load(tmp_path / f"{name}.npz")
        contract.check_detections(dict(found))
        expected = model.predict_on_batch(batch)
        assert sorted(found) == sorted(expected)
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        # RoIAlign sums in another order there: roundings of a pixel, and of
        # a probability.
        np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-3)
        np.testing.assert_allclose(found["masks"], expected["masks"], atol=1e-4)


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("mask_head", "'fcn', 'mlp'"),
        ("masks", "'class', 'agnostic', 'softmax'"),
        ("paste", "'sampled', 'integer'"),
    ],
)
def test_an_unknown_kind_of_mask_is_refused(name, choices):
    with pytest.raises(
        ValueError, match=f"{name} as one of {choices}. Received: 'other'"
    ):
        tiny.mask_rcnn(**{name: "other"})
