import math

import numpy as np
import pytest
from PIL import Image

from keras_fair import visualization
from keras_fair.visualization import labels
from keras_fair.visualization import masks as mask_drawing
from tests import shared
from tests.visualization.drawn import (
    BOX,
    RED,
    changed,
    grey,
    objects,
    pixels,
)


def test_a_box_outlines_the_pixels_that_it_covers():
    picture = pixels(visualization.draw_detections(grey(), objects(BOX)))
    assert tuple(picture[60, 20]) == RED  # left column
    assert tuple(picture[60, 179]) == RED  # right column, x2 - 1
    assert tuple(picture[89, 100]) == RED  # bottom row, y2 - 1
    assert tuple(picture[60, 19]) == (128, 128, 128)
    assert tuple(picture[60, 180]) == (128, 128, 128)
    assert tuple(picture[60, 100]) == (128, 128, 128)  # inside


def test_the_given_image_stays_as_it_was():
    image = grey()
    visualization.draw_detections(image, objects(BOX))
    assert (image == 128).all()


@pytest.mark.parametrize(
    "nothing",
    [
        objects(),
        objects(BOX, labels=np.array([-1])),
        objects(BOX, scores=np.array([0.49], "float32")),
        objects((300, 10, 320, 20)),  # right of the image
    ],
    ids=["no rows", "padding", "low score", "outside"],
)
def test_nothing_to_draw_leaves_every_pixel(nothing):
    image = np.random.default_rng(0).integers(0, 256, (60, 80, 3), "uint8")
    picture = visualization.draw_detections(image, nothing)
    np.testing.assert_array_equal(np.asarray(picture), image)


def test_a_score_at_the_threshold_is_drawn():
    found = objects(BOX, scores=np.array([0.25], "float32"))
    picture = visualization.draw_detections(grey(), found, None, 0.25)
    assert changed(picture, grey()).any()


def test_a_mask_tints_its_inside_and_has_an_opaque_outline():
    mask = np.zeros((1, 8, 8), "uint8")
    mask[0, :, 4:] = 1  # the right half of the box: x from 100 on
    found = objects(BOX, masks=mask)
    picture = pixels(visualization.draw_detections(grey(), found))
    tint = mask_drawing.OPACITY
    expected = (1 - tint) * 128 + tint * np.array(RED)
    # Pillow rounds the opacity to 1/255 and the colour to whole numbers.
    np.testing.assert_allclose(picture[60, 140], expected, atol=1.5)
    assert tuple(picture[60, 60]) == (128, 128, 128)
    assert tuple(picture[60, 100]) == RED
    assert tuple(picture[60, 99]) == (128, 128, 128)


def test_mask_probabilities_are_cut_at_one_half():
    masks = np.full((2, 4, 4), 0.49, "float32")
    masks[1] = 0.51
    boxes = [(10, 30, 90, 90), (110, 30, 190, 90)]
    picture = visualization.draw_detections(
        grey(), objects(*boxes, masks=masks)
    )
    inside = changed(picture, grey())[60]
    assert not inside[50]
    assert inside[150]


def test_has_mask_false_draws_the_box_alone():
    masks = np.ones((1, 4, 4), "uint8")
    with_mask = objects(BOX, masks=masks, has_mask=np.array([True]))
    without = objects(BOX, masks=masks, has_mask=np.array([False]))
    picture = visualization.draw_detections(grey(), without)
    alone = visualization.draw_detections(grey(), objects(BOX))
    assert np.array_equal(picture, alone)
    assert changed(visualization.draw_detections(grey(), with_mask), grey())[
        60, 100
    ]


def test_a_mask_without_area_or_partly_outside_is_drawn_where_it_can():
    masks = np.ones((2, 4, 4), "uint8")
    found = objects((50, 50, 50, 80), (150, -40, 260, 60), masks=masks)
    picture = visualization.draw_detections(grey(), found)
    assert changed(picture, grey())[30, 190]


@pytest.mark.parametrize(
    "box", [(0, 0, 200, 100), (190, 95, 230, 140), (-20, -20, 3, 3)]
)
@pytest.mark.parametrize("size", [(100, 200), (12, 60), (480, 640)])
def test_images_of_any_size_keep_it(box, size):
    found = objects(box)
    picture = visualization.draw_detections(grey(*size), found, ["crossing"])
    assert picture.size == size[::-1]


def label_pixels(picture, image, outside):
    """How many pixels changed off the rows and columns of the box."""
    x1, y1, x2, y2 = outside
    off = changed(picture, image)
    off[y1:y2, x1:x2] = False
    return off.sum()


@pytest.mark.parametrize("corner", [(60, 40), (180, 40), (0, 40), (180, 80)])
def test_a_label_at_the_edge_is_as_large_as_in_the_middle(corner):
    x, y = corner
    box = (x, y, x + 20, y + 20)
    middle = (90, 40, 110, 60)
    image = grey()
    names = ["zebra"]
    here = visualization.draw_detections(image, objects(box), names)
    there = visualization.draw_detections(image, objects(middle), names)
    assert label_pixels(here, image, box) == label_pixels(there, image, middle)


