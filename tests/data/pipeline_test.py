import dataclasses
import itertools

import numpy as np
import pytest
import tensorflow as tf

from keras_fair import contract
from keras_fair.config import DataConfig
from keras_fair.data import coco, pipeline, synthetic, transforms
from tests import shared

CONFIG = DataConfig(
    train_annotations="annotations/instances_train.json",
    train_images="train",
    val_annotations="annotations/instances_val.json",
    val_images="val",
    short_sides=(64, 80),
    max_long_side=112,
    canvases=((96, 128), (128, 96)),
    scale_jitter=(0.8, 1.1),
    max_objects=8,
    with_masks=True,
    mask_size=14,
)


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("data") / "shapes")
    sizes = ((64, 90), (90, 64), (64, 64))
    synthetic.write_shapes(folder, 21, 7, image_sizes=sizes)
    return dataclasses.replace(CONFIG, root=folder)


@pytest.fixture(scope="module")
def train(config):
    return coco.CocoDataset.from_config(config, "train")


def take(dataset, config, count, **arguments):
    """The first training batches, as NumPy, checked against the contract."""
    batches = pipeline.make_dataset(dataset, config, training=True, **arguments)
    return [check(b, dataset) for b in batches.take(count)]


def evaluate(dataset, config, **arguments):
    batches = pipeline.make_dataset(
        dataset, config, training=False, **arguments
    )
    return [check(batch, dataset) for batch in batches]


@pytest.fixture(scope="module")
def trained(train, config):
    """The first 40 batches of seed 0."""
    return take(train, config, 40, batch_size=4)


@pytest.fixture(scope="module")
def evaluated(train, config):
    return evaluate(train, config, batch_size=4)


def check(batch, dataset):
    x, y = tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
    contract.check_inputs(x)
    contract.check_targets(y, len(dataset.class_names))
    limit = np.tile(x["image_shape"][:, ::-1], 2)[:, None]
    assert (y["boxes"] >= 0).all() and (y["boxes"] <= limit).all()
    for image, (height, width) in zip(x["images"], x["image_shape"]):
        assert not image[height:].any() and not image[:, width:].any()
    return x, y


def assert_equal(batches, others):
    assert len(batches) == len(others)
    tf.nest.map_structure(np.testing.assert_array_equal, batches, others)


def image_ids(batches):
    return np.concatenate([y["image_id"] for _, y in batches])


def test_training_batches_are_full_and_of_one_canvas(trained):
    assert all(len(x["images"]) == 4 for x, _ in trained)
    shapes = {x["images"].shape[1:3] for x, _ in trained}
    assert shapes == {(96, 128), (128, 96)}


def test_every_image_trains_equally_often(trained):
    counts = np.unique(image_ids(trained), return_counts=True)[1]
    # 160 images of 21; at most 3 wait for each of the 2 canvases.
    assert len(counts) == 21
    assert counts.min() >= 160 // 21 - 2 and counts.max() <= 160 // 21 + 2


def test_rare_classes_train_more_often(train, config):
    rare = min(
        range(3), key=lambda k: sum(k in r.labels for r in train.records)
    )
    shown = {r.image_id for r in train.records if rare in r.labels}
    config = dataclasses.replace(config, repeat_threshold=1.0)
    batches = take(train, config, 40, batch_size=4)
    ids, counts = np.unique(image_ids(batches), return_counts=True)
    is_shown = np.isin(ids, list(shown))
    assert 0 < len(shown) < 21
    assert counts[is_shown].mean() > counts[~is_shown].mean()
    resumed = take(train, config, 3, batch_size=4, start_step=30)
    assert_equal(resumed, batches[30:33])


def test_same_seed_gives_the_same_bits(trained, train, config):
    assert_equal(take(train, config, 8, batch_size=4), trained[:8])


def test_resumed_training_sees_the_same_bits(trained, train, config):
    resumed = take(train, config, 3, batch_size=4, start_step=30)
    assert_equal(resumed, trained[30:33])


def test_other_seed_gives_other_batches(trained, train, config):
    others = take(train, config, 3, batch_size=4, seed=1)
    assert (image_ids(others) != image_ids(trained[:3])).any()


