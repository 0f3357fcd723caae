import json

import pytest

from keras_fair.evaluation import annotations

ONE = {
    "id": 4,
    "image_id": 1,
    "category_id": 3,
    "bbox": [0, 0, 9, 5],
    "area": 45,
}


def ground_truth(*records):
    return {
        "images": [{"id": 1, "height": 10, "width": 20}],
        "annotations": list(records),
        "categories": [{"id": 3, "name": "circle"}],
    }


def test_a_dict_and_its_file_give_the_same(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(ground_truth(ONE)))
    from_dict = annotations.load(ground_truth(ONE))
    assert annotations.load(path).dataset == from_dict.dataset


def test_annotations_are_copied_and_numbered_from_one():
    one = {**ONE, "id": 0}
    truth = annotations.load(ground_truth(one))
    assert one["id"] == 0
    assert list(truth.anns) == [1]
    assert truth.anns[1]["iscrowd"] == 0


def test_loading_is_silent(capsys):
    annotations.load(ground_truth(ONE))
    assert capsys.readouterr().out == ""


def test_a_truncated_file_is_named(tmp_path):
    path = tmp_path / "truth.json"
    path.write_text(json.dumps(ground_truth(ONE))[:-9])
    with pytest.raises(ValueError, match="truth.json.*truncated"):
        annotations.load(path)


def test_a_file_without_a_dict_is_named(tmp_path):
    path = tmp_path / "results.json"
    path.write_text("[]")
    with pytest.raises(TypeError, match="results.json.*Received: a list"):
        annotations.load(str(path))


def test_a_missing_list_is_named():
    truth = ground_truth()
    del truth["categories"]
    with pytest.raises(TypeError, match="the list 'categories'"):
        annotations.load(truth)


def test_ground_truth_without_images_is_refused():
    with pytest.raises(ValueError, match="at least one image"):
        annotations.load({**ground_truth(), "images": []})


@pytest.mark.parametrize("key", ["images", "categories", "annotations"])
def test_an_id_that_occurs_twice_is_shown(key):
    truth = ground_truth(ONE)
    truth[key] = truth[key] * 2
    with pytest.raises(ValueError, match="to have its own 'id', an int"):
        annotations.load(truth)


def test_a_category_name_that_occurs_twice_is_shown():
    truth = ground_truth()
    truth["categories"].append({"id": 5, "name": "circle"})
    with pytest.raises(ValueError, match="own 'name', an str.*'circle'"):
        annotations.load(truth)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_id": 8}, "unknown image"),
        ({"category_id": 8}, "unknown category"),
        ({"bbox": [0, 0, 9]}, "four finite numbers"),
        ({"bbox": [0, 0, float("nan"), 5]}, "four finite numbers"),
        ({"bbox": [0, 0, -9, 5]}, "at least 0"),
        ({"area": float("inf")}, "finite area"),
    ],
)
def test_a_wrong_annotation_is_shown(change, message):
    with pytest.raises(ValueError, match=f"{message}.*'id': 4"):
        annotations.load(ground_truth({**ONE, **change}))


def test_a_missing_key_is_named():
    one = {key: value for key, value in ONE.items() if key != "area"}
    with pytest.raises(ValueError, match="Expected 'area' in every annotation"):
        annotations.load(ground_truth(one))


def test_an_object_without_mask_becomes_a_crowd_region_of_its_box():
    crowd = {**ONE, "id": 2, "iscrowd": 1}
    truth = annotations.load(ground_truth(ONE, crowd))
    changed, count = annotations.ignore_without_mask(truth, [1])
    assert count == 1
    for each in changed.loadAnns([1, 2]):
        assert each["iscrowd"] == 1
        x, y, width, height = ONE["bbox"]
        assert each["segmentation"] == [
            [x, y, x + width, y, x + width, y + height, x, y + height]
        ]
    assert truth.loadAnns([1])[0]["iscrowd"] == 0


def test_masks_need_the_size_of_the_image():
    truth = annotations.load({**ground_truth(), "images": [{"id": 1}]})
    with pytest.raises(ValueError, match="Expected height and width"):
        annotations.ignore_without_mask(truth, [1])


def test_masks_that_are_complete_are_left_alone():
    segmentation = [[0, 0, 9, 0, 9, 5, 0, 5]]
    truth = annotations.load(
        ground_truth({**ONE, "segmentation": segmentation})
    )
    assert annotations.ignore_without_mask(truth, [1]) == (truth, 0)
