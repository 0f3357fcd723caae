"""Losses and detections of the network that proposes masks."""

import functools
import math

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.config import MaskProposalsConfig
from keras_fair.models import MaskProposalNetwork, build_model
from keras_fair.ops import masks as mask_ops
from tests import modes
from tests.models import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.mask_proposals()


@pytest.fixture(scope="module")
def truth():
    return tiny.batch_with_masks()[1]


@pytest.fixture(scope="module")
def outputs(model):
    x, _ = tiny.batch_with_masks()
    return tiny.runner(lambda x: model(x, training=False))(x)


@functools.cache
def loss_runner():
    model = tiny.mask_proposals()
    return tiny.runner(lambda o, y: model.compute_losses(None, y, o, True))


def losses_of(outputs, y):
    return loss_runner()(outputs, y)


@functools.cache
def gradient_runner(num_samples):
    model = tiny.mask_proposals(num_samples=num_samples)

    def losses(given, rest, y):
        outputs = {**rest, **given}
        terms = model.compute_losses(None, y, outputs, True)
        # The scores' gradient is of one term, the hidden features' of the
        # other: the heads' score layer is not run here.
        return terms["score_loss"] + terms["mask_loss"]

    return tiny.gradient_runner(losses)


def gradients_of(outputs, y, num_samples):
    """Return the score loss's gradient in logits, the mask loss's in hidden.

    More samples than there are places: nothing is drawn.
    """
    names = ("objectness", "hidden")
    given = {key: outputs[key] for key in names}
    found = gradient_runner(num_samples)(given, outputs, y)
    return [np.concatenate(list(found[key].values()), axis=1) for key in names]


EVERY_PLACE = 4096  # samples


def test_losses_of_a_head_that_knows_nothing(outputs, truth):
    zeros = {
        key: {name: 0 * value for name, value in outputs[key].items()}
        for key in ("objectness", "hidden")
    }
    terms = losses_of({**outputs, **zeros}, truth)
    # Every probability is one half, of all 32 samples and all their pixels.
    assert terms["score_loss"] == pytest.approx(math.log(2), rel=1e-5)
    assert terms["mask_loss"] == pytest.approx(10 * math.log(2), rel=1e-5)


def test_places_are_sampled_one_positive_to_three_negatives(outputs, truth):
    scores, hidden = gradients_of(outputs, truth, num_samples=12)
    assert (scores != 0).sum(1).tolist() == [12, 12]
    # The gradient of a positive is p - 1. Both images have at least four.
    assert (scores < 0).sum(1).tolist() == [3, 3]
    np.testing.assert_array_equal(hidden.any(-1), scores < 0)


def test_masks_learn_from_positives_alone(model, outputs, truth):
    scores, hidden = gradients_of(outputs, truth, EVERY_PLACE)
    positive = scores < 0
    assert positive.any(1).all() and not positive.all(1).any()
    np.testing.assert_array_equal(hidden.any(-1), positive)
    # What lies in the padding right of and below the image is not drawn.
    inside = [outputs["inside"][group.name] for group in model.groups]
    inside = np.concatenate(inside, axis=1)
    np.testing.assert_array_equal(scores != 0, inside)
    assert inside[0].all() and not inside[1].all()


def test_an_object_without_mask_is_no_background_and_trains_no_mask(
    outputs, truth
):
    y = {**truth, "has_mask": truth["has_mask"].copy()}
    y["has_mask"][1, 0] = False  # of two objects
    y["masks"] = truth["masks"] * y["has_mask"][..., None, None]
    scores, hidden = gradients_of(outputs, truth, EVERY_PLACE)
    same_scores, fewer = gradients_of(outputs, y, EVERY_PLACE)
    np.testing.assert_array_equal(scores, same_scores)
    learned, still = hidden.any(-1), fewer.any(-1)
    np.testing.assert_array_equal(learned[0], still[0])
    assert 0 < still[1].sum() < learned[1].sum()