def test_a_label_too_long_with_its_score_goes_without():
    scores = np.array([0.9], "float32")
    found = objects((2, 20, 30, 30), scores=scores)
    image = grey(32, 32)
    picture = visualization.draw_detections(image, found, ["disk"])
    alone = objects((2, 20, 30, 30))
    name_only = visualization.draw_detections(image, alone, ["disk"])
    assert np.array_equal(picture, name_only)


def test_a_label_without_room_is_left_out():
    found = objects((2, 2, 6, 6))
    image = grey(8, 8)
    picture = visualization.draw_detections(image, found)
    assert not changed(picture, image)[7].any()


def test_labels_of_one_place_do_not_cover_each_other():
    found = objects(BOX, BOX, labels=np.array([0, 1]))
    picture = pixels(visualization.draw_detections(grey(300, 400), found))
    ground = labels.OPACITY
    for label in (0, 1):
        color = np.array(visualization.class_color(label))
        tint = ground * color + (1 - ground) * 128
        near = np.abs(picture - tint).max(-1) < 3  # rounding
        assert near.sum() > 30


def test_lines_and_text_grow_with_the_image():
    def line_width(scale):
        box = np.array(BOX) * scale
        image = grey(100 * scale, 200 * scale)
        picture = visualization.draw_detections(image, objects(box))
        row = changed(picture, image)[60 * scale]
        return int(row[: 100 * scale].sum())

    assert line_width(1) == 1
    assert line_width(10) == round(math.sqrt(1000 * 2000) / 300)


def test_classes_have_colors_of_their_own():
    colors = [visualization.class_color(label) for label in range(80)]
    assert len(set(colors)) == 80
    first = np.array(colors[:12])
    distance = np.abs(first[:, None] - first).sum(-1) + 999 * np.eye(12)
    assert distance.min() > 60  # of 765: told apart at a glance


def test_a_pillow_image_is_drawn_like_its_array():
    image = Image.fromarray(grey())
    from_image = visualization.draw_detections(image, objects(BOX))
    from_array = visualization.draw_detections(grey(), objects(BOX))
    assert np.array_equal(from_image, from_array)


@pytest.mark.parametrize(
    "image, error, message",
    [
        (np.zeros((9, 9), "uint8"), ValueError, "grey image .* np.stack"),
        (np.zeros((9, 9, 4), "uint8"), ValueError, "RGBA drop the last"),
        (np.zeros((2, 9, 9, 3), "uint8"), ValueError, "Expected one RGB"),
        (np.zeros((0, 9, 3), "uint8"), ValueError, "Expected one RGB"),
        (np.zeros((9, 9, 3), "float32"), TypeError, "uint8 .* float32"),
    ],
)
def test_an_image_that_is_not_rgb_bytes_is_refused(image, error, message):
    with pytest.raises(error, match=message):
        visualization.draw_detections(image, objects())


@pytest.mark.parametrize(
    "change",
    [
        {"boxes": np.zeros((2, 4))},
        {"labels": np.zeros((1, 1), "int32")},
        {"scores": np.zeros(2)},
        {"masks": np.zeros((1, 28))},
        {"has_mask": np.ones(3, "bool")},
        {"keypoints": np.zeros((1, 17, 2))},
        {"keypoints": np.zeros((2, 17, 3))},
    ],
)
def test_rows_that_do_not_match_or_a_batch_are_refused(change):
    name = next(iter(change))
    with pytest.raises(ValueError, match=f"'{name}' of one image as"):
        visualization.draw_detections(grey(), objects(BOX, **change))


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="the keys 'boxes' and 'labels'"):
        visualization.draw_detections(grey(), {"boxes": np.zeros((0, 4))})


def test_a_box_that_is_not_finite_is_refused():
    with pytest.raises(ValueError, match="Expected finite boxes"):
        visualization.draw_detections(grey(), objects((0, 0, np.nan, 9)))


@pytest.mark.parametrize("label", [2, -2])
def test_a_label_without_name_is_refused(label):
    found = objects(BOX, labels=np.array([label]))
    with pytest.raises(ValueError, match="Expected labels below 2"):
        visualization.draw_detections(grey(), found, ["cat", "dog"])


def test_a_real_image_is_drawn_where_its_objects_are():
    path = next(iter(sorted((shared.coco_tiny() / "val2017").iterdir())))
    image = np.asarray(Image.open(path).convert("RGB"))
    height, width, _ = image.shape
    box = (0.25 * width, 0.25 * height, 0.75 * width, 0.75 * height)
    masks = np.ones((1, 28, 28), "float32")
    picture = visualization.draw_detections(image, objects(box, masks=masks))
    difference = changed(picture, image)
    assert difference[height // 2, width // 2]
    assert not difference[height // 2, : width // 8].any()
