"""One row of a plan, from the files to the contract, in TensorFlow."""

import functools

import tensorflow as tf

from keras_fair import contract
from keras_fair.augmentation import composition, scenes, views, windows
from keras_fair.config import DataConfig
from keras_fair.data import scene_reader, tables, transforms


def read_example(row, dataset, table: tables.Table, config: DataConfig):
    """Read one row of a plan.

    Args:
        row: int32 [V * C], V = views.count_views(config) times the C
            columns of `views.COLUMNS`.
        dataset: for its name and its count of skipped images.
        table: the records.
        config: sizes, augmentation and limits.

    Returns:
        x and y of contract.py without the batch dimension, and bool: False
        where an image file is unreadable and to be skipped.
    """
    # A function of its own, so that all views share one graph.
    read = tf.function(
        functools.partial(
            scene_reader.read_scene, dataset=dataset, table=table, config=config
        ),
        input_signature=[tf.TensorSpec([len(views.COLUMNS)], tf.int32)],
        autograph=False,
    )
    view, *others = tf.unstack(
        tf.reshape(row, [views.count_views(config), len(views.COLUMNS)])
    )
    # Each step is added where the config has it, and taken where the row has.
    compose = functools.partial(read, view)
    if config.copy_paste:
        compose = functools.partial(
            _paste, compose, others.pop(0), read, table, config
        )
    if config.mosaic:
        compose = functools.partial(
            _mosaic, compose, others, read, table, config
        )
    scene = compose()
    image, objects = scene["image"], scene["objects"]
    padded = transforms.pad_image(image, view[views.CANVAS])
    padded.set_shape([*_static_canvas(config), 3])
    x = {"images": padded, "image_shape": tf.shape(image)[:2]}
    y = {
        key: _pad_rows(rows, config.max_objects, key)
        for key, rows in objects.items()
        if key != "number"
    }
    y["image_id"] = table.image_ids[view[0]]
    y["original_shape"] = table.shapes[view[0]]
    return x, y, scene["is_readable"]


def _paste(compose, view, read, table: tables.Table, config) -> dict:
    """Paste objects of a view onto the scene, as many as there is room."""
    scene = compose()

    def pasted():
        source = read(view)
        shape = tf.shape(source["image"])[:2]
        room = config.max_objects - tf.size(scene["objects"]["labels"])
        seed = view[views.SEED]
        is_chosen = composition.choose_sources(source["objects"], room, seed)
        chosen = scenes.select(source["objects"], is_chosen)
        runs = tables.object_runs(table, view[0])
        covered = windows.draw_union(runs, chosen["number"])
        covered = scenes.view_mask(covered, view)
        place = composition.choose_place(
            shape, tf.shape(scene["image"])[:2], seed
        )
        source = {**source, "objects": chosen}
        return composition.paste(scene, source, covered, place)

    return tf.cond(view[0] == views.NO_VIEW, lambda: scene, pasted)


def _mosaic(compose, tiles: list, read, table: tables.Table, config) -> dict:
    """Return a mosaic, or the scene, where four have too many objects."""
    first = tf.maximum([tile[0] for tile in tiles], 0)
    counts = table.object_splits[1:] - table.object_splits[:-1]
    total = tf.reduce_sum(tf.gather(counts, first))
    is_mosaic = (tiles[0][0] != views.NO_VIEW) & (total <= config.max_objects)
    return tf.cond(
        is_mosaic,
        lambda: composition.mosaic([read(tile) for tile in tiles]),
        compose,
    )


def _static_canvas(config: DataConfig) -> list:
    """Return the height and width that all canvases share, or None."""
    sides = [set(sides) for sides in zip(*config.canvases)]
    return [side.pop() if len(side) == 1 else None for side in sides]


def _pad_rows(rows, count: int, key: str):
    missing = count - tf.shape(rows)[0]
    padding = [[0, missing]] + [[0, 0]] * (rows.shape.rank - 1)
    value = contract.PADDING_LABEL if key == "labels" else 0
    value = tf.cast(value, rows.dtype)
    padded = tf.pad(rows, padding, constant_values=value)
    return tf.ensure_shape(padded, [count, *rows.shape[1:]])
