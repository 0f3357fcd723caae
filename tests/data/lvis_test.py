import json
import os

import numpy as np
import pytest

from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import datasets, lvis


@pytest.fixture
def files(coco_files, tmp_path):
    """The small data set as LVIS has it: addresses in the place of names."""
    content = coco_files.content
    for number, image in enumerate(content["images"]):
        split = ("train2017", "val2017")[number % 2]
        name = image.pop("file_name")
        image["coco_url"] = f"http://images.example.org/{split}/{name}"
        image["neg_category_ids"] = [3] if number else []
        image["not_exhaustive_category_ids"] = [7]
        folder = tmp_path / "images" / split
        folder.mkdir(exist_ok=True)
        os.rename(tmp_path / "images" / name, folder / name)
    content["categories"][0]["frequency"] = "r"
    content["categories"][1]["frequency"] = "f"
    content["annotations"].pop()  # the crowd
    for each in content["annotations"]:
        del each["iscrowd"]
    return coco_files


def test_records_are_as_of_coco(files):
    dataset = lvis.LvisDataset(*files.write(), with_masks=True)
    first, second, third = dataset.records
    assert dataset.class_names == ("cat", "dog")
    assert dataset.frequencies == ("f", "r")
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(second.boxes, [[1, 2, 31, 42]])
    assert first.masks[0] is not None and len(third.labels) == 0
    folders = [r.path.split(os.sep)[-2] for r in dataset.records]
    assert folders == ["train2017", "val2017", "train2017"]


def test_remote_files_are_found_by_their_address(files, tmp_path, to_memory):
    local = lvis.LvisDataset(*files.write())
    folder = to_memory(tmp_path)
    remote = lvis.LvisDataset(f"{folder}/instances.json", f"{folder}/images")
    assert [record.path for record in remote.records] == [
        f"ram://{record.path}" for record in local.records
    ]


@pytest.mark.parametrize("folder", ["images", "images/train2017"])
def test_files_may_lie_in_one_folder(files, tmp_path, folder):
    for split in ("train2017", "val2017"):
        for path in (tmp_path / "images" / split).iterdir():
            os.rename(path, tmp_path / folder / path.name)
    annotations, _ = files.write()
    dataset = lvis.LvisDataset(annotations, str(tmp_path / folder))
    assert len(dataset.records) == 3


def test_a_file_name_is_taken_where_there_is_one(files):
    # As in version 0.5.
    files.content["images"][0] |= {"file_name": "train2017/a.png"}
    del files.content["images"][0]["coco_url"]
    dataset = lvis.LvisDataset(*files.write())
    assert dataset.records[0].path.endswith("train2017/a.png")


def test_the_evaluator_finds_what_is_unknown(files):
    truth = lvis.LvisDataset(*files.write(), max_images=2).to_coco()
    assert sorted(truth.imgs) == [10, 11]
    assert truth.imgs[11]["neg_category_ids"] == []
    assert truth.imgs[10]["neg_category_ids"] == [3]
    assert truth.imgs[10]["not_exhaustive_category_ids"] == [7]
    assert truth.cats[7]["frequency"] == "r"
    assert truth.anns[3]["iscrowd"] == 0


@pytest.mark.parametrize("address", [None, 5, "a.png"])
def test_an_image_without_a_file_is_named(files, address):
    files.content["images"][0]["coco_url"] = address
    with pytest.raises(ValueError, match="image 11: expected a coco_url"):
        lvis.LvisDataset(*files.write())


def test_what_is_no_record_is_skipped(files):
    files.content["images"].append("x")
    files.content["images"].append({"id": [5], "coco_url": "a/b.png"})
    files.content["categories"].append({"id": [5]})
    dataset = lvis.LvisDataset(*files.write(), on_bad_record="skip")
    assert dict(dataset.skipped) == {"image": 2, "category": 1}


def test_a_missing_image_is_named(files):
    files.content["images"][0]["coco_url"] = "http://x/train2017/gone.png"
    with pytest.raises(FileNotFoundError, match="image 11: .*gone.png"):
        lvis.LvisDataset(*files.write())


def test_it_is_a_source_of_a_union(files, tmp_path):
    files.write()
    source = SourceConfig(
        kind="lvis", annotations="instances.json", images="images"
    )
    config = DataConfig(root=str(tmp_path), train_sources=(source,) * 2)
    dataset = datasets.open_dataset(config, "train")
    assert len(dataset.records) == 6
    assert json.dumps(dataset.class_names) == '["cat", "dog"]'
