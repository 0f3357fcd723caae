import numpy as np
import pytest

from keras_fair.data import records

IMAGE = {"id": 5, "height": 40, "width": 60}


def test_a_record_starts_without_objects():
    record = records.empty_record("a.png", IMAGE, 3)
    assert (record.path, record.image_id) == ("a.png", 5)
    assert (record.height, record.width) == (40, 60)
    assert record.boxes.shape == (0, 4) and record.labels.shape == (0,)
    assert record.masks == () and record.keypoints.shape == (0, 3, 3)


def test_objects_are_laid_out_by_columns():
    points = np.zeros((0, 3), np.float32)
    mask = np.array([5, 2395], np.int32)
    record = records.with_objects(
        records.empty_record("a.png", IMAGE, 0),
        [((1, 2, 3, 4), 0, mask, points), ((5, 6, 7, 8), 2, None, points)],
    )
    assert record.boxes.dtype == np.float32 and record.labels.dtype == np.int32
    np.testing.assert_array_equal(record.boxes, [[1, 2, 3, 4], [5, 6, 7, 8]])
    np.testing.assert_array_equal(record.labels, [0, 2])
    assert record.masks == (mask, None)
    assert record.keypoints.shape == (2, 0, 3)


def test_no_objects_leave_the_record_as_it_is():
    record = records.empty_record("a.png", IMAGE, 0)
    assert records.with_objects(record, []) is record


@pytest.mark.parametrize("area, expected", [(7, 7), (7.5, 7.5), (0, 12)])
def test_area_is_the_annotation_s_or_the_box_s(area, expected):
    annotation = {"bbox": [0, 0, 3, 4], "area": area}
    found = records.complete(annotation, 0)
    assert found == {"bbox": [0, 0, 3, 4], "area": expected, "iscrowd": 0}


def test_crowd_is_kept():
    annotation = {"bbox": [0, 0, 3, 4], "iscrowd": 1}
    assert records.complete(annotation, 0)["iscrowd"] == 1


def test_labelled_keypoints_are_counted():
    annotation = {"bbox": [0, 0, 3, 4], "keypoints": [1, 1, 2, 0, 0, 0]}
    assert records.complete(annotation, 2)["num_keypoints"] == 1
    without = records.complete({"bbox": [0, 0, 3, 4]}, 2)
    assert without["keypoints"] == [0] * 6 and without["num_keypoints"] == 0
