import dataclasses

import numpy as np
import pytest

from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import datasets, pipeline
from keras_fair.data.class_splits import VOC_CLASSES
from tests.data import visual_genome_test, voc_files


@pytest.fixture
def config(coco_files, tmp_path):
    """COCO's masks beside boxes of VOC and of Visual Genome."""
    coco_files.write()
    (tmp_path / "voc").mkdir()
    voc_files.Folder(tmp_path / "voc")
    (tmp_path / "vg").mkdir()
    visual_genome_test.Folder(tmp_path / "vg").read()
    return DataConfig(
        root=str(tmp_path),
        train_sources=(
            SourceConfig(annotations="instances.json", images="images"),
            SourceConfig(
                kind="voc", annotations="voc", split="Main/train", masks=False
            ),
            SourceConfig(
                kind="visual_genome",
                annotations="vg",
                images="vg/images",
                split="val",
                coco_val="vg/val.json",
                num_classes=81,
                class_map=(("tree.n.01", "tree"),),
            ),
        ),
        val_annotations="instances.json",
        val_images="images",
        short_sides=(64,),
        max_long_side=96,
        canvases=((64, 96), (96, 64)),
        max_objects=4,
        mask_size=14,
        with_masks=True,
        keep_empty=True,
    )


def test_sources_train_as_one(config):
    dataset = datasets.open_dataset(config, "train")
    assert len(dataset.records) == 3 + 2 + 1
    assert dataset.class_names[:2] == ("cat", "dog")
    assert set(VOC_CLASSES) < set(dataset.class_names)
    assert dataset.class_names[-1] == "tree"
    batches = pipeline.make_dataset(
        dataset, config, batch_size=1, training=False
    )
    has_mask = {
        int(y["image_id"][0]): np.asarray(y["has_mask"][0]) for _, y in batches
    }
    assert has_mask[1].tolist() == [True, False, False, False]
    assert not has_mask[4].any()  # VOC has a PNG, but masks=False
    names = [dataset.class_names[label] for label in dataset.records[5].labels]
    assert names == ["tree", "person"] and not has_mask[6].any()


def test_evaluation_has_the_classes_of_the_training(config):
    train = datasets.open_dataset(config, "train")
    val = datasets.open_dataset(config, "val", train.class_names)
    assert val.class_names == train.class_names
    assert val.category_ids == train.category_ids
    assert len(val.records) == 3


def test_masks_are_withheld_by_the_joint_names(config):
    config = dataclasses.replace(
        config,
        train_sources=(
            dataclasses.replace(
                config.train_sources[0], class_map=(("dog", "puppy"),)
            ),
        ),
        mask_classes=("puppy",),
    )
    train = datasets.open_dataset(config, "train")
    assert train.records[0].masks[0] is not None  # the puppy's
    assert train.records[1].masks == (None,)  # the cat's
    with pytest.raises(ValueError, match=r"Received: \('puppy',\)"):
        datasets.open_dataset(config, "val")  # where it is a dog


def test_without_sources_it_is_coco_s_json(config):
    config = dataclasses.replace(
        config,
        train_sources=(),
        train_annotations="instances.json",
        train_images="images",
        mask_classes=("dog",),
    )
    dataset = datasets.open_dataset(config, "train")
    assert dataset.category_ids == (3, 7)
    assert dataset.records[1].masks == (None,)


def test_an_unknown_kind_is_refused(config):
    sources = (SourceConfig(kind="yolo"),)
    config = dataclasses.replace(config, train_sources=sources)
    with pytest.raises(ValueError, match="Received: 'yolo'"):
        datasets.open_dataset(config, "train")


def with_keypoints(coco_files, config):
    """Return the config of a union with keypoints."""
    coco_files.add_keypoints()
    coco_files.write()
    sources = config.train_sources[:1]
    return dataclasses.replace(
        config, train_sources=sources, val_sources=sources, with_keypoints=True
    )


def test_sources_have_keypoints(coco_files, config):
    config = with_keypoints(coco_files, config)
    for split in ("train", "val"):
        dataset = datasets.open_dataset(config, split)
        assert dataset.keypoint_names == ("nose", "left_eye", "right_eye")
    truth = dataset.to_coco().dataset["annotations"]
    assert [each["num_keypoints"] for each in truth] == [0, 0, 2, 0]
    batches = pipeline.make_dataset(
        dataset, config, batch_size=1, training=False
    )
    found = {
        int(y["image_id"][0]): np.asarray(y["keypoints"]) for _, y in batches
    }
    assert found[2][0, 0, :, 2].tolist() == [2, 1, 0]


def test_keypoints_beside_none_are_refused(coco_files, config):
    sources = config.train_sources
    config = dataclasses.replace(
        with_keypoints(coco_files, config), train_sources=sources
    )
    with pytest.raises(ValueError, match="the same keypoints, all or none"):
        datasets.open_dataset(config, "train")
