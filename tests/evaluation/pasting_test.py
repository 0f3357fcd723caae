"""Both rules against what the libraries paste, and a slow form of each."""

import numpy as np
import pytest

from keras_fair.evaluation import pasting
from tests import shared

HEIGHT, WIDTH = 60, 80


def paste(mask, box, height, width, **rule):
    """Return the whole image, bool [h, w]."""
    image = np.zeros((height, width), bool)
    crop, left, top = pasting.paste_crop(mask, box, height, width, **rule)
    columns, rows = crop.shape
    image[top : top + rows, left : left + columns] = crop.T
    return image


def slow_integer(mask, box, height, width):
    """Torchvision's steps, pixel by pixel; probabilities [h, w]."""
    size = len(mask)
    padded = np.pad(mask, 1)
    box = np.float32(box)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    half = half * np.float32((size + 2) / size)
    first = (centre - half).astype(int)
    extent = np.maximum((centre + half).astype(int) - first + 1, 1)
    image = np.zeros((height, width))
    for y in range(height):
        for x in range(width):
            place = (np.array([x, y]) - first + 0.5) / extent
            if (place > 0).all() and (place < 1).all():
                column, row = np.clip(place * (size + 2) - 0.5, 0, size + 1)
                image[y, x] = bilinear(padded, row, column)
    return image


def bilinear(mask, row, column):
    places = np.arange(len(mask))
    rows = np.maximum(0, 1 - np.abs(places - row))
    columns = np.maximum(0, 1 - np.abs(places - column))
    return rows @ mask @ columns


def test_the_sampled_rule_is_detectron2s():
    golden = shared.fixture("ops_mask_paste.npz")
    size = golden["image_hw"].tolist()
    for row, expected in enumerate(golden["d2_pasted_gt05_first9"]):
        found = paste(
            golden["in_masks_28"][row, 0], golden["in_boxes"][row], *size
        )
        np.testing.assert_array_equal(found, expected)


def test_the_integer_rule_is_torchvisions():
    golden = shared.fixture("ops_mask_paste.npz")
    size = golden["image_hw"].tolist()
    for row, soft in enumerate(golden["tv_pasted"]):
        mask, box = golden["in_masks_28"][row, 0], golden["in_boxes"][row]
        for threshold in (0.25, 0.5, 0.75):
            found = paste(mask, box, *size, rule="integer", threshold=threshold)
            differ = found != (soft > np.float32(threshold))
            # Two float32 interpolations of values up to 1.
            assert (np.abs(soft[differ] - threshold) < 2e-6).all()


@pytest.mark.parametrize("size", [14, 28])
def test_the_integer_rule_holds_for_boxes_of_all_kinds(size):
    random = np.random.default_rng(size)
    for _ in range(12):
        mask = random.uniform(0, 1, (size, size)).astype("float32")
        centre = random.uniform((-5, -5), (WIDTH + 5, HEIGHT + 5))
        sides = np.exp(random.uniform(-1, 4.5, 2))
        box = np.concatenate([centre - sides / 2, centre + sides / 2])
        soft = slow_integer(mask, box, HEIGHT, WIDTH)
        found = paste(mask, box, HEIGHT, WIDTH, rule="integer")
        differ = found != (soft > 0.5)
        assert (np.abs(soft[differ] - 0.5) < 1e-5).all()


@pytest.mark.parametrize(
    ("rule", "is_inside"), [("sampled", 1), ("integer", 0)]
)
def test_only_the_sampled_rule_has_the_threshold_inside(rule, is_inside):
    half = np.full((28, 28), 0.5, "float32")
    found = paste(half, [0, 0, 280, 280], 280, 280, rule=rule)
    # Far from the zero border.
    assert (found[100:180, 100:180] == is_inside).all()


def test_the_rules_differ_by_whole_pixels():
    box = [10.2, 10.7, 20.6, 15.1]
    found = {
        rule: paste(np.ones((28, 28)), box, 30, 30, rule=rule)
        for rule in pasting.RULES
    }
    rows, columns = np.nonzero(found["sampled"])
    assert (rows.min(), rows.max()) == (11, 14)
    assert (columns.min(), columns.max()) == (10, 20)
    # Grown by a fourteenth, 9.83 to 20.97 and 10.54 to 15.26, then cut.
    rows, columns = np.nonzero(found["integer"])
    assert (rows.min(), rows.max()) == (10, 15)
    assert (columns.min(), columns.max()) == (9, 20)


@pytest.mark.parametrize("rule", pasting.RULES)
@pytest.mark.parametrize(
    "box", [[-200, -200, -100, -100], [90, 10, 99, 20], [10, 70, 20, 99]]
)
def test_a_box_outside_the_image_has_no_pixel(rule, box):
    assert not paste(np.ones((28, 28)), box, HEIGHT, WIDTH, rule=rule).any()


def test_an_unknown_rule_is_refused():
    message = "Expected paste as one of sampled, integer. Received: 'box'"
    with pytest.raises(ValueError, match=message):
        paste(np.ones((28, 28)), [0, 0, 4, 4], HEIGHT, WIDTH, rule="box")
