import contextlib
import dataclasses
import json
import os
import pathlib
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import coco, datasets, pipeline, prepared
from tests.data import instances_builder_test

tfds = instances_builder_test.tfds

CONFIG = DataConfig(
    short_sides=(40, 48),
    max_long_side=80,
    canvases=((64, 96), (96, 64)),
    max_objects=4,
    with_masks=True,
    mask_size=14,
    with_keypoints=True,
    keep_empty=True,
)
OPTIONS = {"with_masks": True, "with_keypoints": True}


@pytest.fixture
def source(coco_files):
    coco_files.add_keypoints()
    # Numbers that a normalised float32 does not give back.
    coco_files.content["annotations"][1]["bbox"] = [0.37, 30.1, 4.11, 6.53]
    return coco.CocoDataset(*coco_files.write(), **OPTIONS)


@pytest.fixture
def folder(source, tmp_path):
    splits = {"train": source, "val": source}
    return instances_builder_test.prepare(splits, tmp_path / "out").data_dir


def test_records_come_back_to_the_last_bit(source, folder):
    found = prepared.PreparedDataset(folder, "train", **OPTIONS)
    assert found.category_ids == source.category_ids == (3, 7)
    assert found.class_names == source.class_names
    assert found.keypoint_names == source.keypoint_names
    assert len(found.records) == len(source.records)
    for one, other in zip(found.records, source.records):
        assert (one.image_id, one.height, one.width) == (
            other.image_id,
            other.height,
            other.width,
        )
        for name in ("boxes", "labels", "keypoints"):
            np.testing.assert_array_equal(
                getattr(one, name), getattr(other, name)
            )
        for mask, expected in zip(one.masks, other.masks, strict=True):
            np.testing.assert_array_equal(mask, expected)


def test_training_sees_the_same_bits_and_resumes(source, folder):
    def take(dataset, count, **options):
        batches = pipeline.make_dataset(
            dataset, CONFIG, batch_size=2, training=True, **options
        )
        return list(batches.take(count).as_numpy_iterator())

    shards = prepared.PreparedDataset(folder, "train", **OPTIONS)
    expected = take(source, 6)
    found = take(shards, 4, start_step=2)
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected[2:])


@pytest.fixture
def remote(folder, tmp_path):
    """Move the folder to TensorFlow's file system in memory."""

    def move() -> str:
        remote = f"ram://{tmp_path}/small"
        tf.io.gfile.makedirs(remote)
        for name in os.listdir(folder):
            tf.io.gfile.copy(f"{folder}/{name}", f"{remote}/{name}")
        shutil.rmtree(folder)
        return remote

    return move


def test_remote_shards_give_the_same_bits(folder, remote):
    def take(prepared_folder, split, count):
        config = dataclasses.replace(
            CONFIG, root="/nowhere", prepared=prepared_folder
        )
        batches = pipeline.make_dataset(
            datasets.open_dataset(config, split),
            config,
            batch_size=2,
            training=split == "train",
        )
        return list(batches.take(count).as_numpy_iterator())

    expected = [take(folder, "train", 6), take(folder, "val", -1)]
    moved = remote()
    found = [take(moved, "train", 6), take(moved, "val", -1)]
    tf.nest.map_structure(np.testing.assert_array_equal, found, expected)
    assert all(batch[1]["labels"].max() >= 0 for batch in found[0])


@pytest.mark.parametrize(
    "name, message",
    [
        ("dataset_info.json", "No file ram://.*dataset_info.json"),
        ("instances-train.tfrecord", "Expected 1 files .*Received: 0"),
    ],
)
def test_a_broken_remote_folder_is_explained(remote, name, message):
    moved = remote()
    for each in tf.io.gfile.listdir(moved):
        if name in each:
            tf.io.gfile.remove(f"{moved}/{each}")
    with pytest.raises(FileNotFoundError, match=message):
        prepared.PreparedDataset(moved, "train")


