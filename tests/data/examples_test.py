import dataclasses

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fair.config import DataConfig
from keras_fair.data import coco, examples, tables, transforms, views

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
