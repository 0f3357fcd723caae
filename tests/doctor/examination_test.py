import shutil

import pytest

from keras_fair.doctor import examination
from tests import shared


def test_classes_are_counted_in_the_order_of_their_ids(examined):
    assert examined.classes() == [
        examination.ClassCount(3, "cat", 2, 2, 2, 0),
        examination.ClassCount(7, "dog", 2, 2, 2, 0),
        examination.ClassCount(9, "bird", 1, 2, 2, 1),
    ]


def test_progress_is_told_from_none_to_all(files):
    steps = []
    examination.examine(
        *files.write(), lambda done, of: steps.append((done, of))
    )
    assert steps == [(0, 4), (1, 4), (2, 4), (3, 4), (4, 4)]


def test_faults_beside_each_other_are_all_named(files):
    files.content["annotations"][0]["bbox"] = [10, 5, 0, 10]
    files.content["annotations"][1]["category_id"] = 99
    files.content["images"][2]["height"] = -1
    (files.folder / "d.png").write_bytes(b"")
    counts = examination.examine(*files.write()).findings.counts
    expected = {"box-empty", "annotation-category", "image-size"}
    assert expected | {"image-corrupt"} <= set(counts)


def test_an_address_in_the_place_of_a_name_is_named(files):
    files.content["images"][0]["file_name"] = "http://example.org/A.JPG"
    found = examination.examine(*files.write()).findings
    (missing,) = (f for f in found.listed() if f.code == "image-missing")
    assert missing.examples[0].detail == "is it a.jpg?"


def test_a_file_that_cannot_be_read_is_named_and_the_rest_examined(files):
    name = files.content["images"][0]["file_name"]
    (files.folder / name).unlink()
    # It is there and opens, and reading it fails, whoever reads.
    (files.folder / name).symlink_to("/proc/self/mem")
    (files.folder / "d.png").write_bytes(b"")
    found = examination.examine(*files.write()).findings
    (corrupt,) = (f for f in found.listed() if f.code == "image-corrupt")
    assert [each.image for each in corrupt.examples] == [name, "d.png"]
    assert "Errno" in corrupt.examples[0].detail


def test_what_only_a_strict_reader_refuses_is_named(files, monkeypatch):
    """A fault that the doctor does not know is one all the same."""

    def refuse(*_):
        raise ValueError("a new rule")

    monkeypatch.setattr("keras_fair.data.annotations.read_box", refuse)
    found = examination.examine(*files.write()).findings.listed()
    assert found[0].code == "refused"
    assert found[0].examples[0].detail == "a new rule"


@pytest.mark.parametrize("split", ["train", "val"])
def test_real_images_have_no_error(split):
    root = shared.coco_tiny()
    found = examination.examine(
        str(root / "annotations" / f"instances_{split}2017.json"),
        str(root / f"{split}2017"),
    )
    assert set(found.findings.counts) == {"box-off-mask"}
    assert found.findings.counts["box-off-mask"] == 2


def test_images_in_folders_below_are_found(files):
    (files.folder / "deep").mkdir()
    shutil.move(files.folder / "a.jpg", files.folder / "deep" / "a.jpg")
    found = examination.examine(*files.write())
    missing = found.findings.listed()[0]
    assert missing.code == "image-missing"
    assert missing.examples[0].detail == "is it deep/a.jpg?"
    files.content["images"][0]["file_name"] = "deep/a.jpg"
    assert not examination.examine(*files.write()).findings.listed()
