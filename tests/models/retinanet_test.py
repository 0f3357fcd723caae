"""RetinaNet's losses, detections and anchors."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract
from keras_fair.config import PyramidConfig, RetinaNetConfig
from keras_fair.models import RetinaNet
from keras_fair.ops import boxes, matching
from tests.models import tiny


@pytest.fixture(scope="module")
def model():
    return tiny.retinanet()


def as_numpy(outputs):
    return keras.tree.map_structure(ops.convert_to_numpy, outputs)


def losses_of(model, x, y):
    outputs = model(x, training=True)
    y = {key: ops.convert_to_tensor(value) for key, value in y.items()}
    terms = model.compute_losses(x, y, outputs, training=False)
    return {name: float(value) for name, value in terms.items()}


def paper_losses(model, x, y):
    """The losses with loops over anchors, in float64. RetinaNet, sec. 3, 4."""
    outputs = as_numpy(model(x, training=True))
    grid = np.concatenate(list(outputs["anchors"].values()))
    logits = np.concatenate(list(outputs["class_logits"].values()), axis=1)
    deltas = np.concatenate(list(outputs["box_deltas"].values()), axis=1)
    class_loss = box_loss = positives = 0.0
    for image in range(len(logits)):
        real = y["labels"][image] >= 0
        truth, labels = y["boxes"][image][real], y["labels"][image][real]
        iou = ops.convert_to_numpy(boxes.pairwise_iou(grid, truth))
        best = iou.max(1) if real.any() else np.zeros(len(grid))
        forced = (iou == iou.max(0)).any(1) if real.any() else best > 1
        for anchor in range(len(grid)):
            positive = best[anchor] >= 0.5 or forced[anchor]
            if not positive and best[anchor] >= 0.4:
                continue
            gt_index = iou[anchor].argmax() if positive else None
            for label in range(logits.shape[2]):
                z = np.float64(logits[image, anchor, label])
                p = 1 / (1 + np.exp(-z))
                if positive and labels[gt_index] == label:
                    class_loss += -0.25 * (1 - p) ** 2 * np.log(p)
                else:
                    class_loss += -0.75 * p**2 * np.log(1 - p)
            if positive:
                positives += 1
                wanted = boxes.encode_boxes(
                    truth[gt_index][None], grid[anchor][None]
                )
                error = ops.convert_to_numpy(wanted)[0].astype("float64")
                error = np.abs(error - deltas[image, anchor])
                box_loss += np.where(
                    error < 0.11, 0.5 * error**2 / 0.11, error - 0.055
                ).sum()
    positives = max(positives, 1.0)
    return {
        "class_loss": class_loss / positives,
        "box_loss": box_loss / positives,
    }


@pytest.mark.parametrize("empty", [False, True])
def test_losses_are_the_papers(model, empty):
    x, y = tiny.batch(empty=empty)
    expected = paper_losses(model, x, y)
    # Sums of 1,500 float32 terms of one size: 1e-5 is a few roundings.
    assert losses_of(model, x, y) == pytest.approx(expected, rel=1e-5)
    assert (expected["box_loss"] == 0) == empty


def test_every_score_starts_at_the_prior(model):
    # Section 4.1. An image of the mean colour leaves the bias alone.
    x, _ = tiny.batch()
    x["images"][:] = np.rint(model.config.pixels.mean[::-1])
    logits = as_numpy(model(x, training=True))["class_logits"]["P3"]
    scores = 1 / (1 + np.exp(-logits[0]))
    assert scores == pytest.approx(np.full(scores.shape, 0.01), rel=0.01)


def test_padded_ground_truth_does_not_count(model):
    x, y = tiny.batch()
    shorter = {key: value[:, :2] for key, value in y.items()}
    assert losses_of(model, x, shorter) == pytest.approx(losses_of(model, x, y))


def test_ignored_anchors_have_no_gradient(model):
    match = np.array([[matching.IGNORE, matching.NEGATIVE]], "int32")
    labels = np.array([[-1, -1]], "int32")
    one = model.class_loss(labels, match, np.array([[[9.0] * 3, [0.0] * 3]]))
    other = model.class_loss(labels, match, np.array([[[-9.0] * 3, [0.0] * 3]]))
    assert float(one[0]) == float(other[0]) > 0


def test_what_stands_in_the_padding_of_the_canvas_is_ignored(model):
    x, _ = tiny.batch()
    dirty = {**x, "images": x["images"].copy()}
    dirty["images"][-1, :, -20:] = 255
    for name, value in as_numpy(model(x)).items():
        if name in contract.DETECTION_KEYS:
            np.testing.assert_array_equal(
                ops.convert_to_numpy(model(dirty)[name]), value
            )


def test_detections_obey_the_contract_and_stay_in_the_image(model):
    low = tiny.retinanet(score_threshold=0.0)
    x, _ = tiny.batch()
    found = as_numpy(low.detections(low(x)))
    contract.check_detections(found)
    assert found["num_detections"].min() > 0
    height, width = x["image_shape"][-1]
    assert found["boxes"][-1, :, 2].max() <= width
    assert found["boxes"][-1, :, 3].max() <= height


def test_nothing_above_the_threshold_is_an_empty_detection(model):
    x, _ = tiny.batch()
    found = as_numpy(model.detections(model(x)))
    contract.check_detections(found)
    assert found["num_detections"].tolist() == [0, 0]


def test_images_alone_are_images_without_padding(model):
    x, _ = tiny.batch()
    x["image_shape"][:] = tiny.HEIGHT, tiny.WIDTH
    low = tiny.retinanet(score_threshold=0.0)
    alone, full = as_numpy(low(x["images"])), as_numpy(low(x))
    np.testing.assert_array_equal(alone["boxes"], full["boxes"])


def test_an_image_of_any_size_is_padded_to_the_stride(model):
    images = tiny.batch()[0]["images"][:, :50, :70]
    x = {
        "images": np.pad(images, [[0, 0], [0, 14], [0, 26], [0, 0]]),
        "image_shape": np.array([[50, 70]] * 2, "int32"),
    }
    low = tiny.retinanet(score_threshold=0.0)
    alone, padded = as_numpy(low(images)), as_numpy(low(x))
    np.testing.assert_array_equal(alone["scores"], padded["scores"])


def test_bgr_models_read_rgb_images():
    config = tiny.config()
    rgb = dataclasses.replace(config.pixels, channel_order="rgb")
    images = tiny.batch()[0]["images"]
    bgr_model = tiny.retinanet()
    rgb_model = tiny.retinanet(pixels=rgb)
    bgr = as_numpy(bgr_model(images))["class_logits"]["P3"]
    swapped = as_numpy(rgb_model(images[..., ::-1]))["class_logits"]["P3"]
    np.testing.assert_allclose(bgr, swapped, rtol=1e-6)


def test_the_papers_anchor_sizes():
    # Section 4: areas 32^2 to 512^2, three octaves each, so 32 to 813.
    sizes = RetinaNetConfig().anchor_sizes
    assert [round(row[0]) for row in sizes] == [32, 64, 128, 256, 512]
    assert sizes[4][2] == pytest.approx(812.7, abs=0.1)


def test_the_average_of_positives_divides_where_asked():
    model = tiny.retinanet(normalizer="ema")
    x, y = tiny.batch()
    y = {key: ops.convert_to_tensor(value) for key, value in y.items()}
    outputs = model(x, training=True)
    once = model.compute_losses(x, y, outputs, training=True)
    average = float(model.average_positives)
    assert 90.0 < average < 100.0  # 0.9 * 100 + 0.1 * positives
    model.compute_losses(x, y, outputs, training=False)
    assert float(model.average_positives) == average
    batch = tiny.retinanet().compute_losses(x, y, outputs, training=True)
    positives = 10.0 * (average - 90.0)
    assert float(once["class_loss"]) * average == pytest.approx(
        float(batch["class_loss"]) * positives, rel=1e-4
    )


def test_the_average_has_a_start_and_a_momentum():
    model = tiny.retinanet(
        normalizer="ema", normalizer_start=20.0, normalizer_momentum=0.5
    )
    x, y = tiny.batch(empty=True)
    y = {key: ops.convert_to_tensor(value) for key, value in y.items()}
    outputs = model(x, training=True)
    model.compute_losses(x, y, outputs, training=True)
    assert float(model.average_positives) == 10.5  # no positives count as 1


def test_each_image_s_positives_divide_where_asked(model):
    """The loss is then the mean of what each image has alone."""
    own = tiny.retinanet(normalizer="image")
    x, y = tiny.batch()
    found = losses_of(own, x, y)
    alone = [
        losses_of(
            model,
            {key: value[row : row + 1] for key, value in x.items()},
            {key: value[row : row + 1] for key, value in y.items()},
        )
        for row in range(2)
    ]
    for name, value in found.items():
        mean = (alone[0][name] + alone[1][name]) / 2
        assert value == pytest.approx(mean, rel=1e-5), name


@pytest.mark.parametrize(
    ("clip_first", "expected"),
    [
        (True, [[0, 0, 40, 40], [0, 0, 0, 0]]),  # as torchvision
        (False, [[0, 0, 40, 40], [0, 0, 40, 40]]),  # as Detectron2
    ],
)
def test_boxes_overlap_clipped_or_whole(clip_first, expected):
    model = tiny.retinanet(clip_before_nms=clip_first)
    logits = np.full((1, 3, 3), -20.0, "float32")
    logits[0, :, 1] = [3.0, 2.0, 1.0]
    # Of an image of 40 x 40, the second is the first; whole, the two have an
    # overlap of 0.4. The third is outside.
    anchors = [[0, 0, 40, 40], [-60, 0, 40, 40], [-30, -30, -5, -5]]
    outputs = {
        "class_logits": {"P3": ops.convert_to_tensor(logits)},
        "box_deltas": {"P3": ops.zeros((1, 3, 4))},
        "anchors": {"P3": ops.convert_to_tensor(np.float32(anchors))},
    }
    found = as_numpy(model.detect(outputs, np.int32([[40, 40]])))
    assert found["num_detections"].tolist() == [2]
    assert found["boxes"][0, :2].tolist() == expected


def test_giou_is_a_choice(model):
    x, y = tiny.batch()
    giou = losses_of(tiny.retinanet(box_loss="giou"), x, y)["box_loss"]
    assert 0.0 < giou < 2.0
    assert giou != pytest.approx(losses_of(model, x, y)["box_loss"])


def test_anchors_for_another_number_of_levels_are_refused():
    config = tiny.config(pyramid=PyramidConfig(filters=8, max_level=6))
    with pytest.raises(ValueError, match="anchor_sizes for each of P3.*P6"):
        RetinaNet(config, tiny.backbone())


def test_an_unknown_box_loss_is_refused():
    with pytest.raises(
        ValueError, match="box_loss as one of 'smooth_l1', 'giou'"
    ):
        tiny.retinanet(box_loss="l2")