def test_without_any_mask_the_mask_loss_is_zero(outputs, truth):
    y = {**truth, "has_mask": np.zeros_like(truth["has_mask"])}
    y["masks"] = 0 * truth["masks"]
    boxes_alone = {name: truth[name] for name in ("boxes", "labels")}
    for given in (y, boxes_alone):
        terms = losses_of(outputs, given)
        assert terms["mask_loss"] == 0
        assert terms["score_loss"] > 0


def test_a_target_is_the_objects_mask_in_the_region(model, outputs, truth):
    # The 26 x 30 object at (4, 6) of image 0: size 30, of the 5x5 head on P3
    # (5.66 * 8 = 45) and 3x3 on P3 (32): the latter is nearer.
    group = next(g for g in model.groups if g.name == "3x3_P3")
    start = sum(
        outputs["regions"][g.name].shape[0]
        for g in model.groups[: model.groups.index(group)]
    )
    row = start + 2 * 12 + 2  # the cell at (16, 16), its middle at (20, 20)
    rows = np.int32([[row], [row]])
    target = tiny.runner(model._targets)(
        outputs, rows, np.int32([[0], [0]]), truth
    )[0, 0]
    # The region is 40 pixels from (0, 0), each pixel of the mask 5.
    centers = (np.arange(8) + 0.5) * 5
    u, v = (centers - 4) / 26, (centers - 6) / 30
    # The object is the lower left half of its box.
    depth = np.minimum(v[:, None] - u, np.minimum(u, 1 - v[:, None]))
    sure = np.abs(depth) > 0.2
    np.testing.assert_allclose(target[sure], (depth > 0)[sure], atol=0.05)
    assert ((target > 0.1) & (target < 0.9)).any()  # shares, on the diagonal


def test_detections_have_tight_boxes_and_their_masks(model, outputs):
    found = model.detections(outputs)
    contract.check_detections(found)
    assert found["boxes"].shape == (2, 20, 4)
    assert found["masks"].shape == (2, 20, 16, 16)
    assert (found["num_detections"] > 0).all()
    image_shape = tiny.batch()[0]["image_shape"]
    for image, count in enumerate(found["num_detections"]):
        boxes = found["boxes"][image, :count]
        assert (boxes[:, 2:] > boxes[:, :2]).all() and boxes.min() >= 0
        assert (boxes[:, 2:] <= image_shape[image, ::-1]).all()
        assert not found["masks"][image, count:].any()
        # Each has pixels: near the side of its box, as that is tight.
        masks = found["masks"][image, :count]
        assert (masks >= 0.5).any((1, 2)).all()
        assert not found["labels"][image, :count].any()


def with_masks(model, outputs, masks_of):
    """Run `detect` on given masks, of a place of all groups in image 0."""

    class Given(MaskProposalNetwork):
        def mask_logits(self, outputs, rows):
            return masks_of(rows)

    given = Given(model.config, tiny.backbone())
    image_shape = tiny.batch()[0]["image_shape"]
    run = tiny.runner(lambda o, shape: given.detect(o, shape))
    return run(outputs, image_shape)


def test_a_target_that_is_found_again_is_the_object(outputs, truth):
    model = tiny.mask_proposals(mask_size=28)
    tensors = keras.tree.map_structure(ops.convert_to_tensor, (outputs, truth))

    def masks_of(rows):
        shares = model._targets(*tensors[:1], rows, 0 * rows, tensors[1])
        return ops.log(shares + 1e-6) - ops.log(1.0 - shares + 1e-6)

    # The place in the middle of the object is the best one.
    best = outputs["objectness"]["3x3_P3"].copy()
    best[0, 2 * 12 + 2] = 50.0
    objectness = {**outputs["objectness"], "3x3_P3": best}
    given = {**outputs, "objectness": objectness}
    found = with_masks(model, given, masks_of)
    found, expected = (
        np.asarray(mask_ops.paste_masks(masks[0, :1], boxes[0, :1], 64, 96))[0]
        for masks, boxes in (
            (found["masks"], found["boxes"]),
            (truth["masks"], truth["boxes"]),
        )
    )
    overlap = (found & expected).sum() / (found | expected).sum()
    # A pixel of the mask is 1.4 of the image; the triangle is 30 high.
    assert overlap > 0.95


