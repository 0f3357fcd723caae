"""Each quirk of labelling tools, in a data set of real files."""

import dataclasses
import os
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from keras_fair.config import DataConfig
from keras_fair.data import coco, exports, pipeline, records, transforms

CONFIG = DataConfig(
    short_sides=(40,),
    max_long_side=64,
    canvases=((64, 64),),
    max_objects=4,
    keep_empty=True,
)


def read(coco_files, **options):
    return coco.CocoDataset(*coco_files.write(), with_masks=True, **options)


def move(coco_files, name, new_name):
    """Move an image file; the json keeps the old name."""
    path = os.path.join(coco_files.images_folder, new_name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    shutil.move(os.path.join(coco_files.images_folder, name), path)


def assert_same_objects(found, expected):
    assert len(found.records) == len(expected.records)
    for one, other in zip(found.records, expected.records):
        np.testing.assert_array_equal(one.boxes, other.boxes)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert os.path.samefile(one.path, other.path)


@pytest.fixture
def expected(coco_files):
    return read(coco_files)


def test_decimal_strings_are_their_numbers(coco_files, expected):
    for entries in coco_files.content.values():
        for each in entries:
            for key in ("id", "image_id", "category_id"):
                if key in each:
                    each[key] = str(each[key])
    found = read(coco_files)
    assert_same_objects(found, expected)
    assert found.category_ids == (3, 7)
    assert [record.image_id for record in found.records] == [11, 10, 12]
    assert sorted(found.to_coco().anns) == [1, 2, 3, 4]


def test_links_may_be_strings_where_ids_are_not(coco_files, expected):
    for each in coco_files.content["annotations"]:
        each["image_id"] = str(each["image_id"])
        each["category_id"] = str(each["category_id"])
    assert_same_objects(read(coco_files), expected)


def test_links_may_be_integers_where_ids_are_strings(coco_files, expected):
    for each in coco_files.content["images"]:
        each["id"] = str(each["id"])
    assert_same_objects(read(coco_files), expected)


def test_other_strings_are_numbered_in_their_order(coco_files, expected):
    def named(number):
        return f"a{number}b"

    content = coco_files.content
    for each in content["images"]:
        each["id"] = named(each["id"])
    for each in content["annotations"]:
        each["image_id"] = named(each["image_id"])
        each["id"] = named(each["id"])
    found = read(coco_files)
    assert_same_objects(found, expected)
    assert [record.image_id for record in found.records] == [1, 2, 3]
    truth = found.to_coco()
    assert sorted(truth.imgs) == [1, 2, 3]
    assert [each["image_id"] for each in truth.anns.values()] == [1, 1, 2, 2]


def test_string_ids_of_categories_keep_the_order_of_the_file(coco_files):
    names = {7: "the-dog", 3: "the-cat"}
    for each in coco_files.content["categories"]:
        each["id"] = names[each["id"]]
    for each in coco_files.content["annotations"]:
        each["category_id"] = names[each["category_id"]]
    found = read(coco_files)
    assert found.class_names == ("dog", "cat")
    assert found.category_ids == (1, 2)
    np.testing.assert_array_equal(found.records[0].labels, [0, 1])


def test_mixed_ids_do_not_meet(coco_files):
    images = coco_files.content["images"]
    images[1]["id"], images[2]["id"] = "x", "11"
    for each in coco_files.content["annotations"][2:]:
        each["image_id"] = "x"
    found = read(coco_files)
    assert [record.image_id for record in found.records] == [11, 12, 13]
    assert [len(record.labels) for record in found.records] == [2, 1, 0]


def test_numbers_with_leading_zeros_stay_apart():
    lists = records.Content([{"id": "7"}, {"id": "007"}], [], [])
    found = exports.with_integer_ids(lists)
    assert [each["id"] for each in found.images] == [1, 2]


@pytest.mark.parametrize("link", [2, "2", "nothing"])
def test_a_link_to_no_string_id_is_an_error(coco_files, link):
    for number, each in enumerate(coco_files.content["images"]):
        each["id"] = f"image{number}"
    for each in coco_files.content["annotations"]:
        each["image_id"] = "image0"
    coco_files.content["annotations"][1]["image_id"] = link
    with pytest.raises(ValueError, match=f"no image has the id '{link}'"):
        read(coco_files)


def test_a_duplicate_string_id_is_called_by_it(coco_files):
    coco_files.content["annotations"] = []
    for each in coco_files.content["images"]:
        each["id"] = "a1b2"
    with pytest.raises(ValueError, match="image 'a1b2': duplicate id"):
        read(coco_files)


def test_integer_ids_are_not_copied():
    lists = records.Content([{"id": 1}], [{"id": 1, "image_id": 1}], [{}, "x"])
    found = exports.with_integer_ids(lists)
    assert all(one is other for one, other in zip(found, lists))


@pytest.mark.parametrize(
    "annotation",
    [
        {"area": 0},
        {"area": None},
        {"area": "200"},
        {"area": float("nan")},
        {"area": -1},
    ],
)
def test_area_without_a_value_becomes_the_box_s(coco_files, annotation):
    coco_files.content["annotations"][0].update(annotation)
    assert read(coco_files).to_coco().anns[1]["area"] == 20 * 10


def test_missing_iscrowd_and_area_are_completed(coco_files, expected):
    for each in coco_files.content["annotations"][:3]:
        del each["iscrowd"], each["area"]
    found = read(coco_files)
    assert_same_objects(found, expected)
    truth = found.to_coco()
    assert [truth.anns[i]["iscrowd"] for i in (1, 2, 3, 4)] == [0, 0, 0, 1]
    assert truth.anns[3]["area"] == 30 * 40


@pytest.mark.parametrize("nothing", [None, [], [[]], {}])
def test_an_empty_segmentation_is_no_mask(coco_files, nothing):
    coco_files.content["annotations"][0]["segmentation"] = nothing
    dataset = read(coco_files)
    assert dataset.records[0].masks == (None, None)
    assert dataset.num_empty_masks == 0


def test_uncompressed_runs_are_a_mask(coco_files):
    counts = read(coco_files).records[1].masks[0]
    np.testing.assert_array_equal(counts, [62, 30, 2308])


def test_categories_may_have_gaps_and_no_objects(coco_files):
    coco_files.content["categories"] += [
        {"id": 0, "name": "nothing"},
        {"id": 500, "name": "bird"},
    ]
    dataset = read(coco_files)
    assert dataset.category_ids == (0, 3, 7, 500)
    assert dataset.class_names == ("nothing", "cat", "dog", "bird")
    np.testing.assert_array_equal(dataset.records[0].labels, [2, 1])
    assert sorted(dataset.to_coco().cats) == [0, 3, 7, 500]


def test_a_file_without_any_object_reads(coco_files):
    coco_files.content["annotations"] = []
    dataset = read(coco_files)
    assert [len(record.labels) for record in dataset.records] == [0, 0, 0]
    assert dataset.to_coco().getAnnIds() == []


@pytest.mark.parametrize(
    "name",
    [
        "sub\\a.png",
        "sub/a.png",
        "./sub/a.png",
        "images/sub/a.png",
        "images\\sub\\a.png",
        "set/images/sub/a.png",
        "/not/here/images/sub/a.png",
        "D:\\my set\\images\\sub\\a.png",
    ],
)
def test_image_is_found_by_what_tools_call_it(coco_files, name):
    move(coco_files, "a.png", "sub/a.png")
    coco_files.content["images"][0]["file_name"] = name
    path = read(coco_files).records[0].path
    expected = os.path.join(coco_files.images_folder, "sub", "a.png")
    assert os.path.samefile(path, expected)


def test_an_absolute_path_may_lie_elsewhere(coco_files, tmp_path):
    path = str(tmp_path / "elsewhere.png")
    shutil.move(os.path.join(coco_files.images_folder, "a.png"), path)
    coco_files.content["images"][0]["file_name"] = path
    assert read(coco_files).records[0].path == path


@pytest.mark.parametrize("name", ["val/a.png", "/val/a.png", "gone/../b.jpg"])
def test_folders_of_other_names_are_not_dropped(coco_files, name):
    coco_files.content["images"][0]["file_name"] = name
    with pytest.raises(FileNotFoundError, match="image 11: no image file"):
        read(coco_files)


def test_an_address_in_the_place_of_a_name_is_a_bad_record(coco_files):
    coco_files.content["images"][0]["file_name"] = "http://a.org/a.png"
    with pytest.raises(ValueError, match="image 11: .* Received: http://a.o"):
        read(coco_files)
    dataset = read(coco_files, on_bad_record="skip")
    assert dataset.skipped == {"image": 1}
    assert len(dataset.records) == 2


def test_a_folder_inside_of_the_same_name_comes_first(tmp_path):
    for folder in ("images", "images/images"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.png").write_bytes(b"")
    path = exports.find_image(str(tmp_path / "images"), "images/a.png")
    assert os.path.samefile(path, tmp_path / "images" / "images" / "a.png")


def pixels_of(coco_files, pixels, name):
    """Read the first image of the data set, saved anew, as training would."""
    Image.fromarray(pixels).save(os.path.join(coco_files.images_folder, name))
    coco_files.content["images"][0]["file_name"] = name
    dataset = coco.CocoDataset(*coco_files.write(), max_images=1)
    path = tf.constant(dataset.records[0].path)
    return transforms.read_image(path).numpy()


def test_grey_image_has_three_equal_channels(coco_files):
    grey = np.arange(2400, dtype=np.uint8).reshape(40, 60)
    found = pixels_of(coco_files, grey, "grey.png")
    np.testing.assert_array_equal(found, np.stack([grey] * 3, -1))


def test_16_bit_image_keeps_its_upper_bits(coco_files):
    deep = (np.arange(2400) * 27).astype(np.uint16).reshape(40, 60)
    found = pixels_of(coco_files, deep, "deep.png")
    np.testing.assert_array_equal(found, np.stack([deep >> 8] * 3, -1))


@pytest.mark.parametrize("name", ["A.JPG", "A.JPEG", "A.Png", "A.BMP"])
def test_suffix_may_be_in_upper_case(coco_files, name):
    grey = np.full((40, 60), 77, np.uint8)
    assert (pixels_of(coco_files, grey, name) == 77).all()


def test_rotated_image_is_explained(coco_files):
    path = os.path.join(coco_files.images_folder, "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6  # a viewer turns it by 90 degrees
    stored = np.zeros((60, 40, 3), np.uint8)
    Image.fromarray(stored).save(path, exif=exif)
    # The tool showed it upright and wrote that size.
    coco_files.content["images"][0]["file_name"] = "a.jpg"
    dataset = coco.CocoDataset(*coco_files.write(), max_images=1)
    batches = pipeline.make_dataset(
        dataset, CONFIG, batch_size=1, training=False
    )
    with pytest.raises(tf.errors.InvalidArgumentError, match="as EXIF says"):
        list(batches)


def test_rotated_image_annotated_as_stored_reads(coco_files):
    path = os.path.join(coco_files.images_folder, "a.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.full((40, 60, 3), 9, np.uint8)).save(path, exif=exif)
    coco_files.content["images"][0]["file_name"] = "a.jpg"
    dataset = coco.CocoDataset(*coco_files.write(), max_images=1)
    config = dataclasses.replace(CONFIG, max_objects=2)
    ((x, _),) = pipeline.make_dataset(
        dataset, config, batch_size=1, training=False
    )
    assert x["image_shape"].numpy().tolist() == [[40, 60]]