def test_the_evaluator_finds_the_same(source, folder):
    found = prepared.PreparedDataset(folder, "val", **OPTIONS).to_coco()
    truth = source.to_coco()
    assert sorted(found.anns) == sorted(truth.anns) == [1, 2, 3, 4]
    for number, annotation in truth.anns.items():
        other = found.anns[number]
        for key in ("image_id", "category_id", "iscrowd", "keypoints"):
            assert other[key] == annotation[key]
        np.testing.assert_allclose(other["bbox"], annotation["bbox"], 1e-5)
        assert other["area"] == pytest.approx(annotation["area"], rel=1e-6)
    np.testing.assert_array_equal(
        found.annToMask(found.anns[4]), truth.annToMask(truth.anns[4])
    )


def test_a_config_names_the_folder(folder, tmp_path):
    config = dataclasses.replace(
        CONFIG,
        root=str(tmp_path),
        prepared=os.path.relpath(folder, tmp_path),
        mask_classes=("cat",),
    )
    train = datasets.open_dataset(config, "train")
    val = datasets.open_dataset(config, "val", train.class_names)
    # Masks of the other class are withheld from the training only.
    assert train.records[0].masks == (None, None)
    assert train.records[1].masks[0] is not None
    assert val.records[0].masks[0] is not None
    wrong = dataclasses.replace(config, mask_classes=("cow",))
    with pytest.raises(ValueError, match=r"Received: \('cow',\)"):
        datasets.open_dataset(wrong, "train")


def test_shards_are_a_source_of_a_union(folder, coco_files):
    sources = (
        SourceConfig(kind="tfds", annotations=folder, split="train"),
        SourceConfig(
            annotations=coco_files.annotations_path,
            images=coco_files.images_folder,
        ),
    )
    config = dataclasses.replace(CONFIG, train_sources=sources)
    train = datasets.open_dataset(config, "train")
    assert len(train.records) == 6 and train.with_keypoints
    np.testing.assert_array_equal(
        train.records[0].boxes, train.records[3].boxes
    )


def test_shards_are_written_again_from_shards(folder, tmp_path):
    shards = prepared.PreparedDataset(folder, "train", **OPTIONS)
    again = instances_builder_test.prepare(
        {"train": shards}, tmp_path / "again"
    )
    found = prepared.PreparedDataset(again.data_dir, "train", **OPTIONS)
    for one, other in zip(found.records, shards.records, strict=True):
        assert one.image_id == other.image_id
        np.testing.assert_array_equal(one.boxes, other.boxes)


def spoil_nothing(path):
    shutil.rmtree(path)


def spoil_split(path):
    info = json.loads((path / "dataset_info.json").read_text())
    info["splits"] = info["splits"][1:]
    (path / "dataset_info.json").write_text(json.dumps(info))


def spoil_format(path):
    info = json.loads((path / "dataset_info.json").read_text())
    info["fileFormat"] = "array_record"
    (path / "dataset_info.json").write_text(json.dumps(info))


def spoil_labels(path):
    (path / "objects-label.labels.txt").unlink()


def spoil_names(path):
    (path / "objects-label.labels.txt").write_text("cat\ndog\nbird\n")


def spoil_shards(path):
    next(path.glob("*-train.tfrecord-*")).unlink()


def spoil_length(path):
    shard = next(path.glob("*-train.tfrecord-*"))
    shard.write_bytes(shard.read_bytes()[:-9])


def spoil_count(path):
    info = (path / "dataset_info.json").read_text()
    (path / "dataset_info.json").write_text(info.replace('"3"', '"4"'))