def test_empty_masks_are_no_detections(model, outputs):
    def masks_of(rows):
        return ops.zeros((*rows.shape, 8, 8)) - 1.0

    found = with_masks(model, outputs, masks_of)
    contract.check_detections(found)
    assert not found["num_detections"].any()


def test_fewer_places_than_detections_are_padded():
    model = tiny.mask_proposals(max_detections=1000)
    x, _ = tiny.batch()  # 64 x 96 pixels: 2 * (384 + 96 + 24 + 6 + 2) places
    x = {
        k: v[:, :32, :32] if k == "images" else 0 * v + 32 for k, v in x.items()
    }
    found = tiny.runner(lambda x: model.detections(model(x)))(x)
    contract.check_detections(found)
    assert found["boxes"].shape == (2, 1000, 4)
    assert (found["num_detections"] <= 2 * (64 + 16 + 4 + 1 + 1)).all()


def test_masks_of_chosen_places_are_those_of_the_heads(model, outputs):
    counts = [outputs["regions"][group.name].shape[0] for group in model.groups]
    starts = np.cumsum([0, *counts])
    rows = np.stack([starts[:-1] + 1, starts[1:] - 1]).astype("int32")
    found = tiny.runner(model.mask_logits)(outputs, rows)
    for number, group in enumerate(model.groups):
        masks = model.heads[group.head].masks(outputs["hidden"][group.name])
        masks = ops.convert_to_numpy(masks)
        # The matrix product of fewer rows may round otherwise.
        np.testing.assert_allclose(
            found[0, number], masks[0, 1 % counts[number]], atol=1e-6
        )
        np.testing.assert_allclose(found[1, number], masks[1, -1], atol=1e-6)


@modes.every_mode
def test_every_mode_finds_the_same(model, outputs, mode):
    x, _ = tiny.batch_with_masks()
    names = list(x)

    def detect(*values):
        return model.detections(model(dict(zip(names, values))))

    found = modes.run(detect, *x.values(), mode=mode)
    expected = model.detections(outputs)
    # Equal scores may change places; sums round otherwise.
    for key in ("scores", "labels", "num_detections"):
        np.testing.assert_allclose(found[key], expected[key], atol=1e-5)
    same = np.abs(found["boxes"] - expected["boxes"]).max(-1) < 0.05
    assert same.mean() > 0.9


def test_the_model_trains_on_a_batch_with_and_without_objects(model):
    names = (*model.loss_names, "l2_loss")

    def losses(x, y):
        outputs = model(x, training=True)
        assert "boxes" not in outputs  # nobody needs them while training
        total = model.compute_loss(x, y, outputs)
        return total, [model.loss_trackers[name].result() for name in names]

    run = tiny.runner(losses)
    for empty in (False, True):
        total, terms = run(*tiny.batch_with_masks(empty=empty))
        assert np.isfinite(terms).all()
        assert total == pytest.approx(sum(terms), rel=1e-5)
        assert (terms[1] == 0) == empty


