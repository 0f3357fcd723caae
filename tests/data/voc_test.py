import os

import numpy as np
import pytest
from PIL import Image

from keras_fair.data import voc
from keras_fair.data.class_splits import VOC_CLASSES
from tests.data.voc_files import HEIGHT, WIDTH, Folder, voc_object


@pytest.fixture
def files(tmp_path):
    return Folder(tmp_path)


def mask_of(record, row):
    counts = record.masks[row]
    runs = np.repeat(np.arange(len(counts)) % 2, counts)
    return runs.reshape(record.width, record.height).T


def test_boxes_count_from_one_and_include_the_last_pixel(files):
    record = files.read().records[0]
    np.testing.assert_array_equal(
        record.boxes, np.float32([[10, 5, 30, 15], [19.5, 19, 60, 40]])
    )
    assert (record.height, record.width) == (HEIGHT, WIDTH)
    assert record.path.endswith("JPEGImages/2007_000032.jpg")


def test_classes_are_voc_s_in_coco_s_spelling(files):
    dataset = files.read()
    assert dataset.class_names == VOC_CLASSES
    names = [dataset.class_names[i] for i in dataset.records[0].labels]
    assert names == ["couch", "tv"]
    (label,) = dataset.records[1].labels
    assert dataset.class_names[label] == "airplane"


def test_every_spelling_of_voc_is_known():
    assert set(voc.COCO_SPELLING.values()) <= set(VOC_CLASSES)


def test_a_difficult_object_is_a_crowd_region(files):
    dataset = files.read(with_masks=True)
    assert len(dataset.records[0].labels) == 2
    difficult = dataset.to_coco().loadAnns([2])[0]
    assert difficult["iscrowd"] == 1 and difficult["area"] == 2400


def test_masks_are_the_pixels_of_the_object_s_number(files):
    first, second = files.read(with_masks=True).records
    expected = np.zeros((HEIGHT, WIDTH))
    expected[5:15, 10:30] = 1  # without the border
    np.testing.assert_array_equal(mask_of(first, 0), expected)
    assert first.masks[1] is None  # the third object has no pixel
    assert second.masks == (None,)  # no PNG


def test_remote_files_give_the_same_records(files, to_memory):
    local = files.read(with_masks=True)
    folder = to_memory(files.folder)
    remote = voc.VocDataset(folder, "Main/train", with_masks=True)
    for one, other in zip(remote.records, local.records, strict=True):
        assert one.path == f"ram://{other.path}"
        np.testing.assert_equal(one.boxes, other.boxes)
        np.testing.assert_equal(one.masks, other.masks)
    with pytest.raises(FileNotFoundError, match="No list of images ram://"):
        voc.VocDataset(folder, "Main/missing")


def test_masks_are_not_read_unless_wanted(files):
    (files.folder / "SegmentationObject/2007_000032.png").write_text("broken")
    assert files.read().records[0].masks == (None, None)


def test_masks_reach_the_evaluator(files):
    truth = files.read(with_masks=True).to_coco()
    assert truth.annToMask(truth.loadAnns([1])[0]).sum() == 200
    assert "segmentation" not in truth.loadAnns([3])[0]


def test_a_list_with_a_second_column_and_an_empty_image(files):
    dataset = files.read("Segmentation/val", with_masks=True)
    assert [len(record.labels) for record in dataset.records] == [0]


def test_a_name_may_have_spaces_beside_columns(files):
    for name in ("my photo 1", "ü b"):
        files.add_image(name, voc_object("dog", (1, 1, 9, 9)))
    files.write_list("Main/spaces", "my photo 1", "ü b", "2007_000039 ")
    files.write_list("Main/dog_spaces", "my photo 1 -1", "ü b  1")
    (files.folder / "ImageSets/Layout").mkdir()
    files.write_list("Layout/spaces", "ü b 12  -1", "2007_000039 3")
    counts = [
        [os.path.basename(record.path) for record in files.read(split).records]
        for split in ("Main/spaces", "Main/dog_spaces", "Layout/spaces")
    ]
    assert counts == [
        ["my photo 1.jpg", "ü b.jpg", "2007_000039.jpg"],
        ["my photo 1.jpg", "ü b.jpg"],
        ["ü b.jpg", "2007_000039.jpg"],
    ]


