import numpy as np
import pytest

from keras_fair.config import DataConfig
from keras_fair.data import coco
from tests import shared


def test_categories_are_numbered_by_ascending_id(coco_files):
    dataset = coco.CocoDataset(*coco_files.write())
    assert dataset.category_ids == (3, 7)
    assert dataset.class_names == ("cat", "dog")


def test_record_holds_what_the_file_says(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    first = dataset.records[0]
    assert [r.image_id for r in dataset.records] == [11, 10, 12]
    assert (first.height, first.width) == (40, 60)
    assert first.path.endswith("a.png")
    np.testing.assert_array_equal(
        first.boxes,
        np.array([[10, 5, 30, 15], [0.5, 30, 4.5, 36.5]], np.float32),
    )
    np.testing.assert_array_equal(first.labels, [1, 0])
    assert first.masks[0].sum() == 40 * 60
    assert first.masks[1] is None


def test_crowd_stays_out_of_the_record_but_reaches_the_evaluator(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    np.testing.assert_array_equal(dataset.records[1].labels, [0])
    crowd = dataset.to_coco().loadAnns([4])[0]
    assert crowd["iscrowd"] == 1


def test_image_without_annotations_is_a_record(coco_files):
    record = coco.CocoDataset(*coco_files.write()).records[2]
    assert record.boxes.shape == (0, 4)
    assert record.labels.shape == (0,)


def test_max_images_takes_the_first(coco_files):
    dataset = coco.CocoDataset(*coco_files.write(), max_images=1)
    assert [record.image_id for record in dataset.records] == [11]
    assert dataset.to_coco().getImgIds() == [11]
    assert sorted(dataset.to_coco().getAnnIds()) == [1, 2]


def test_to_coco_prints_nothing_and_completes_records(coco_files, capsys):
    for key in ("area", "iscrowd"):
        del coco_files.content["annotations"][0][key]
    dataset = coco.CocoDataset(*coco_files.write())
    annotation = dataset.to_coco().loadAnns([1])[0]
    assert (annotation["area"], annotation["iscrowd"]) == (200, 0)
    assert capsys.readouterr().out == ""


def test_remote_files_give_the_same_records(coco_files, tmp_path, to_memory):
    local = coco.CocoDataset(*coco_files.write(), with_masks=True)
    local_annotations = local.to_coco().anns
    folder = to_memory(tmp_path)
    config = DataConfig(
        root="elsewhere",
        train_annotations=f"{folder}/instances.json",
        train_images=f"{folder}/images",
        with_masks=True,
    )
    remote = coco.CocoDataset.from_config(config, "train")
    assert remote.to_coco().anns == local_annotations
    for one, other in zip(remote.records, local.records, strict=True):
        assert one.path == f"ram://{other.path}"
        np.testing.assert_equal(one.boxes, other.boxes)
        np.testing.assert_equal(one.masks, other.masks)


@pytest.mark.parametrize(
    "annotations, images, message",
    [
        ("missing.json", "images", "No annotation file ram://.*missing.json"),
        ("instances.json", "missing", "No folder ram://.*missing"),
        ("instances.json", "", "no image file ram://.*a.png"),
    ],
)
def test_a_missing_remote_file_is_named(
    coco_files, tmp_path, to_memory, annotations, images, message
):
    coco_files.write()
    folder = to_memory(tmp_path)
    with pytest.raises(FileNotFoundError, match=message):
        coco.CocoDataset(f"{folder}/{annotations}", f"{folder}/{images}")


@pytest.mark.parametrize("empty", [None, []])
def test_absent_segmentation_is_a_box_without_mask(coco_files, empty):
    coco_files.content["annotations"][0]["segmentation"] = empty
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    assert dataset.records[0].masks == (None, None)
    assert dataset.num_empty_masks == 0


def test_segmentation_without_a_pixel_is_counted(coco_files):
    speck = [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]
    coco_files.content["annotations"][0]["segmentation"] = speck
    dataset = coco.CocoDataset(*coco_files.write(), with_masks=True)
    assert dataset.records[0].masks[0] is None
    assert dataset.num_empty_masks == 1


def test_segmentations_are_not_read_unless_wanted(coco_files):
    coco_files.content["annotations"][0]["segmentation"] = "broken"
    dataset = coco.CocoDataset(*coco_files.write())
    assert dataset.records[0].masks == (None, None)


def change(kind, index, **values):
    """Return a function that changes one record of the content."""
    return lambda content: content[kind][index].update(values)


def repeat(kind):
    """Return a function that adds the first record once more."""
    return lambda content: content[kind].append(content[kind][0])


# What is spoilt, what the error says, what stays of the objects of image 11
# and of the images when it is skipped.
FAULTS = {
    "nan": (change("annotations", 0, bbox=[1, 2, float("nan"), 4]), 1, 3),
    "negative": (change("annotations", 0, bbox=[10, 5, 3, -1]), 1, 3),
    "outside": (change("annotations", 0, bbox=[100, 5, 9, 9]), 1, 3),
    "no area": (change("annotations", 0, bbox=[10, 5, 0, 9]), 1, 3),
    "length": (change("annotations", 0, bbox=[10, 5, 9]), 1, 3),
    "category": (change("annotations", 0, category_id=99), 1, 3),
    "no image": (change("annotations", 0, image_id=99), 1, 3),
    "polygon": (change("annotations", 0, segmentation=[[1, 2]]), 1, 3),
    "rle": (
        change("annotations", 0, segmentation={"size": [60, 40], "counts": []}),
        1,
        3,
    ),
    "duplicate annotation": (repeat("annotations"), 2, 3),
    "duplicate image": (repeat("images"), 2, 3),
    "duplicate category": (repeat("categories"), 2, 3),
    "nameless category": (change("categories", 0, name=None), 1, 3),
    "image size": (change("images", 2, height=-1), 2, 2),
    "no file": (change("images", 2, file_name="gone.png"), 2, 2),
    "no record": (lambda content: content["images"].append("x"), 2, 3),
}
MESSAGES = {
    "nan": "annotation 1: expected finite",
    "negative": "annotation 1: expected bbox",
    "outside": "annotation 1: bbox .* pixels out of the image",
    "no area": "annotation 1: bbox .* no area",
    "length": "annotation 1: expected bbox as 4 numbers",
    "category": "annotation 1: unknown category 99",
    "no image": "annotation 1: no image has the id 99",
    "polygon": "annotation 1: expected polygons",
    "rle": "annotation 1: expected an RLE of size",
    "duplicate annotation": "annotation 1: duplicate id",
    "duplicate image": "image 11: duplicate id",
    "duplicate category": "category 7: duplicate id",
    "nameless category": "category 7: expected a name",
    "image size": "image 12: expected height",
    "no file": "image 12: no image file .*gone.png",
    "no record": "image 'x': expected a dict",
}


@pytest.mark.parametrize("name", FAULTS)
def test_fault_names_the_file_and_the_record(coco_files, name):
    FAULTS[name][0](coco_files.content)
    error = FileNotFoundError if name == "no file" else ValueError
    with pytest.raises(error, match=f"instances.json: {MESSAGES[name]}"):
        coco.CocoDataset(*coco_files.write(), with_masks=True)


@pytest.mark.parametrize("name", FAULTS)
def test_fault_is_skipped_counted_and_logged(coco_files, caplog, name):
    spoil, num_objects, num_images = FAULTS[name]
    spoil(coco_files.content)
    with caplog.at_level("WARNING", logger="absl"):
        dataset = coco.CocoDataset(
            *coco_files.write(), with_masks=True, on_bad_record="skip"
        )
    kind = MESSAGES[name].split()[0]
    # An annotation of a category that was skipped is unknown, too.
    expected = {kind: 1}
    if name == "nameless category":
        expected["annotation"] = 2
    assert dict(dataset.skipped) == expected
    assert MESSAGES[name].split(":")[0] in caplog.text
    assert len(dataset.records[0].labels) == num_objects
    assert len(dataset.records) == num_images
    assert len(dataset.to_coco().getImgIds()) == num_images
    in_first = dataset.to_coco().getAnnIds(imgIds=[11])
    assert len(in_first) == num_objects


def test_missing_folder_is_named(coco_files):
    annotations, _ = coco_files.write()
    with pytest.raises(FileNotFoundError, match="No folder nowhere"):
        coco.CocoDataset(annotations, "nowhere")


def test_unknown_way_to_treat_bad_records_is_refused(coco_files):
    with pytest.raises(ValueError, match="Received: 'ignore'"):
        coco.CocoDataset(*coco_files.write(), on_bad_record="ignore")


def test_unknown_split_is_refused():
    with pytest.raises(ValueError, match="Received: 'test'"):
        coco.CocoDataset.from_config(DataConfig(), "test")


@pytest.mark.parametrize("split, crowds", [("train", 6), ("val", 11)])
def test_real_annotations_read_without_a_fault(split, crowds):
    config = DataConfig(root=str(shared.coco_tiny()), with_masks=True)
    dataset = coco.CocoDataset.from_config(config, split)
    annotations = dataset.to_coco().anns
    num_objects = sum(len(record.labels) for record in dataset.records)
    assert len(dataset.records) == 80
    assert len(dataset.category_ids) == 80
    assert dataset.category_ids[-1] == 90
    assert num_objects == len(annotations) - crowds


def test_real_masks_equal_pycocotools():
    config = DataConfig(root=str(shared.coco_tiny()), with_masks=True)
    dataset = coco.CocoDataset.from_config(config, "train")
    truth = dataset.to_coco()
    for record in dataset.records[:30]:
        ids = truth.getAnnIds(imgIds=[record.image_id], iscrowd=False)
        for counts, annotation in zip(record.masks, truth.loadAnns(ids)):
            runs = np.repeat(np.arange(len(counts)) % 2, counts)
            mask = runs.reshape(record.width, record.height).T
            np.testing.assert_array_equal(mask, truth.annToMask(annotation))


def test_keypoints_are_read_where_asked_for(coco_files):
    coco_files.add_keypoints()
    files = coco_files.write()
    dataset = coco.CocoDataset(*files, with_keypoints=True)
    assert dataset.keypoint_names == ("nose", "left_eye", "right_eye")
    first, second, third = (record.keypoints for record in dataset.records)
    # The dog has none, the cat has none labelled.
    np.testing.assert_array_equal(first, np.zeros((2, 3, 3)))
    np.testing.assert_array_equal(
        second, [[[10.5, 20.5, 2], [5.5, 15.5, 1], [0, 0, 0]]]
    )
    assert third.shape == (0, 3, 3)
    without = coco.CocoDataset(*files)
    assert without.keypoint_names == ()
    assert without.records[0].keypoints.shape == (2, 0, 3)


def test_a_wrong_keypoint_names_file_and_annotation(coco_files):
    coco_files.add_keypoints()
    coco_files.content["annotations"][2]["keypoints"][0] = 99
    with pytest.raises(ValueError, match="annotation 3: a keypoint reaches"):
        coco.CocoDataset(*coco_files.write(), with_keypoints=True)


def test_to_coco_counts_keypoints(coco_files):
    coco_files.add_keypoints()
    dataset = coco.CocoDataset(*coco_files.write(), with_keypoints=True)
    found = dataset.to_coco().loadAnns([1, 2, 3])
    assert [each["num_keypoints"] for each in found] == [0, 0, 2]
    assert found[0]["keypoints"] == [0] * 9  # the dog
