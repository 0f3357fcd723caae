import json

from keras_fair.doctor import coverage, examination, findings, memory, tables
from tests.doctor import broken_datasets

COVERED = [
    coverage.Coverage("all", 5, 0.6, {"P2": 4, "P3": 1}),
    coverage.Coverage("cat", 2, 0.5, {"P2": 2, "P3": 0}),
    coverage.Coverage("dog", 2, 1.0, {"P2": 1, "P3": 1}),
    coverage.Coverage("bird", 1, None, {"P2": 1, "P3": 0}),
]
NEEDED = memory.Memory((64, 96), 2, 1000, 12_000_000, 30_000_000)


def test_the_text_has_a_row_for_all_and_each_class(examined):
    text = tables.as_text(examined, COVERED, NEEDED)
    rows = [line.split() for line in text.splitlines()[:5]]
    assert rows == [
        [
            "class",
            "id",
            "objects",
            "images",
            "masks",
            "crowds",
            "IoU>=0.5",
            "P2",
            "P3",
        ],
        ["all", "5", "4", "6", "1", "60%", "4", "1"],
        ["cat", "3", "2", "2", "2", "0", "50%", "2", "0"],
        ["dog", "7", "2", "2", "2", "0", "100%", "1", "1"],
        ["bird", "9", "1", "2", "2", "1", "-", "1", "0"],
    ]
    assert "about 42 MB" in text
    assert text.endswith(
        "4 images, 6 objects, 3 categories; 0 kinds of error, 0 kinds of "
        "warning, 0 kinds of note."
    )


def test_the_text_names_each_fault_with_its_places(files):
    broken_datasets.VARIANTS["box: no width"].plant(files)
    found = examination.examine(*files.write())
    text = tables.as_text(found, [], None)
    assert "ERROR box-empty (1): A bbox has no area inside its image." in text
    assert "    a.jpg, annotation 1: [10, 5, 0, 10] in 60 x 40" in text


def test_a_place_that_json_cannot_hold_is_text(examined):
    examined.findings.add("annotation-id", annotation=[float("nan")])
    values = tables.as_json(examined, COVERED, NEEDED)
    (finding,) = json.loads(json.dumps(values))["findings"]
    assert finding["examples"][0]["annotation"] == "[nan]"
    assert values["memory"]["total"] == 42_000_000
    assert values["coverage"][1]["levels"] == {"P2": 2, "P3": 0}


def test_places_are_words():
    place = findings.Example("a.jpg", 7, "[1, 2]")
    assert tables.where(place) == "a.jpg, annotation 7: [1, 2]"
    place = findings.Example("a.jpg", 7, "cut", "object 2")
    assert tables.where(place) == "a.jpg, object 2: cut"
    assert tables.where(findings.Example("a.jpg")) == "a.jpg"
    assert tables.where(findings.Example(detail="cut")) == "cut"
    assert tables.where(findings.Example()) == ""
