import dataclasses

import numpy as np
import pytest

from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import plan, sizes

SHAPES = np.array([(60, 90)] * 40 + [(80, 50)] * 40)
CONFIG = DataConfig(
    short_sides=(64,),
    max_long_side=128,
    canvases=((128, 128),),
    with_masks=True,
)
COUNT = 400


def take(**changes):
    """The views of many rows, int [COUNT, V, C]."""
    config = dataclasses.replace(CONFIG, **changes)
    chunks = plan.training_rows(SHAPES, config, 1, 0, 0)
    rows = np.concatenate([next(chunks) for _ in range(COUNT // len(SHAPES))])
    return rows.reshape(COUNT, views.count_views(config), -1)


def assert_inside(rows):
    """Windows lie in their images."""
    start, size = rows[:, views.START], rows[:, views.SIZE]
    assert (start >= 0).all() and (size >= 1).all()
    assert (start + size <= SHAPES[rows[:, 0]]).all()


def scales(rows):
    return rows[:, views.SHAPE] / rows[:, views.SIZE]


def test_without_augmentation_the_window_is_the_image():
    rows = take()[:, 0]
    assert not rows[:, views.START].any()
    np.testing.assert_array_equal(rows[:, views.SIZE], SHAPES[rows[:, 0]])


def test_random_windows_keep_the_least_part_and_reach_the_edges():
    rows = take(random_crop=0.5)[:, 0]
    assert_inside(rows)
    part = rows[:, views.SIZE] / SHAPES[rows[:, 0]]
    assert part.min() >= 0.5 and part.max() == 1.0
    assert 0.7 < part.mean() < 0.8
    # The sides are drawn for themselves.
    assert abs(np.corrcoef(part.T)[0, 1]) < 0.2
    end = rows[:, views.START] + rows[:, views.SIZE]
    assert (end == SHAPES[rows[:, 0]]).any(0).all()
    np.testing.assert_array_equal(
        rows[:, views.SHAPE],
        sizes.resized_shapes(rows[:, views.SIZE], 64, 128),
    )


def test_large_scale_jitter_cuts_and_pads_to_the_canvas():
    rows = take(large_scale_jitter=(0.1, 2.0))[:, 0]
    assert_inside(rows)
    assert (rows[:, views.SHAPE] <= 128).all()
    factor = scales(rows).max(1) / (128 / SHAPES[rows[:, 0]]).min(1)
    # A window of few pixels is rounded to whole ones.
    assert 0.08 < factor.min() < 0.2 and 1.9 < factor.max() < 2.1
    is_small = factor < 0.95
    np.testing.assert_array_equal(
        rows[is_small][:, views.SIZE], SHAPES[rows[is_small][:, 0]]
    )
    is_large = factor > 1.6
    assert (rows[is_large][:, views.SHAPE] == 128).all()
    start = rows[is_large][:, views.START]
    assert len(np.unique(start, axis=0)) > 20


def test_aspect_is_kept():
    for changes in (
        {"large_scale_jitter": (0.5, 2.0)},
        {"random_crop": 0.5},
        {"mosaic": 1.0, "random_crop": 0.6},
    ):
        rows = take(**changes)
        scale = scales(rows[:, -1])
        # Half a pixel of some 25 in either of two roundings.
        np.testing.assert_allclose(scale[:, 0], scale[:, 1], rtol=0.06)


def test_pasted_views_fit_the_image_and_come_as_often_as_asked():
    rows = take(copy_paste=0.5, large_scale_jitter=(0.5, 2.0))
    image, source = rows[:, 0], rows[:, 1]
    is_pasted = source[:, 0] != views.NO_VIEW
    # Four standard deviations.
    assert abs(is_pasted.mean() - 0.5) < 0.1
    assert_inside(source[is_pasted])
    assert (source[:, views.SHAPE] <= image[:, views.SHAPE]).all()
    assert len(np.unique(source[is_pasted][:, 0])) > 60
    assert not source[~is_pasted][:, 1:].any()


def test_mosaic_tiles_fill_the_canvas_round_a_centre():
    rows = take(mosaic=1.0, copy_paste=0.5)
    tiles = rows[:, -4:]
    assert_inside(tiles.reshape(-1, len(views.COLUMNS)))
    upper_left, upper_right, lower_left, lower_right = np.moveaxis(
        tiles[:, :, views.SHAPE], 1, 0
    )
    np.testing.assert_array_equal(upper_left + lower_right, [[128, 128]] * 400)
    np.testing.assert_array_equal(upper_right + lower_left, [[128, 128]] * 400)
    np.testing.assert_array_equal(upper_left[:, 0], upper_right[:, 0])
    np.testing.assert_array_equal(upper_left[:, 1], lower_left[:, 1])
    assert upper_left.min() >= 32 and upper_left.max() <= 96
    np.testing.assert_array_equal(tiles[:, 0, 0], rows[:, 0, 0])
    # No tile is larger than the image would be alone.
    own = 64 / SHAPES[tiles[..., 0]].min(-1)
    cover = (tiles[..., views.SHAPE] / SHAPES[tiles[..., 0]]).max(-1)
    scale = scales(tiles.reshape(-1, len(views.COLUMNS))).max(1)
    assert (scale <= 1.07 * np.maximum(own, cover).ravel()).all()


def test_windows_of_any_shape_must_fit_a_canvas():
    landscape = dataclasses.replace(CONFIG, canvases=((64, 128),))
    shapes = SHAPES[:1]
    sizes.check_sizes(views.possible_shapes(shapes, landscape), landscape)
    cropped = dataclasses.replace(landscape, random_crop=0.5)
    with pytest.raises(ValueError, match="fit none"):
        sizes.check_sizes(views.possible_shapes(shapes, cropped), cropped)
    both = dataclasses.replace(cropped, canvases=((64, 128), (128, 64)))
    sizes.check_sizes(views.possible_shapes(shapes, both), both)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"random_crop": 0.0}, "data.random_crop"),
        ({"random_crop": 1.1}, "data.random_crop"),
        ({"color_jitter": 1.0}, "data.color_jitter"),
        ({"copy_paste": -0.1}, "data.copy_paste"),
        ({"mosaic": 2.0}, "data.mosaic"),
        ({"copy_paste": 0.5, "with_masks": False}, "set data.with_masks"),
        ({"large_scale_jitter": (0.1,)}, r"\(low, high\)"),
        ({"large_scale_jitter": (2.0, 0.1)}, r"\(low, high\)"),
        ({"large_scale_jitter": (0.0, 0.1)}, r"\(low, high\)"),
        (
            {
                "large_scale_jitter": (0.1, 2.0),
                "canvases": ((128, 128), (64, 64)),
            },
            "one canvas",
        ),
    ],
)
def test_impossible_augmentation_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        views.check_augmentation(dataclasses.replace(CONFIG, **changes))


def test_evaluation_has_one_view_of_the_whole_image():
    config = dataclasses.replace(
        CONFIG,
        random_crop=0.5,
        copy_paste=0.5,
        mosaic=0.5,
        color_jitter=0.5,
        large_scale_jitter=(0.1, 2.0),
    )
    assert views.count_views(config) == 6
    plain = views.without_augmentation(config)
    assert plain == CONFIG
    (rows,) = plan.evaluation_rows(SHAPES, plain, (0, 1))
    assert rows.shape == (len(SHAPES), views.row_length(plain))
    np.testing.assert_array_equal(rows[:, views.SIZE], SHAPES)