@pytest.mark.parametrize(
    "jit_compile",
    [  # Minutes: compiled, and step by step on JAX.
        pytest.param(False, marks=modes.only_tensorflow),
        pytest.param(True, marks=pytest.mark.slow),
    ],
)
def test_it_learns_two_images_by_heart(jit_compile):
    model = tiny.mask_proposals(weight_decay=0.0)
    optimizer = keras.optimizers.Adam(5e-3)
    model.compile(optimizer, jit_compile=jit_compile)
    x, y = tiny.batch_with_masks()

    def batches():
        while True:
            yield x, y

    history = model.fit(batches(), steps_per_epoch=12, epochs=8, verbose=0)
    score_loss = history.history["score_loss"]
    mask_loss = history.history["mask_loss"]
    assert score_loss[-1] < 0.5 * score_loss[0]
    assert mask_loss[-1] < 0.6 * mask_loss[0]
    found = model.predict(x, verbose=0)
    contract.check_detections(found)
    truth = y["boxes"][0, 0]
    near = np.abs(found["boxes"][0, :6] - truth).max(-1)
    assert near.min() < 6.0  # pixels, of a box of 26 x 30


def test_a_saved_model_is_the_same(model, tmp_path):
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(read, MaskProposalNetwork)
    assert read.config == model.config
    for found, expected in zip(
        read.get_weights(), model.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


@modes.only_tensorflow
def test_an_exported_model_finds_the_same_at_any_size(model, tmp_path):
    import tensorflow as tf

    model.export(str(tmp_path / "saved"), verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    images = tiny.batch()[0]["images"]
    for batch in (images, images[:1, :50, :70]):
        expected = model.predict_on_batch(batch)
        found = saved.serve(batch)
        assert set(found) == set(expected)
        # Other kernels for free sizes: equal scores may change places.
        np.testing.assert_allclose(
            found["scores"], expected["scores"], atol=1e-5
        )
        difference = np.abs(found["boxes"] - expected["boxes"]).max(-1)
        assert (difference < 0.05).mean() > 0.9


@modes.only_tensorflow
def test_the_number_of_objects_may_be_open_in_a_graph(outputs, truth):
    import tensorflow as tf

    # All places are drawn, so that the order of random numbers is no matter.
    model = tiny.mask_proposals(num_samples=EVERY_PLACE)
    values = keras.tree.map_structure(ops.convert_to_tensor, outputs)

    def losses(y):
        with keras.StatelessScope():
            return model.compute_loss(None, y, values)

    open_y = {
        name: tf.TensorSpec((2, None, *value.shape[2:]), value.dtype)
        for name, value in truth.items()
    }
    dynamic = tf.function(losses, input_signature=[open_y], autograph=False)
    for slots in (0, 3):
        y = {k: tf.constant(v[:, :slots]) for k, v in truth.items()}
        # Sums in another order.
        assert float(dynamic(y)) == pytest.approx(float(losses(y)), rel=1e-5)


def test_bfloat16_trains_and_gives_float32():
    model = tiny.mask_proposals(dtype="mixed_bfloat16")
    x, y = tiny.batch_with_masks()

    def run(x, y):
        loss = model.compute_loss(x, y, model(x, training=True))
        return loss, model.detections(model(x, training=False))

    loss, found = tiny.runner(run)(x, y)
    contract.check_detections(found)
    assert np.isfinite(loss) and loss.dtype == "float32"
    assert found["masks"].dtype == "float32"


def test_the_config_builds_the_network():
    config = tiny.mask_proposals_config()
    assert isinstance(
        build_model(config, backbone=tiny.backbone()), MaskProposalNetwork
    )


def test_the_defaults_are_the_paper_s():
    config = MaskProposalsConfig()
    assert config.pyramid.filters == 128
    levels = config.pyramid.min_level, config.pyramid.max_level
    assert levels == (2, 6)
    assert config.pyramid.coarse == "pool"
    # The 5x5 head alone, of which the 7x7 head is an addition.
    assert (config.windows, config.object_sides) == ((5,), (8.0,))
    assert config.padding == 0.25
    assert (config.head_filters, config.mask_size) == (512, 14)
    assert (config.num_samples, config.positive_fraction) == (128, 0.25)
    assert config.mask_loss_weight == 10.0
    assert config.max_detections == 1000
