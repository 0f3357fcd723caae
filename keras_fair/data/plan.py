"""Which image goes where, in which size: batches planned in NumPy.

A plan knows only the images' sizes. All that is random is drawn here, from
(seed, epoch), so a batch is the same whatever the parallelism and whichever
step a run resumes at. One row is one image of a batch: its view and those of
other images that it is composed with (`views`), C = len(views.COLUMNS)
numbers each.
"""

import numpy as np

from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import repeat_factors, sizes


def evaluation_rows(shapes, config: DataConfig, shard: tuple[int, int]):
    """Plan every image once, unflipped, at the largest short side.

    Args:
        shapes: int [n, 2], heights and widths of the images, pixels.
        config: sizes and canvases.
        shard: (index, count); every count-th image is planned.

    Returns:
        A list of int32 [m, C], one for each canvas in use.

    Raises:
        ValueError: there are fewer images than shards.
    """
    short_side = max(config.short_sides)
    resized = sizes.resized_shapes(
        shapes, short_side, config.max_long_side, config.resize
    )
    is_flipped = np.zeros(len(resized), np.int32)
    windows = np.concatenate([np.zeros_like(shapes), shapes], 1)
    rows = _rows(resized, is_flipped, windows, is_flipped, config)
    rows = rows[shard[0] :: shard[1]]
    if not len(rows):
        raise ValueError(
            f"Expected at most one shard per image. Received: shard {shard} "
            f"of {len(resized)} images."
        )
    groups = sizes.choose_canvas(rows[:, views.SHAPE], config.canvases)
    return [rows[groups == group] for group in np.unique(groups)]


def training_rows(
    shapes,
    config: DataConfig,
    batch_size: int,
    seed: int,
    start_step: int,
    factors=None,
):
    """Plan batches for ever, an epoch's worth at a time.

    Each epoch is a permutation. Its images queue up by canvas; a canvas
    whose queue is full becomes a batch. What is left in the queues at the
    end of an epoch waits there for the next, so no image is lost.

    Args:
        shapes: int [n, 2], heights and widths of the images, pixels.
        config: sizes, canvases and augmentation.
        batch_size: images of a step.
        seed: of the permutations, flips and sizes.
        start_step: so many batches are left out.
        factors: float [n], how often each image is in an epoch on average;
            None is once. See repeat_factors.py.

    Yields:
        int32 [k, batch_size, V * C], k >= 1, V = views.count_views(config).
    """
    waiting = np.zeros((0, views.row_length(config)), np.int32)
    epoch, step = 0, 0
    while True:
        drawn = _draw_epoch(shapes, config, seed, epoch, factors)
        batches, waiting = _fill(
            np.concatenate([waiting, drawn]), config.canvases, batch_size
        )
        skip = min(len(batches), max(0, start_step - step))
        step += len(batches)
        epoch += 1
        if len(batches) > skip:
            yield batches[skip:]


def _draw_epoch(shapes, config: DataConfig, seed: int, epoch: int, factors):
    """Return the epoch's rows, int32 [n, V * C], in random order."""
    rng = np.random.default_rng((seed, epoch))
    all_shapes = shapes
    chosen = np.arange(len(shapes))
    if factors is not None:
        # Its own generator: factors of 1 leave the rest as it is.
        chosen = repeat_factors.draw(
            factors, np.random.default_rng((seed, epoch, 1))
        )
        shapes = shapes[chosen]
    count = len(shapes)
    order = rng.permutation(count)
    drawn = _draw_views(shapes, config, rng)
    drawn[:, 0] = chosen
    return _compose(drawn, all_shapes, config, rng)[order]


def _draw_views(shapes, config: DataConfig, rng):
    """Draw one view of each image, int32 [n, C]."""
    count = len(shapes)
    short_sides = rng.choice(np.asarray(config.short_sides), count)
    jitter = rng.uniform(*config.scale_jitter, count)
    is_flipped = rng.integers(0, 2, count) * config.horizontal_flip
    seeds = rng.integers(0, 2**31, count)
    windows = views.draw_windows(shapes, config.random_crop, rng)
    window_sizes = windows[:, 2:]
    if not config.large_scale_jitter:
        resized = sizes.resized_shapes(
            window_sizes,
            short_sides * jitter,
            config.max_long_side,
            config.resize,
        )
        return _rows(resized, is_flipped, windows, seeds, config)
    (canvas,) = config.canvases
    resized = views.jittered_shapes(
        window_sizes, canvas, config.large_scale_jitter, rng
    )
    drawn = _rows(resized, is_flipped, windows, seeds, config)
    return views.cut(drawn, canvas, rng)


def _compose(drawn, shapes, config: DataConfig, rng):
    """Give each row the views of other images, int32 [n, V * C]."""
    count, rows = len(drawn), [drawn]
    if config.copy_paste:
        records = rng.integers(0, len(shapes), count)
        sources = _draw_views(shapes[records], config, rng)
        sources[:, 0] = records
        rows.append(views.paste_views(drawn, sources, config, rng))
    if config.mosaic:
        records = rng.integers(0, len(shapes), (count, views.MOSAIC_TILES))
        records[:, 0] = drawn[:, 0]
        tiles = _draw_views(shapes[records.ravel()], config, rng)
        tiles[:, 0] = records.ravel()
        tiles = tiles.reshape(count, views.MOSAIC_TILES, -1)
        canvases = drawn[:, views.CANVAS]
        tiles = views.mosaic_views(canvases, tiles, config, rng)
        rows.append(tiles.reshape(count, -1))
    return np.concatenate(rows, 1)


def _rows(resized, is_flipped, windows, seeds, config: DataConfig):
    canvas = sizes.choose_canvas(resized, config.canvases)
    columns = [
        np.arange(len(resized))[:, None],
        is_flipped[:, None],
        resized,
        np.asarray(config.canvases)[canvas],
        windows,
        seeds[:, None],
    ]
    return np.concatenate(columns, 1).astype(np.int32)


def _fill(rows, canvases, batch_size: int):
    """Group a queue of rows into batches of one canvas each.

    Returns:
        int32 [k, batch_size, ...] in the order in which they fill up, and
        the int32 [m, ...] rows that are left, in their order.
    """
    canvas = sizes.choose_canvas(rows[:, views.CANVAS], canvases)
    batches, left = [], []
    for group in range(len(canvases)):
        members = np.flatnonzero(canvas == group)
        full = len(members) // batch_size * batch_size
        batches.append(members[:full].reshape(-1, batch_size))
        left.append(members[full:])
    batches = np.concatenate(batches)  # [k, batch_size] positions in rows
    batches = batches[np.argsort(batches[:, -1])]
    return rows[batches], rows[np.sort(np.concatenate(left))]
