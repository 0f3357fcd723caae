import json

import pytest

from keras_fair.data import annotations


def test_box_becomes_corners():
    box = annotations.read_box([10, 5.5, 20, 10], 40, 60)
    assert box == (10, 5.5, 30, 15.5)


def test_box_a_hair_outside_is_clipped():
    assert annotations.read_box([-1.5, -2, 63.5, 44], 40, 60) == (0, 0, 60, 40)


@pytest.mark.parametrize(
    "bbox, message",
    [
        (None, "as 4 numbers"),
        ([1, 2, 3], "as 4 numbers"),
        ([1, 2, 3, 4, 5], "as 4 numbers"),
        ([1, 2, 3, "4"], "as 4 numbers"),
        ([1, 2, 3, None], "as 4 numbers"),
        ([1, 2, float("nan"), 4], "finite"),
        ([1, 2, float("inf"), 4], "finite"),
        ([1, 2, 10**400, 4], "finite"),
        ([20, 20, -5, 4], "above 0"),
        ([20, 20, 5, -4], "above 0"),
        ([20, 20, 0, 4], "no area"),
        ([20, 20, 4, 0.0], "no area"),
        ([60.5, 20, 1, 4], "no area inside"),
        ([-3, 20, 10, 4], "3 pixels out"),
        ([20, -10, 10, 4], "10 pixels out"),
        ([55, 20, 10, 4], "5 pixels out"),
        ([20, 30, 10, 20], "10 pixels out"),
        ([200, 300, 10, 20], "out of the image of width 60 and height 40"),
    ],
)
def test_bad_box_is_refused(bbox, message):
    with pytest.raises(ValueError, match=message):
        annotations.read_box(bbox, 40, 60)


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.json"):
        annotations.read_json(str(tmp_path / "nothing.json"))


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [{"id": 1,',
        "",
        "\x00\xff",
        pytest.param("[" * 200_000, id="deep"),
    ],
)
def test_truncated_file_is_named(tmp_path, text):
    path = tmp_path / "cut.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="cut.json is not complete JSON"):
        annotations.read_json(str(path))


@pytest.mark.parametrize(
    "content",
    [[], {"images": [], "annotations": []}, {"images": {}}],
)
def test_file_that_is_not_coco_is_named(tmp_path, content):
    path = tmp_path / "other.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match="lists images, .* in .*other.json"):
        annotations.read_json(str(path))


@pytest.mark.parametrize(
    "record, message",
    [
        ("x", "a dict"),
        ({}, "integer id"),
        ({"id": "5"}, "integer id"),
        ({"id": True}, "integer id"),
        ({"id": 5.0}, "integer id"),
        ({"id": 5}, "duplicate"),
        ({"id": 2**63}, "at most 63 bits"),
    ],
)
def test_bad_id_is_refused(record, message):
    with pytest.raises(ValueError, match=message):
        annotations.check_id(record, {5})


@pytest.mark.parametrize(
    "change, message",
    [
        ({"file_name": None}, "file_name"),
        ({"height": 0}, "height as a positive integer: 0"),
        ({"width": "60"}, "width as a positive integer: '60'"),
        ({"width": 2**30}, r"fewer than 2\^31 pixels"),
    ],
)
def test_bad_image_is_refused(change, message):
    image = {"file_name": "a.jpg", "height": 4, "width": 6, **change}
    with pytest.raises(ValueError, match=message):
        annotations.check_image(image)


@pytest.mark.parametrize("keypoints", [3, "nose", [1, 2], [["nose"]]])
def test_names_of_keypoints_are_a_list_of_strings(keypoints):
    category = {"id": 1, "name": "cat", "keypoints": keypoints}
    with pytest.raises(ValueError, match="keypoints as a list of names"):
        annotations.check_category(category)


@pytest.mark.parametrize("name", [None, 5, "", " "])
def test_category_needs_a_name(name):
    with pytest.raises(ValueError, match=f"expected a name: {name!r}"):
        annotations.check_category({"id": 1, "name": name})


@pytest.mark.parametrize(
    "numbers, expected",
    [
        ([1, 2.5, 2**63], True),
        ([1, float("inf")], False),
        ([1, 10**400], False),
        ([0.5, 10**400], False),
        (["1", "2"], False),
        ([1, "2"], False),
        ([1, None], False),
        ([[1, 2], [3, 4]], False),
        ([1, [2, 3]], False),
    ],
)
def test_numbers_are_finite_in_a_flat_list(numbers, expected):
    assert annotations.are_finite(numbers) == expected


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 9}, "no image has the id 9"),
        ({"image_id": None}, "no image has the id None"),
        ({"category_id": 9}, r"unknown category 9; .* are \[2, 3\]"),
        ({"category_id": [2]}, r"unknown category \[2\]"),
        ({"iscrowd": "yes"}, "iscrowd 0 or 1: 'yes'"),
    ],
)
def test_bad_link_is_refused(change, message):
    annotation = {"image_id": 1, "category_id": 2, **change}
    with pytest.raises(ValueError, match=message):
        annotations.check_links(annotation, {1}, {3: 1, 2: 0})