@pytest.mark.parametrize(
    "spoil, error, message",
    [
        (spoil_nothing, FileNotFoundError, "No file .*dataset_info.json"),
        (spoil_split, ValueError, "a split of .*: val. Received: 'train'"),
        (spoil_format, ValueError, "file format tfrecord. .*array_record"),
        (spoil_labels, ValueError, "features image and objects"),
        (spoil_names, ValueError, "Expected 2 names .*Received: 3"),
        (spoil_shards, FileNotFoundError, "Expected 1 files .*Received: 0"),
        (spoil_length, ValueError, "cut off .* Copy or prepare it again"),
        (spoil_count, ValueError, "Expected 4 examples .* Received: 3"),
    ],
)
def test_a_broken_folder_is_explained(folder, spoil, error, message):
    spoil(pathlib.Path(folder))
    with pytest.raises(error, match=message):
        prepared.PreparedDataset(folder, "train")


@pytest.mark.parametrize("name", ["dataset_info.json", "metadata.json"])
@pytest.mark.parametrize(
    "text, message",
    [("{", "{} is not complete JSON .*Copy"), ("[1]", "a dict in {}.*: .1.")],
)
def test_json_of_another_shape_is_explained(folder, name, text, message):
    path = pathlib.Path(folder, name)
    path.write_text(text)
    with pytest.raises(ValueError, match=message.format(path)):
        prepared.PreparedDataset(folder, "train")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"splits": 1}',
        '{"splits": [{"shardLengths": ["3"]}]}',
        '{"splits": [{"name": "train", "shardLengths": ["three"]}]}',
        '{"splits": ["train"]}',
    ],
)
def test_splits_of_another_shape_are_explained(folder, text):
    pathlib.Path(folder, "dataset_info.json").write_text(text)
    message = "Expected splits of .*dataset_info.json. Received: .* prepare it"
    with pytest.raises(ValueError, match=message):
        prepared.PreparedDataset(folder, "train")


