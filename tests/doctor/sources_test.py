"""Data sets of other formats than COCO's json are found and examined."""

import json
import os
import pathlib
import shutil

import pytest

from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import coco, datasets
from keras_fair.doctor import examination, pictures, sources
from keras_fair.doctor import voc as doctor_voc
from tests import shared
from tests.doctor import broken_datasets


def test_a_folder_of_coco_is_all_its_instances(tmp_path):
    (tmp_path / "annotations").mkdir()
    for name in ("train2017", "val2017", "minival"):
        (tmp_path / f"annotations/instances_{name}.json").write_text("{}")
    (tmp_path / "annotations/captions_val2017.json").write_text("{}")
    (tmp_path / "train2017").mkdir()
    (tmp_path / "images" / "val2017").mkdir(parents=True)
    found = sources.of_path(str(tmp_path))
    assert [os.path.relpath(each.images, tmp_path) for each in found] == [
        "minival",  # where it should be
        "train2017",
        "images/val2017",
    ]
    assert found[1].annotations.endswith("instances_train2017.json")


def test_a_folder_of_voc_is_one_data_set(tmp_path):
    (tmp_path / "Annotations").mkdir()
    (found,) = sources.of_path(str(tmp_path))
    assert (found.kind, found.split) == ("voc", doctor_voc.WHOLE)
    assert sources.images_folder(found) == str(tmp_path / "JPEGImages")


@pytest.mark.parametrize("name, reason", [("", ""), ("a", "does not exist")])
def test_another_folder_is_refused(tmp_path, name, reason):
    with pytest.raises(ValueError, match=f"Expected a json, .*{reason}"):
        sources.of_path(str(tmp_path / name))


def test_a_folder_of_real_images_is_found():
    found = sources.of_path(str(shared.coco_tiny()))
    assert len(found) == 2
    assert all(os.path.isdir(each.images) for each in found)


def as_lvis(files) -> None:
    """Write the good data set as LVIS does: no names, no crowds."""
    for number, image in enumerate(files.content["images"]):
        split = ("train2017", "val2017")[number % 2]
        name = image.pop("file_name")
        (files.folder / split).mkdir(exist_ok=True)
        shutil.move(files.folder / name, files.folder / split / name)
        image["coco_url"] = f"http://images.example.org/{split}/{name}"
        image["neg_category_ids"] = [3]
        image["not_exhaustive_category_ids"] = []
    files.content["annotations"].pop()  # the crowd
    for each in files.content["annotations"]:
        del each["iscrowd"]


@pytest.mark.parametrize(
    "kind, notes", [("lvis", set()), (sources.JSON, {"crowd-missing"})]
)
def test_lvis_has_names_in_its_addresses(files, kind, notes):
    as_lvis(files)
    source = SourceConfig(kind, *files.write())
    found = examination.examine_source(source)
    assert set(found.findings.counts) == notes
    assert found.survey.images[10].name == "train2017/a.jpg"


def test_lvis_under_another_kind_has_no_names(files):
    """As training has it, which refuses."""
    as_lvis(files)
    source = SourceConfig("coco", *files.write())
    found = examination.examine_source(source)
    assert found.findings.counts["image-name"] == 4
    with pytest.raises(ValueError, match="expected a file_name"):
        datasets.open_source(source, DataConfig())


def test_an_address_without_a_file_is_named(files):
    as_lvis(files)
    files.content["images"][0]["coco_url"] = "a.jpg"
    files.content["images"][1] = None
    source = SourceConfig("lvis", *files.write())
    counts = examination.examine_source(source).findings.counts
    assert counts["image-name"] == counts["record-type"] == 1


def write_visual_genome(folder: pathlib.Path) -> SourceConfig:
    broken_datasets.write_images(folder / "images")
    images = [
        {
            "image_id": number,
            "url": f"https://example.org/VG_100K/{name}",
            "height": broken_datasets.HEIGHT,
            "width": broken_datasets.WIDTH,
        }
        for number, name in enumerate(broken_datasets.NAMES, start=1)
    ]
    box = {"x": 10, "y": 5, "w": 20, "h": 10}
    groups = [
        {
            "image_id": number,
            "objects": [{"object_id": number, "synsets": ["sofa.n.01"], **box}],
        }
        for number in (1, 2, 3, 4, 9)
    ]
    groups[0]["objects"][0]["w"] = -20
    (folder / "image_data.json").write_text(json.dumps(images))
    (folder / "objects.json").write_text(json.dumps(groups))
    return SourceConfig(
        "visual_genome",
        str(folder),
        str(folder / "images"),
        class_map=(("couch", "sofa"),),
    )


def test_visual_genome_is_read_as_training_reads_it(tmp_path):
    source = write_visual_genome(tmp_path)
    found = examination.examine_source(source)
    assert found.findings.counts == {
        "box-inverted": 1,
        "category-unused": 79,
        "refused": 1,  # image 9 is in one of the files alone
    }
    assert len(found.survey.objects) == 4
    (tmp_path / "objects.json").write_text("[")
    found = examination.examine_source(source)
    (finding,) = found.findings.listed()
    assert finding.code == "source-refused"
    assert "objects.json" in finding.examples[0].detail


@pytest.fixture
def shards(files, tmp_path):
    """The good data set as tensorflow-datasets has it."""
    pytest.importorskip("tensorflow_datasets")
    # Imports tensorflow-datasets.
    from keras_fair.data import instances_builder

    dataset = coco.CocoDataset(
        *files.write(), with_masks=True, with_keypoints=True
    )
    builder = instances_builder.InstancesBuilder(
        {"train": dataset, "val": dataset},
        config="small",
        data_dir=str(tmp_path / "prepared"),
    )
    builder.write()
    (shard,) = pathlib.Path(builder.data_dir).glob("*-train.tfrecord-*")
    return shard


def test_shards_are_examined_as_their_source(shards, examined):
    config = DataConfig(root="", prepared=str(shards.parent))
    (source,) = datasets.sources_of(config, "train")
    found = examination.examine_source(source)
    assert not found.findings.listed()
    assert found.annotations == f"{shards.parent} (train)"
    assert found.classes() == examined.classes()
    example = found.survey.images[10]
    assert example.name.startswith(f"{shards.name}#bytes=")
    found.findings.add("box-thin", image=example.name, annotation=1)
    (finding,) = found.findings.listed()
    assert pictures.draw(found, finding.examples[0]) is not None


def test_a_damaged_image_in_a_shard_is_named(shards):
    content = shards.read_bytes()
    start = content.index(b"\x89PNG")
    damaged = content[: start + 700] + bytes(400) + content[start + 1100 :]
    shards.write_bytes(damaged)
    source = SourceConfig("tfds", str(shards.parent), split="train")
    found = examination.examine_source(source)
    (finding,) = found.findings.listed()
    assert finding.code == "image-corrupt"
    assert shards.name in finding.examples[0].image


def test_a_shard_that_is_cut_is_refused(shards):
    shards.write_bytes(shards.read_bytes()[:-100])
    source = SourceConfig("tfds", str(shards.parent), split="train")
    (finding,) = examination.examine_source(source).findings.listed()
    assert finding.code == "source-refused"
    assert str(shards) in finding.examples[0].detail
