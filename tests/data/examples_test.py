import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import coco, examples, tables, transforms

CONFIG = DataConfig(
    canvases=((128, 128),), max_objects=4, with_masks=True, mask_size=10
)


def read(dataset, row, config=CONFIG):
    """Read one row of a plan as NumPy, in a graph.

    The row goes to the canvas' width: the window is the whole image.
    """
    table = tables.make_table(dataset.records, dataset.keypoint_names)
    record = dataset.records[row[0]]
    row = [*row, 0, 0, record.height, record.width, 0]
    function = tf.function(
        lambda r: examples.read_example(r, dataset, table, config),
        autograph=False,
    )
    example = function(tf.constant(row, tf.int32))
    return tf.nest.map_structure(lambda tensor: tensor.numpy(), example)


def test_example_is_scaled_and_padded(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    x, y, is_readable = read(dataset, [0, 0, 80, 120, 128, 128])
    assert is_readable
    assert x["images"].shape == (128, 128, 3)
    assert x["images"][:80, :120].all(-1).any()
    assert not x["images"][80:].any() and not x["images"][:, 120:].any()
    np.testing.assert_array_equal(x["image_shape"], [80, 120])
    np.testing.assert_array_equal(
        y["boxes"],
        [[20, 10, 60, 30], [1, 60, 9, 73], [0, 0, 0, 0], [0, 0, 0, 0]],
    )
    np.testing.assert_array_equal(y["labels"], [1, 0, -1, -1])
    np.testing.assert_array_equal(y["has_mask"], [1, 0, 0, 0])
    np.testing.assert_array_equal(y["masks"].all((1, 2)), [1, 0, 0, 0])
    np.testing.assert_array_equal(y["masks"].any((1, 2)), [1, 0, 0, 0])
    assert y["image_id"] == 11 and y["image_id"].dtype == np.int64
    np.testing.assert_array_equal(y["original_shape"], [40, 60])


def test_example_is_resized_by_the_configs_rule(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    config = dataclasses.replace(CONFIG, resize="antialias")
    x, _, _ = read(dataset, [0, 0, 13, 20, 128, 128], config)
    image = transforms.read_image(dataset.records[0].path)
    expected = transforms.resize_image(image, [13, 20], "antialias")
    np.testing.assert_array_equal(x["images"][:13, :20], expected)
    plain = transforms.resize_image(image, [13, 20])
    assert (plain != expected).numpy().any()


def test_flip_moves_everything(coco_files):
    triangle = [[10, 5, 30, 15, 10, 15]]
    coco_files.content["annotations"][0]["segmentation"] = triangle
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    straight = read(dataset, [0, 0, 80, 120, 128, 128])
    flipped = read(dataset, [0, 1, 80, 120, 128, 128])
    np.testing.assert_array_equal(
        flipped[0]["images"][:80, :120][:, ::-1],
        straight[0]["images"][:80, :120],
    )
    np.testing.assert_array_equal(flipped[1]["boxes"][0], [60, 10, 100, 30])
    np.testing.assert_array_equal(
        flipped[1]["masks"][:, :, ::-1], straight[1]["masks"]
    )
    assert not np.array_equal(flipped[1]["masks"], straight[1]["masks"])


def test_image_without_objects_is_all_padding(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    _, y, _ = read(dataset, [2, 1, 80, 120, 128, 128])
    assert (y["labels"] == -1).all()
    assert not any(y[key].any() for key in ("boxes", "masks", "has_mask"))


def test_object_that_vanishes_in_resizing_becomes_padding(coco_files):
    # 0.02 pixels wide, at a tenth of the size 0.002.
    coco_files.content["annotations"][0]["bbox"] = [10, 5, 0.02, 10]
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    _, whole, _ = read(dataset, [0, 0, 40, 60, 128, 128])
    _, tenth, _ = read(dataset, [0, 0, 4, 6, 128, 128])
    np.testing.assert_array_equal(whole["labels"], [1, 0, -1, -1])
    np.testing.assert_array_equal(tenth["labels"], [0, -1, -1, -1])
    np.testing.assert_array_equal(tenth["has_mask"], [0, 0, 0, 0])
    np.testing.assert_allclose(tenth["boxes"][0], [0.05, 3, 0.45, 3.65])


def truncate(path):
    content = open(path, "rb").read()
    open(path, "wb").write(content[: len(content) // 2])


def rotate(path):
    Image.open(path).transpose(Image.Transpose.ROTATE_90).save(path)


@pytest.mark.parametrize(
    "spoil, sizes",
    [(truncate, r"\[0 0\] \[40 60\]"), (rotate, r"\[60 40\] \[40 60\]")],
)
def test_unreadable_image_is_named(coco_files, spoil, sizes):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    spoil(dataset.records[0].path)
    message = rf"Corrupt image file(.|\n)*images/a.png\] {sizes}"
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        read(dataset, [0, 0, 80, 120, 128, 128])


@pytest.mark.parametrize("spoil", [truncate, rotate])
def test_unreadable_image_is_skipped_and_counted_once(
    coco_files, caplog, spoil
):
    dataset = coco.CocoDataset(
        *coco_files.write(), with_masks=True, on_bad_record="skip"
    )
    spoil(dataset.records[0].path)
    with caplog.at_level("WARNING", logger="absl"):
        for _ in range(2):
            _, _, is_readable = read(dataset, [0, 0, 80, 120, 128, 128])
            assert not is_readable
    assert dataset.skipped == {"file": 1}
    assert "a.png: corrupt, or of height and width" in caplog.text
    assert read(dataset, [1, 0, 60, 40, 128, 128])[2]


def test_canvas_side_is_static_where_all_share_it(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    table = tables.make_table(dataset.records)
    config = dataclasses.replace(CONFIG, canvases=((128, 96), (128, 128)))
    rows = tf.data.Dataset.from_tensors(np.zeros(len(views.COLUMNS), np.int32))
    spec = rows.map(
        lambda r: examples.read_example(r, dataset, table, config)
    ).element_spec
    assert spec[0]["images"].shape.as_list() == [128, None, 3]
    assert spec[1]["masks"].shape.as_list() == [4, 10, 10]


@pytest.mark.parametrize("is_flipped", [0, 1])
def test_keypoints_are_scaled_flipped_and_padded(coco_files, is_flipped):
    coco_files.add_keypoints()
    dataset = coco.CocoDataset(*coco_files.write(), with_keypoints=True)
    config = DataConfig(
        canvases=((128, 128),), max_objects=2, with_keypoints=True
    )
    # The image of 60 x 40 (height x width), twice as large.
    _, y, _ = read(dataset, [1, is_flipped, 120, 80, 128, 128], config)
    nose, left, nothing = [21, 41, 2], [11, 31, 1], [0, 0, 0]
    if is_flipped:
        expected = [[59, 41, 2], nothing, [69, 31, 1]]
    else:
        expected = [nose, left, nothing]
    np.testing.assert_array_equal(y["keypoints"], [expected, [nothing] * 3])
    assert y["keypoints"].dtype == np.float32


AUGMENTED = dataclasses.replace(CONFIG, copy_paste=1.0, mosaic=1.0)
NOTHING = [views.NO_VIEW, *[0] * (len(views.COLUMNS) - 1)]


def whole(record, shape, seed=0):
    """The view of a whole image of the files, in a shape."""
    size = [(40, 60), (60, 40), (40, 60)][record]
    return [record, 0, *shape, 128, 128, 0, 0, *size, seed]


def reader(dataset, config):
    """Return a function of a row's views, in one graph."""
    table = tables.make_table(dataset.records, dataset.keypoint_names)
    graph = tf.function(
        lambda row: examples.read_example(row, dataset, table, config),
        autograph=False,
    )

    def read_row(*rows):
        example = graph(tf.constant(np.concatenate(rows), tf.int32))
        return tf.nest.map_structure(lambda tensor: tensor.numpy(), example)

    return read_row


def compose(dataset, *rows, config=AUGMENTED):
    """Read one row of several views as NumPy."""
    return reader(dataset, config)(*rows)


def tiles(*records):
    shapes = [(40, 60), (40, 50), (60, 60), (60, 50)]
    return [whole(record, shape) for record, shape in zip(records, shapes)]


def test_window_shows_its_part_of_everything(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    # The object with a mask is the box (10, 5, 30, 15), here cut at 20.
    view = [0, 0, 40, 40, 128, 128, 0, 0, 20, 20, 0]
    x, y, _ = compose(dataset, view, config=CONFIG)
    pixels = transforms.read_image(dataset.records[0].path)[:20, :20]
    expected = transforms.resize_image(pixels, [40, 40])
    np.testing.assert_array_equal(x["images"][:40, :40], expected)
    np.testing.assert_array_equal(x["image_shape"], [40, 40])
    np.testing.assert_array_equal(y["boxes"][0], [20, 10, 40, 30])
    # The other lies below.
    np.testing.assert_array_equal(y["labels"], [1, -1, -1, -1])
    assert y["masks"][0].all()


def test_row_without_companions_is_the_image_alone(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    view = whole(0, (80, 120))
    alone = compose(dataset, view, config=CONFIG)
    found = compose(dataset, view, *[NOTHING] * 5)
    tf.nest.map_structure(np.testing.assert_array_equal, found, alone)


def test_mosaic_takes_the_place_of_the_image(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    x, y, _ = compose(dataset, whole(2, (80, 120)), NOTHING, *tiles(2, 0, 1, 2))
    np.testing.assert_array_equal(x["image_shape"], [100, 110])
    assert x["images"][:100, :110].any(-1).all()
    np.testing.assert_array_equal(y["labels"], [1, 0, 0, -1])
    np.testing.assert_array_equal(y["has_mask"], [1, 0, 1, 0])


def test_four_images_with_too_many_objects_stay_alone(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    view = whole(0, (80, 120))
    alone = compose(dataset, view, config=CONFIG)
    found = compose(dataset, view, NOTHING, *tiles(0, 0, 0, 2))
    tf.nest.map_structure(np.testing.assert_array_equal, found, alone)


@pytest.mark.parametrize("max_objects, count", [(3, 3), (2, 2)])
def test_objects_are_pasted_as_far_as_there_is_room(
    coco_files, max_objects, count
):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    config = dataclasses.replace(
        CONFIG, copy_paste=1.0, max_objects=max_objects
    )
    read_row = reader(dataset, config)
    target = whole(0, (80, 120))
    plain, _, _ = read_row(target, NOTHING)
    counts = []
    for seed in range(6):
        x, y, _ = read_row(target, whole(1, (60, 40), seed))
        counts.append((y["labels"] >= 0).sum())
        is_changed = (x["images"] != plain["images"]).any()
        assert is_changed == (counts[-1] > 2)
    assert max(counts) == count and min(counts) == 2


@pytest.mark.parametrize("place", ["pasted", "tile"])
def test_unreadable_companion_makes_a_row_unreadable(coco_files, place):
    dataset = coco.CocoDataset(
        *coco_files.write(), with_masks=True, on_bad_record="skip"
    )
    truncate(dataset.records[1].path)
    rows = [whole(0, (80, 120)), NOTHING, *[NOTHING] * 4]
    if place == "pasted":
        rows[1] = whole(1, (60, 40))
    else:
        rows[2:] = tiles(0, 2, 1, 2)
    assert not compose(dataset, *rows)[2]
