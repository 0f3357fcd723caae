import json
import pathlib

import numpy as np
import pytest
from PIL import Image
from pycocotools import coco as pycoco

from keras_fair.data import coco, synthetic


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "deep" / "shapes"
    synthetic.write_shapes(
        str(path),
        20,
        5,
        image_sizes=((96, 128), (64, 64)),
        classes=synthetic.SHAPES,
    )
    return path


def read(folder, split):
    return coco.CocoDataset(
        str(folder / "annotations" / f"instances_{split}.json"),
        str(folder / split),
        with_masks=True,
    )


def test_folder_is_a_sound_coco_data_set(folder):
    train, val = read(folder, "train"), read(folder, "val")
    assert (len(train.records), len(val.records)) == (20, 5)
    assert train.class_names == synthetic.SHAPES
    assert train.num_empty_masks == 0
    for record in train.records:
        assert 1 <= len(record.labels) <= 5
        with Image.open(record.path) as image:
            assert image.size == (record.width, record.height)


def test_boxes_are_tight_and_masks_do_not_overlap(folder):
    truth = read(folder, "train").to_coco()
    for image_id in truth.getImgIds():
        annotations = truth.loadAnns(truth.getAnnIds(imgIds=[image_id]))
        masks = np.stack([truth.annToMask(a) for a in annotations])
        assert masks.sum(0).max() == 1
        for annotation, mask in zip(annotations, masks):
            x, y, width, height = annotation["bbox"]
            inside = mask[y : y + height, x : x + width]
            assert inside.sum() == mask.sum() == annotation["area"]
            assert inside[[0, -1]].any(1).all()
            assert inside[:, [0, -1]].any(0).all()


def test_mask_lies_on_pixels_of_one_colour(folder):
    truth = read(folder, "train").to_coco()
    for annotation in truth.loadAnns(truth.getAnnIds())[:10]:
        name = f"{annotation['image_id']:06d}.png"
        pixels = np.asarray(Image.open(folder / "train" / name))
        inside = pixels[truth.annToMask(annotation).astype(bool)]
        # Grain of standard deviation 6.
        assert inside.std(0).max() < 10


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.is_file()
    }


def test_seed_decides_every_byte(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthetic.write_shapes(str(tmp_path / name), 3, 2, seed=seed)
    first, same, other = (contents(tmp_path / name) for name in "abc")
    assert first == same
    assert first.keys() == other.keys() and first != other


def test_training_and_validation_differ(tmp_path):
    synthetic.write_shapes(str(tmp_path / "a"), 2, 2)
    files = contents(tmp_path / "a")
    assert files["train/000001.png"] != files["val/000001.png"]


def test_what_is_there_is_kept(folder):
    before = (folder / "recipe.json").stat().st_mtime_ns
    recipe = json.loads((folder / "recipe.json").read_text())
    recipe["image_sizes"] = tuple(map(tuple, recipe["image_sizes"]))
    recipe["classes"] = tuple(recipe["classes"])
    synthetic.write_shapes(str(folder), **recipe)
    assert (folder / "recipe.json").stat().st_mtime_ns == before


def test_another_folder_is_not_overwritten(folder):
    with pytest.raises(FileExistsError, match="Remove it or give another"):
        synthetic.write_shapes(str(folder), 3, 2)


def test_interrupted_writing_leaves_no_folder(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(Image.Image, "save", fail)
    with pytest.raises(KeyboardInterrupt):
        synthetic.write_shapes(str(tmp_path / "a"), 3, 2)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"classes": ("circle", "hexagon")}, "circle, square, triangle, star"),
        ({"classes": ()}, "Expected classes"),
        ({"image_sizes": ((16, 64),)}, "at least 32 pixels"),
        ({"num_val": 0}, "at least one"),
        ({"max_shapes": 0}, "at least one"),
    ],
)
def test_impossible_recipe_is_refused(tmp_path, change, message):
    arguments = {"num_train": 1, "num_val": 1, **change}
    with pytest.raises(ValueError, match=message):
        synthetic.write_shapes(str(tmp_path / "a"), **arguments)


def test_pycocotools_opens_it(folder, capsys):
    path = folder / "annotations" / "instances_val.json"
    assert len(pycoco.COCO(str(path)).getImgIds()) == 5