def test_a_list_may_begin_with_a_byte_order_mark(files):
    path = files.folder / "ImageSets/Main/mark.txt"
    path.write_bytes("\ufeff2007_000032\r\n2007_000039\r\n".encode())
    assert len(files.read("Main/mark").records) == 2


def test_own_classes_keep_their_names(files):
    files.add_image("a", voc_object("sofa", (1, 1, 9, 9)))
    files.write_list("Main/own", "a")
    dataset = files.read("Main/own", class_names=("lamp", "sofa"))
    assert dataset.class_names == ("lamp", "sofa")
    np.testing.assert_array_equal(dataset.records[0].labels, [1])


def bomb(files):
    head = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
    files.add_image("2007_000039", voc_object("&b;", (1, 1, 9, 9)), head=head)


def cut_off(files):
    path = files.folder / "Annotations/2007_000039.xml"
    path.write_text(path.read_text()[:80])


def wrong_size(files):
    files.add_png("2007_000039", np.zeros((HEIGHT, WIDTH + 1), "uint8"))


def too_many(files):
    files.add_png("2007_000039", np.full((HEIGHT, WIDTH), 2, "uint8"))


def colours(files):
    path = files.folder / "SegmentationObject/2007_000039.png"
    Image.fromarray(np.zeros((HEIGHT, WIDTH, 3), "uint8")).save(path)


def no_png(files):
    path = files.folder / "SegmentationObject/2007_000039.png"
    path.write_bytes(b"no image")


def no_number(files):
    files.add_image("2007_000039", voc_object("dog", ("a", 1, 9, 9)))


def infinite(files):
    path = files.folder / "Annotations/2007_000039.xml"
    path.write_text(
        path.read_text().replace(f"<height>{HEIGHT}<", "<height>inf<")
    )


def no_size(files):
    path = files.folder / "Annotations/2007_000039.xml"
    path.write_text(path.read_text().replace("size>", "depth>"))


def encoding(files):
    head = '<?xml version="1.0" encoding="klingon"?>'
    files.add_image("2007_000039", head=head)


def no_xml(files):
    (files.folder / "Annotations/2007_000039.xml").unlink()


FAULTS = {
    bomb: "image '2007_000039': .* not plain XML .*document type 'a'",
    cut_off: "image '2007_000039': .* not plain XML",
    wrong_size: r"image '2007_000039': expected height and width \(40, 60\)",
    too_many: "image '2007_000039': .* shows an object 2; the XML has 1",
    colours: "image '2007_000039': expected a palette .* mode RGB",
    no_png: "image '2007_000039': .* no readable PNG",
    no_number: "image '2007_000039': expected a number as bndbox/xmin",
    infinite: "image '2007_000039': expected a number as size/height .*'inf'",
    no_size: "image '2007_000039': expected a number as size/height .*''",
    encoding: "image '2007_000039': .* not plain XML .*klingon",
    no_xml: "image '2007_000039': no file",
}


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_fault_names_the_image(files, spoil):
    spoil(files)
    with pytest.raises((ValueError, FileNotFoundError), match=FAULTS[spoil]):
        files.read(with_masks=True)


@pytest.mark.parametrize("spoil", FAULTS)
def test_a_fault_is_skipped_and_counted_once(files, spoil):
    spoil(files)
    dataset = files.read(with_masks=True, on_bad_record="skip")
    assert len(dataset.to_coco().imgs) == len(dataset.records) == 1
    assert dict(dataset.skipped) == {"image": 1}


def test_a_bad_object_is_named_by_its_place(files):
    files.add_image("2007_000039", voc_object("unicorn", (1, 1, 9, 9)))
    message = "'2007_000039, object 1': unknown category 'unicorn'"
    with pytest.raises(ValueError, match=message):
        files.read()
    dataset = files.read(on_bad_record="skip")
    assert dict(dataset.skipped) == {"annotation": 1}


def test_a_missing_list_is_named(files):
    with pytest.raises(FileNotFoundError, match="No list of images .*test.txt"):
        files.read("Main/test")
