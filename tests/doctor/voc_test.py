"""The doctor names each fault of a VOC folder; training refuses the errors."""

import json
import shutil

import pytest

from keras_fair.config import SourceConfig
from keras_fair.data import class_splits, voc
from keras_fair.doctor import examination, faults, page, tables
from keras_fair.doctor.voc import WHOLE
from tests.doctor import broken_voc, training

# Of the good folder: 4 of 20 classes have objects, one image has no PNG.
NOTES = {"category-unused", "mask-missing"}
NAMES = [variant.name for variant in broken_voc.VARIANTS]


@pytest.fixture
def files(tmp_path):
    return broken_voc.Folder(tmp_path / "voc")


def examine(files, split=broken_voc.SPLIT, class_names=()):
    return examination.examine_source(
        SourceConfig(
            "voc",
            annotations=str(files.folder),
            split=split,
            class_names=class_names,
        )
    )


def train(files, on_bad_record: str, decodes: bool):
    folder = str(files.folder)
    return training.attempt(
        lambda: voc.VocDataset(
            folder,
            broken_voc.SPLIT,
            with_masks=True,
            on_bad_record=on_bad_record,
        ),
        [folder],
        decodes,
    )


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """Try all variants: what the doctor finds and what training does."""
    folder = tmp_path_factory.mktemp("broken") / "voc"
    result = {}
    for variant in broken_voc.VARIANTS:
        files = broken_voc.Folder(folder)
        variant.plant(files)
        is_error = faults.FAULTS[variant.code][0] == faults.ERROR
        found = examine(files)
        result[variant.name] = (
            variant.code,
            found,
            page.as_html(found, [], None),
            [train(files, choice, is_error) for choice in ("error", "skip")],
        )
        shutil.rmtree(folder)
    return result


def test_the_good_folder_has_no_fault(files):
    found = examine(files)
    assert set(found.findings.counts) == NOTES
    assert train(files, "error", decodes=True) == "accepted"


def test_what_is_read_is_what_training_reads(files):
    found = examine(files)
    truth = voc.VocDataset(
        str(files.folder), broken_voc.SPLIT, with_masks=True
    ).read_content()
    own = [each.annotation for each in found.survey.objects]
    for each in truth.annotations:
        del each["source"]
    assert own == truth.annotations
    assert list(found.survey.categories.values()) == [
        each["name"] for each in truth.categories
    ]


@pytest.mark.parametrize("name", NAMES)
def test_the_doctor_names_the_fault(name, outcomes):
    code, found, html, _ = outcomes[name]
    assert code in found.findings.counts, found.findings.listed()
    assert code in tables.as_text(found, [], None)
    assert code in json.dumps(tables.as_json(found, [], None))
    assert code in html


@pytest.mark.parametrize("name", NAMES)
def test_training_refuses_what_is_an_error_and_accepts_the_rest(name, outcomes):
    _, found, _, (error, skip) = outcomes[name]
    if found.findings.num(faults.ERROR):
        assert error == "refused"
        assert skip in ("refused", "skipped")
    else:
        assert (error, skip) == ("accepted", "accepted")


def test_a_fault_is_named_by_file_and_line_and_an_object_by_its_number(files):
    broken_voc.text(lambda xml: xml.replace("<size>", "\n<size"))(files)
    broken_voc.png(broken_voc.FIRST, broken_voc.BLANK + 1)(files)
    text = tables.as_text(examine(files), [], None)
    path = files.path("Annotations")
    assert f"{path} is not plain XML (not well-formed" in text
    assert "line 2, column" in text
    assert "2007_000032.jpg, object 1: IoU" in text


def test_the_other_objects_of_an_image_keep_their_masks(files):
    path = files.path("Annotations", broken_voc.FIRST)
    # The first object's own box; a part has one, too.
    path.write_text(path.read_text().replace("<xmin>11<", "<xmin>eleven<"))
    found = examine(files)
    assert found.findings.counts["xml-box"] == 1
    names = [
        found.findings.called[each.annotation["id"]]
        for each in found.survey.objects
        if each.has_mask
    ]
    assert names == ["object 2", "object 3"]


def test_a_whole_folder_is_its_xml_and_its_lists(files):
    files.write_list("Main/val", "2007_000063", "2008_000001")
    files.path("JPEGImages").rename(files.folder / "JPEGImages/other.jpg")
    found = examine(files, WHOLE)
    assert found.annotations == str(files.folder)
    assert len(found.survey.images) == 3
    assert found.findings.counts["xml-missing"] == 1
    assert found.findings.counts["image-unlisted"] == 1
    names = tuple(found.survey.categories.values())
    assert names == class_splits.VOC_CLASSES


def test_lists_lie_in_any_folder_and_have_names_with_spaces(files):
    files.add_image("my photo 1", broken_voc.voc_object("dog", (1, 1, 9, 9)))
    files.write_list("Main/dog", "my photo 1  -1")
    (files.folder / "ImageSets/all.txt").write_text("my photo 1\nmissing\n")
    found = examine(files, WHOLE)
    assert len(found.survey.images) == 4
    (missing,) = (f for f in found.findings.listed() if f.code == "xml-missing")
    assert [each.image for each in missing.examples] == ["missing"]


def test_the_classes_of_a_whole_folder_are_its_own(files):
    broken_voc.objects(broken_voc.voc_object("unicorn", (1, 1, 9, 9)))(files)
    found = examine(files, WHOLE)
    names = list(found.survey.categories.values())
    assert names == ["dog", "sofa", "tvmonitor", "unicorn"]
    assert "annotation-category" not in found.findings.counts
    counts = examine(files, class_names=("dog", "unicorn")).findings.counts
    assert counts["annotation-category"] == 2
