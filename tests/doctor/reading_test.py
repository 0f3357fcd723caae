"""What can be read is examined, whatever is wrong beside it."""

import json

import pytest

from keras_fair import files
from keras_fair.doctor import findings, reading

CONTENT = {
    "images": [{"id": 1, "file_name": "ä.jpg"}],
    "annotations": [{"id": 2, "image_id": "1"}],
    "categories": [{"id": 3, "name": "cat"}],
}


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "latin-1"])
def test_a_file_in_another_encoding_is_read(tmp_path, encoding):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps(CONTENT, ensure_ascii=False), encoding=encoding)
    found = findings.Findings()
    content = reading.read(str(path), found)
    assert found.counts["json-encoding"] == 1
    assert content.images[0]["id"] == 1
    assert content.annotations[0]["image_id"] == 1  # of the text "1"


def test_the_lists_that_there_are_are_read(tmp_path):
    path = tmp_path / "instances.json"
    path.write_text(json.dumps({**CONTENT, "images": None, "shapes": []}))
    found = findings.Findings()
    content = reading.read(str(path), found)
    assert content.images == [] and len(content.annotations) == 1
    (fault,) = [each for each in found.listed() if each.code == "not-coco"]
    assert fault.examples[0].detail == '"images" is a NoneType, not a list'


def test_a_remote_file_is_read_and_a_missing_one_named(tmp_path):
    path = f"ram://{tmp_path}/instances.json"
    found = findings.Findings()
    assert reading.read(path, found) is None
    assert found.counts["json-missing"] == 1
    files.system(path).makedirs(f"ram://{tmp_path}")
    files.write_json(path, CONTENT)
    assert len(reading.read(path, found).images) == 1


@pytest.mark.parametrize(
    "value, text",
    [
        ("a" * 100, "'" + "a" * 59 + "..."),
        ("\ud800", "'\\ud800'"),
        (10**9999, "a number of thousands of digits"),
    ],
    ids=["long", "half a character", "huge"],
)
def test_any_value_can_be_shown(value, text):
    assert reading.show(value) == text
