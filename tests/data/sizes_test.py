import itertools
import math

import numpy as np
import pytest

from keras_fair.config import DataConfig
from keras_fair.data import sizes

CONFIG = DataConfig(
    short_sides=(64, 96),
    max_long_side=128,
    canvases=((128, 128), (96, 128), (128, 96)),
    scale_jitter=(0.8, 1.2),
)
SHAPES = np.array([(60, 90)] * 7 + [(80, 50)] * 5 + [(70, 70)])


def detectron2_shape(height, width, size, max_size):
    """Detectron2's rule, written out for one image."""
    scale = size / min(height, width)
    new_height, new_width = scale * height, scale * width
    if max(new_height, new_width) > max_size:
        scale = max_size / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return int(new_height + 0.5), int(new_width + 0.5)


@pytest.mark.parametrize("short_side, max_long_side", [(800, 1333), (65, 97)])
def test_resizing_rounds_as_detectron2(short_side, max_long_side):
    shapes = np.random.default_rng(0).integers(20, 900, (500, 2))
    resized = sizes.resized_shapes(shapes, short_side, max_long_side)
    expected = [
        detectron2_shape(*shape, short_side, max_long_side)
        for shape in shapes.tolist()
    ]
    np.testing.assert_array_equal(resized, expected)


def torchvision_shape(height, width, size, max_size):
    """Torchvision's rule, written out for one image."""
    sides = height, width
    scale = min(size / min(sides), max_size / max(sides))
    return math.floor(height * scale), math.floor(width * scale)


@pytest.mark.parametrize("short_side, max_long_side", [(800, 1333), (65, 97)])
def test_floor_rounds_as_torchvision(short_side, max_long_side):
    shapes = np.random.default_rng(0).integers(20, 900, (500, 2))
    resized = sizes.resized_shapes(shapes, short_side, max_long_side, "floor")
    expected = [
        torchvision_shape(*shape, short_side, max_long_side)
        for shape in shapes.tolist()
    ]
    np.testing.assert_array_equal(resized, expected)


@pytest.mark.parametrize("rule", ["bilinear", "floor"])
def test_resized_side_is_never_zero(rule):
    resized = sizes.resized_shapes([(1, 5000)], 100, 100, rule)
    np.testing.assert_array_equal(resized, [(1, 100)])


def test_smallest_canvas_that_holds_the_image_is_chosen():
    shapes = [(96, 128), (97, 96), (96, 96), (97, 97), (129, 1)]
    chosen = sizes.choose_canvas(shapes, CONFIG.canvases)
    np.testing.assert_array_equal(chosen, [1, 2, 1, 0, -1])


@pytest.mark.parametrize(
    "change, message",
    [
        (
            {"canvases": ((96, 128),)},
            r"5 images fit none .* canvas \(128, 96\)",
        ),
        ({"canvases": ((100, 128),)}, "divide by 32"),
        ({"canvases": ()}, "pairs"),
        ({"short_sides": ()}, "above 0"),
        ({"short_sides": (0,)}, "above 0"),
        ({"max_long_side": 0}, "above 0"),
        ({"scale_jitter": (0.0, 1.0)}, "above 0"),
        ({"scale_jitter": (1.2, 0.8)}, r"\(low, high\)"),
    ],
)
def test_impossible_sizes_are_refused(change, message):
    values = {
        "short_sides": (64, 96),
        "max_long_side": 128,
        "canvases": ((128, 128),),
        **change,
    }
    with pytest.raises(ValueError, match=message):
        sizes.check_sizes(SHAPES, DataConfig(**values))


def test_a_config_at_its_own_short_side_keeps_its_sizes():
    config = DataConfig()

    assert sizes.at_short_side(config, 800) == config


def test_canvases_follow_the_short_side():
    config = sizes.at_short_side(DataConfig(short_sides=(640, 800)), 400)

    assert config.short_sides == (400,)
    assert config.max_long_side == 666
    # 400, 544 and 672 in multiples of 32.
    assert config.canvases == ((416, 544), (544, 416), (416, 672), (672, 416))


@pytest.mark.parametrize("short_side", range(400, 1300, 100))
def test_every_image_fits_the_canvases_of_every_short_side(short_side):
    sides = np.unique(np.geomspace(30, 3000, 40).astype(int))
    shapes = np.array(list(itertools.product(sides, sides)))

    sizes.check_sizes(shapes, sizes.at_short_side(DataConfig(), short_side))


def test_a_short_side_without_pixels_is_an_error():
    with pytest.raises(ValueError, match="1 pixel or more. Received: 0"):
        sizes.at_short_side(CONFIG, 0)