def test_shards_are_the_parts_of_one_batch(trained, train, config):
    for index in range(2):
        part = take(train, config, 4, batch_size=2, shard=(index, 2))
        rows = slice(2 * index, 2 * index + 2)
        assert_equal(
            part,
            tf.nest.map_structure(lambda a, r=rows: a[r], trained[:4]),
        )


def test_single_canvas_is_static_and_iterations_start_again(train, config):
    config = dataclasses.replace(config, canvases=((128, 128),))
    dataset = pipeline.make_dataset(train, config, batch_size=4, training=True)
    x, y = dataset.element_spec
    assert x["images"].shape.as_list() == [4, 128, 128, 3]
    assert y["boxes"].shape.as_list() == [4, 8, 4]
    assert y["masks"].shape.as_list() == [4, 8, 14, 14]
    first, second = (
        [y["image_id"].numpy() for _, y in dataset.take(3)] for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


def test_evaluation_gives_every_image_once(evaluated):
    assert sorted(image_ids(evaluated)) == list(range(1, 22))
    for x, _ in evaluated:
        assert x["image_shape"].min(1).max() <= 80


def test_evaluation_on_one_canvas_keeps_the_order(train, config):
    config = dataclasses.replace(config, canvases=((128, 128),))
    batches = evaluate(train, config, batch_size=4)
    np.testing.assert_array_equal(image_ids(batches), np.arange(1, 22))
    assert [len(x["images"]) for x, _ in batches] == [4, 4, 4, 4, 4, 1]


def test_evaluation_takes_its_shard(train, config):
    batches = evaluate(train, config, batch_size=4, shard=(1, 3))
    assert sorted(image_ids(batches)) == list(range(2, 22, 3))


def test_boxes_come_back_to_the_original_pixels(evaluated, train):
    truth = {r.image_id: r.boxes for r in train.records}
    for x, y in evaluated:
        back = transforms.to_original(
            y["boxes"], x["image_shape"], y["original_shape"]
        )
        for image_id, boxes, labels in zip(y["image_id"], back, y["labels"]):
            # Two float32 roundings of numbers up to 112.
            np.testing.assert_allclose(
                boxes[labels >= 0], truth[image_id], atol=2e-5
            )


def test_mask_fills_as_much_of_its_box_as_the_shape(evaluated, train):
    truth = train.to_coco()
    for _, y in evaluated:
        for image_id, masks in zip(y["image_id"], y["masks"]):
            ids = truth.getAnnIds(imgIds=[image_id])
            for annotation, mask in zip(truth.loadAnns(ids), masks):
                width, height = annotation["bbox"][2:]
                share = annotation["area"] / (width * height)
                # 14 x 14 samples: 4 standard deviations of 14 edge cells.
                assert abs(mask.mean() - share) < 4 * 14**0.5 / 14**2


def test_masks_are_left_out_unless_wanted(train, config):
    config = dataclasses.replace(config, with_masks=False)
    _, y = take(train, config, 1, batch_size=4)[0]
    assert "masks" not in y and "has_mask" not in y


def small(**changes):
    values = {"short_sides": (64,), "canvases": ((96, 96),), **changes}
    return DataConfig(max_long_side=96, max_objects=4, **values)


def test_empty_images_train_only_if_wanted(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    without = take(dataset, small(), 6, batch_size=2)
    kept = take(dataset, small(keep_empty=True), 6, batch_size=2)
    assert set(image_ids(without)) == {10, 11}
    assert set(image_ids(kept)) == {10, 11, 12}
    evaluated = evaluate(dataset, small(), batch_size=2)
    np.testing.assert_array_equal(image_ids(evaluated), [11, 10, 12])


def test_nothing_to_train_on_is_an_error(coco_files):
    coco_files.content["annotations"] = []
    dataset = coco.CocoDataset(*coco_files.write())
    with pytest.raises(ValueError, match="no image to train on.*keep_empty"):
        take(dataset, small(), 1, batch_size=1)


def test_too_many_objects_name_the_setting(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    config = dataclasses.replace(small(), max_objects=1)
    with pytest.raises(
        ValueError, match="image 11 has 2 objects; raise data.max_objects"
    ):
        take(dataset, config, 1, batch_size=1)


def test_masks_must_have_been_read(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    with pytest.raises(ValueError, match="read with masks, as data.with_masks"):
        take(dataset, small(with_masks=True), 1, batch_size=1)


def test_keypoints_must_have_been_read(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    with pytest.raises(ValueError, match="as data.with_keypoints is set"):
        take(dataset, small(with_keypoints=True), 1, batch_size=1)


def test_images_with_keypoints_train_keypoints(coco_files):
    coco_files.add_keypoints()
    dataset = coco.CocoDataset(*coco_files.write(), with_keypoints=True)
    batches = take(dataset, small(with_keypoints=True), 2, batch_size=2)
    assert image_ids(batches).tolist() == [10] * 4
    for _, y in batches:
        assert y["keypoints"].shape[2:] == (3, 3)


@pytest.mark.parametrize(
    "arguments",
    [{"batch_size": 0}, {"start_step": -1}, {"shard": (2, 2)}],
)
def test_impossible_arguments_are_refused(coco_files, arguments):
    dataset = coco.CocoDataset(*coco_files.write())
    arguments = {"batch_size": 1, **arguments}
    with pytest.raises(ValueError, match="Expected batch_size >= 1"):
        take(dataset, small(), 1, **arguments)


def spoil(dataset, *indices):
    for index in indices:
        with open(dataset.records[index].path, "r+b") as file:
            file.truncate(100)


def test_corrupt_file_stops_training_by_name(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    spoil(dataset, 0)
    with pytest.raises(tf.errors.InvalidArgumentError, match="images/a.png"):
        take(dataset, small(), 3, batch_size=2)


def test_skipped_file_is_replaced_in_training(coco_files):
    files = coco_files.write()
    dataset = coco.CocoDataset(*files, on_bad_record="skip")
    spoil(dataset, 0)
    batches = take(dataset, small(keep_empty=True), 6, batch_size=3)
    assert set(image_ids(batches)) == {10, 12}
    assert dataset.skipped == {"file": 1}


def test_skipped_file_is_left_out_of_evaluation(coco_files):
    files = coco_files.write()
    dataset = coco.CocoDataset(*files, on_bad_record="skip")
    spoil(dataset, 0)
    batches = evaluate(dataset, small(), batch_size=2)
    np.testing.assert_array_equal(image_ids(batches), [10, 12])


def test_batch_without_a_readable_image_is_an_error(coco_files):
    files = coco_files.write()
    dataset = coco.CocoDataset(*files, on_bad_record="skip")
    spoil(dataset, 0, 1)
    with pytest.raises(tf.errors.InvalidArgumentError, match="No image of"):
        take(dataset, small(), 1, batch_size=2)


def test_distribution_strategy_takes_the_batches(trained, train, config):
    device = tf.config.list_logical_devices("CPU")[0].name
    strategy = tf.distribute.MirroredStrategy([device])
    dataset = pipeline.make_dataset(train, config, batch_size=4, training=True)
    batches = iter(strategy.experimental_distribute_dataset(dataset))
    got = [next(batches)[1]["image_id"].numpy() for _ in range(3)]
    np.testing.assert_array_equal(np.concatenate(got), image_ids(trained[:3]))


@pytest.mark.parametrize("training", [True, False])
def test_real_images_obey_the_contract(training):
    config = DataConfig(
        root=str(shared.coco_tiny()),
        short_sides=(96, 128),
        max_long_side=192,
        canvases=((128, 192), (192, 128)),
        with_masks=True,
        mask_size=28,
        max_images=24,
    )
    dataset = coco.CocoDataset.from_config(config, "val")
    batches = pipeline.make_dataset(
        dataset, config, batch_size=4, training=training
    )
    checked = [check(b, dataset) for b in itertools.islice(batches, 8)]
    assert sum(len(x["images"]) for x, _ in checked) >= 24
