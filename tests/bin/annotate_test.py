"""Masks for known boxes, and pseudo-labels, by a tiny model."""

import copy
import dataclasses
import json
import os

import numpy as np
import pytest
from absl import app, flags
from PIL import Image
from pycocotools import mask as coco_mask

from keras_fair.bin import annotate
from keras_fair.bin import annotator as annotator_lib
from keras_fair.data import coco, image_files
from keras_fair.evaluation import rle
from tests.models import tiny

NAMES = ("circle", "square", "triangle")
CATEGORIES = [{"id": 9, "name": "circle"}, {"id": 7, "name": "square"}]
RLE = {"size": [48, 72], "counts": [100, 20, 3336]}


def tiny_model(**changes):
    pixels = tiny.mask_rcnn_config().pixels
    return tiny.mask_rcnn(
        class_names=NAMES,
        category_ids=(2, 4, 6),
        pixels=type(pixels)(short_side=64, max_long_side=96),
        max_detections=3,
        score_threshold=0.0,
        **changes,
    )


@pytest.fixture(scope="module")
def model():
    return tiny_model()


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        pixels = rng.integers(0, 256, (48, 72, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)
    return str(folder)


def thing(number, category_id=7, **more):
    """One of five boxes, category 7 is "square"."""
    return {
        "id": number,
        "image_id": 1,
        "category_id": category_id,
        "bbox": [2.0 * number, 3.0, 20.0, 10.0 + number],
        **more,
    }


@pytest.fixture
def content():
    return {
        "info": {"made": "by hand"},
        "images": [
            {"id": i, "file_name": name, "height": 48, "width": 72}
            for i, name in ((1, "a.png"), (2, "b.png"))
        ],
        "annotations": [
            thing(1),
            thing(2, segmentation=RLE),
            thing(3, iscrowd=1),
            # More than the model's three detections.
            *(thing(number) for number in range(4, 7)),
        ],
        "categories": copy.deepcopy(CATEGORIES),
    }


@pytest.fixture(scope="module")
def annotator(model):
    return annotator_lib.Annotator(model, CATEGORIES)


def test_boxes_without_mask_get_one(content, images, annotator):
    before = copy.deepcopy(content)
    counts = annotate.annotate(content, images, annotator)
    assert counts == {"segmented": 4, "kept": 2}
    for old, new in zip(before["annotations"], content["annotations"]):
        assert {**old, **new} == new  # nothing else has changed
        if old["id"] in (2, 3):
            assert new == old
    assert content["images"] == before["images"]
    assert content["info"] == before["info"]
    json.dumps(content)


@pytest.mark.parametrize("nothing", [None, [], [[]], {}])
def test_what_readers_take_for_no_mask_is_none(
    nothing, content, images, annotator
):
    content["annotations"] = [thing(1, segmentation=nothing)]
    counts = annotate.annotate(content, images, annotator)
    assert counts["segmented"] == 1


def test_a_mask_is_the_model_s_of_that_box_and_class(
    content, images, model, annotator
):
    content["annotations"] = [thing(number) for number in range(1, 6)]
    annotate.annotate(content, images, annotator)
    image = np.asarray(Image.open(os.path.join(images, "a.png")))
    (file,) = image_files.read(
        [os.path.join(images, "a.png")], model.config.pixels
    )
    np.testing.assert_array_equal(file.pixels, image)
    boxes = [each["bbox"] for each in content["annotations"]]
    x, y, width, height = np.float32(boxes).T
    corners = np.stack([x, y, x + width, y + height], -1)
    network = corners * np.float32(64 / 48)  # the shorter side
    masks = model.predict_masks(file.x, network[None], np.ones((1, 5), "int32"))
    expected = rle.encode_masks(np.asarray(masks)[0], corners, 48, 72)
    for each, mask in zip(content["annotations"], expected):
        found, wanted = (
            coco_mask.decode(one) for one in (each["segmentation"], mask)
        )
        # Compiled in another batch: a probability near 0.5 may turn.
        assert (found != wanted).mean() < 0.01
        assert each["area"] == found.sum() > 0


def test_masks_are_pasted_by_the_models_rule(content, images, model):
    content["annotations"] = [thing(number) for number in range(1, 6)]
    found = []
    for each_model in (model, tiny_model(paste="integer")):
        for each in content["annotations"]:
            each.pop("segmentation", None)
        annotator = annotator_lib.Annotator(each_model, content["categories"])
        annotate.annotate(content, images, annotator)
        found.append([a["segmentation"] for a in content["annotations"]])
    assert found[0] != found[1]


def test_masks_are_replaced_where_asked_for(content, images, annotator):
    counts = annotate.annotate(content, images, annotator, replace=True)
    assert counts == {"segmented": 5, "kept": 1}  # the crowd
    assert content["annotations"][1]["segmentation"] != RLE


def test_unlabelled_images_get_pseudo_labels(content, images, annotator):
    none = annotate.annotate(content, images, annotator, min_score=1.1)
    assert none["found"] == 0
    counts = annotate.annotate(content, images, annotator, min_score=0.2)
    # Image 1 has objects of its own.
    found = [a for a in content["annotations"] if a["image_id"] == 2]
    assert counts["found"] == len(found) > 0
    ids = [each["id"] for each in content["annotations"]]
    assert len(set(ids)) == len(ids)
    for each in found:
        assert each["score"] >= 0.2 and each["iscrowd"] == 0
        assert each["category_id"] in (7, 9)  # no triangles here
        mask = coco_mask.decode(each["segmentation"])
        assert mask.shape == (48, 72) and mask.sum() == each["area"]


def test_a_category_that_the_model_does_not_know_is_refused(content, model):
    content["categories"].append({"id": 1, "name": "star"})
    with pytest.raises(ValueError, match="does not know star. Its classes are"):
        annotator_lib.Annotator(model, content["categories"])


def test_a_class_agnostic_model_segments_any_category(content, images):
    content["categories"][1]["name"] = "star"
    model = tiny_model(masks="agnostic")
    agnostic = annotator_lib.Annotator(model, content["categories"])
    counts = annotate.annotate(content, images, agnostic)
    assert counts["segmented"] == 4


def test_what_labelling_tools_write_is_annotated(
    content, images, model, tmp_path
):
    for i, image in enumerate(content["images"]):
        image["id"] = f"image {i}"
        image["file_name"] = (
            rf"D:\set\{os.path.basename(images)}\{image['file_name']}"
        )
    for category in content["categories"]:
        category["id"] = f"category {category['id']}"
    content["annotations"] = [
        thing(
            1,
            "category 7",
            segmentation=[[]],
            area=0,
            image_id="image 0",
        )
    ]
    content["annotations"][0]["id"] = "x1"
    path, output = tmp_path / "boxes.json", str(tmp_path / "masks.json")
    path.write_text(json.dumps(content))
    counts = annotate.annotate_files(
        model, str(path), images, output, min_score=0.2
    )
    assert counts["segmented"] == 1 and counts["found"] > 0
    with open(output) as file:
        written = json.load(file)
    first, *found = written["annotations"]
    assert (first["id"], first["image_id"]) == ("x1", "image 0")
    assert first["category_id"] == "category 7"
    mask = coco_mask.decode(first["segmentation"])
    assert first["area"] == mask.sum() > 0
    names = {"category 7", "category 9"}
    assert {each["category_id"] for each in found} <= names
    assert {each["image_id"] for each in found} == {"image 1"}
    assert all(isinstance(each["id"], str) for each in found)
    dataset = coco.CocoDataset(output, images, with_masks=True)
    assert [len(each.labels) for each in dataset.records] == [1, len(found)]


def test_a_model_without_class_names_says_how_to_give_them(
    content, images, tmp_path
):
    output = str(tmp_path / "labels.json")
    message = '(?s)names of its 3 classes.*"class_names".*config.json'
    model = tiny_model(masks="agnostic")
    nameless = dataclasses.replace(model.config, class_names=())
    model.config = nameless
    with pytest.raises(ValueError, match=message):
        annotate.annotate_files(model, None, images, output)
    # It segments known boxes, whatever they are.
    annotator = annotator_lib.Annotator(model, content["categories"])
    with pytest.raises(ValueError, match=message):
        annotate.annotate(content, images, annotator, min_score=0.2)
    model.config = dataclasses.replace(nameless, masks="class")
    with pytest.raises(ValueError, match=message):
        annotator_lib.Annotator(model, content["categories"])


def test_an_image_of_another_size_is_refused(content, images, annotator):
    content["images"][0]["width"] = 73
    with pytest.raises(ValueError, match=r"\(48, 73\) of .*a.png"):
        annotate.annotate(content, images, annotator)


def test_the_file_that_is_written_trains(content, images, model, tmp_path):
    path, output = tmp_path / "boxes.json", tmp_path / "new" / "masks.json"
    path.write_text(json.dumps(content))
    counts = annotate.annotate_files(model, str(path), images, str(output))
    assert counts["segmented"] == 4
    dataset = coco.CocoDataset(str(output), images, with_masks=True)
    assert all(mask is not None for mask in dataset.records[0].masks)
    assert os.listdir(tmp_path / "new") == ["masks.json"]


def test_a_whole_folder_is_labelled(images, model, tmp_path):
    output = str(tmp_path / "labels.json")
    annotate.annotate_files(model, None, images, output, min_score=0.0)
    dataset = coco.CocoDataset(output, images, with_masks=True)
    assert dataset.class_names == NAMES
    assert dataset.category_ids == (2, 4, 6)
    assert [len(record.labels) > 0 for record in dataset.records] == [True] * 2


def test_what_is_read_is_checked(content, images, model, tmp_path):
    content["annotations"][0]["bbox"] = [1, 2, 3]
    path, output = tmp_path / "boxes.json", str(tmp_path / "masks.json")
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="annotation 1: expected bbox"):
        annotate.annotate_files(model, str(path), images, output)


def test_a_model_without_masks_is_refused():
    with pytest.raises(ValueError, match="Received: RetinaNet"):
        annotator_lib.Annotator(tiny.retinanet(), [])


def test_flags_that_name_no_work_are_explained():
    flags.FLAGS.mark_as_parsed()
    with pytest.raises(app.UsageError, match="--annotations, --pseudo_labels"):
        annotate.main([])