class Plain(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Has what coco/2017 (is_crowd, ids) or voc (is_difficult) have."""

    name = "plain"
    VERSION = tfds.core.Version("1.0.0")
    code_path = None  # see InstancesBuilder

    def __init__(self, images, with_ids, **options):
        self._images, self._with_ids = images, with_ids
        super().__init__(**options)

    def _info(self):
        features, objects = {}, {"is_difficult": np.bool_}
        if self._with_ids:
            features = {"image/id": np.int64}
            objects = {"id": np.int64, "area": np.int64, "is_crowd": np.bool_}
        objects |= {
            "bbox": tfds.features.BBoxFeature(),
            "label": tfds.features.ClassLabel(names=["aeroplane", "cat"]),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(),
                    "objects": tfds.features.Sequence(objects),
                    **features,
                }
            ),
        )

    def _split_generators(self, dl_manager):
        return {"validation": self._generate_examples()}

    def _generate_examples(self):
        for number, path in enumerate(self._images):
            box = tfds.features.BBox(ymin=0.25, xmin=0.5, ymax=0.5, xmax=1.0)
            entry = {"bbox": box, "label": number % 2}
            example = {"image": path}
            if self._with_ids:
                entry |= {
                    "id": 100 + number,
                    "area": 7,
                    "is_crowd": number == 2,
                }
                example["image/id"] = 50 + number
            else:
                entry["is_difficult"] = number == 2
            example["objects"] = [entry] if number < 3 else []
            yield number, example


@pytest.fixture
def plain(tmp_path):
    """Return a function that writes such a data set of four images."""
    paths = [
        str(tmp_path / name) for name in ("a.png", "b.jpg", "c.png", "d.png")
    ]
    for number, path in enumerate(paths):
        pixels = np.full((40, 60 + 10 * number, 3), 60 * number, np.uint8)
        # A long comment before the size: the header is not at the start.
        Image.fromarray(pixels).save(path, comment=b"x" * 60_000)

    def write(with_ids, images=tuple(paths)):
        builder = Plain(images, with_ids, data_dir=str(tmp_path / "plain"))
        builder.download_and_prepare()
        return builder.data_dir

    return write


def test_a_data_set_shaped_as_coco_gives_boxes(plain):
    dataset = prepared.PreparedDataset(
        plain(True), "validation", with_masks=True
    )
    by_id = {record.image_id: record for record in dataset.records}
    assert sorted(by_id) == [50, 51, 52, 53]
    assert dataset.category_ids == (1, 2)
    assert dataset.class_names == ("aeroplane", "cat")
    np.testing.assert_array_equal(by_id[50].boxes, [[30, 10, 60, 20]])
    np.testing.assert_array_equal(by_id[51].boxes, [[35, 10, 70, 20]])
    assert by_id[51].labels.tolist() == [1] and by_id[51].masks == (None,)
    assert by_id[52].labels.tolist() == []  # crowd
    truth = dataset.to_coco()
    assert truth.anns[102]["iscrowd"] == 1
    assert truth.anns[100]["area"] == 7


def test_a_data_set_shaped_as_voc_gives_boxes(plain):
    dataset = prepared.PreparedDataset(
        plain(False), "validation", class_map={"aeroplane": "airplane"}
    )
    assert [record.image_id for record in dataset.records] == [1, 2, 3, 4]
    assert dataset.class_names == ("airplane", "cat")
    assert sorted(len(r.labels) for r in dataset.records) == [0, 0, 1, 1]
    assert sorted(dataset.to_coco().anns) == [1, 2, 3]


def test_such_a_data_set_trains_beside_one_with_masks(plain, coco_files):
    sources = (
        SourceConfig(kind="tfds", annotations=plain(True), split="validation"),
        SourceConfig(
            annotations=coco_files.write()[0], images=coco_files.images_folder
        ),
    )
    config = dataclasses.replace(
        CONFIG, with_keypoints=False, train_sources=sources
    )
    train = datasets.open_dataset(config, "train")
    assert train.class_names == ("aeroplane", "cat", "dog")
    has_masks = [any(m is not None for m in r.masks) for r in train.records]
    assert has_masks == [False] * 4 + [True, True, False]


def test_a_corrupt_image_is_named_or_skipped(plain, tmp_path):
    (tmp_path / "b.jpg").write_bytes(b"no image")
    folder = plain(True)
    message = "image 'plain-validation.tfrecord.*example .*: corrupt image"
    with pytest.raises(ValueError, match=message):
        prepared.PreparedDataset(folder, "validation")
    dataset = prepared.PreparedDataset(
        folder, "validation", on_bad_record="skip"
    )
    # The image, and no object of it.
    assert dict(dataset.skipped) == {"image": 1}
    assert len(dataset.records) == 3


def test_a_data_set_without_images_is_explained(plain):
    folder = pathlib.Path(plain(True))
    (shard,) = folder.glob("*.tfrecord-*")
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for _ in range(4):
            writer.write(tf.train.Example().SerializeToString())
    with pytest.raises(ValueError, match=r"no feature image; there are \[\]"):
        prepared.PreparedDataset(str(folder), "validation")


def test_a_label_without_a_name_is_refused(plain):
    folder = pathlib.Path(plain(True))
    (folder / "objects-label.labels.txt").write_text("aeroplane\n")
    with pytest.raises(ValueError, match="unknown category 'label 1'"):
        prepared.PreparedDataset(str(folder), "validation")


@pytest.mark.parametrize("seed", range(30))
def test_a_damaged_shard_is_an_error_or_reads(plain, seed):
    folder = pathlib.Path(plain(True))
    (shard,) = folder.glob("*.tfrecord-*")
    content = bytearray(shard.read_bytes())
    rng = np.random.default_rng(seed)
    for position in rng.integers(0, len(content), 50 * (seed + 1)):
        content[position] = rng.integers(0, 256)
    shard.write_bytes(content)
    # Checksums are not computed: what still reads may be wrong.
    with contextlib.suppress(ValueError):
        prepared.PreparedDataset(str(folder), "validation")
