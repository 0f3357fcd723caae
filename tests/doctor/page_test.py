import base64
import io
import json
import os
import re

from PIL import Image

from keras_fair.doctor import coverage, examination, memory, page
from tests.doctor import broken_datasets

COVERED = [coverage.Coverage("all", 5, 0.6, {"P2": 4, "P3": 1})]
NEEDED = memory.Memory((64, 96), 2, 1000, 12_000_000, 30_000_000)
FAULTS = (
    "box: too far right",
    "keypoint: wrong number",
    "category: unused category",
    "image: unlisted file",
)


def break_in_many_ways(files) -> examination.Examination:
    for name in FAULTS:
        broken_datasets.VARIANTS[name].plant(files)
    files.content["categories"][0]["name"] = "<script>dog</script>"
    return examination.examine(*files.write())


def test_the_page_shows_each_fault_and_its_pictures(files, tmp_path):
    found = break_in_many_ways(files)
    folder = tmp_path / "new" / "report"
    path = page.write(str(folder), found, COVERED, NEEDED)
    assert sorted(os.listdir(folder)) == ["doctor.html", "doctor.json"]
    with open(path, encoding="utf-8") as file:
        html = file.read()
    for each in found.findings.listed():
        assert f"<code>{each.code}</code> ({each.count})" in html
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    assert len(pictures) >= 2
    for each in pictures:
        Image.open(io.BytesIO(base64.b64decode(each))).load()
    assert "<script>" not in html
    assert "about 42 MB" in html
    assert "60%" in html
    # Nothing is fetched from elsewhere.
    assert "http" not in html
    with open(folder / "doctor.json", encoding="utf-8") as file:
        codes = {each["code"] for each in json.load(file)["findings"]}
    assert codes == set(found.findings.counts)


def test_a_report_takes_the_place_of_an_older_one(examined, tmp_path):
    (tmp_path / "doctor.html").write_text("old")
    page.write(str(tmp_path), examined, [], None)
    html = (tmp_path / "doctor.html").read_text(encoding="utf-8")
    assert "old" not in html.split("<h1>")[1].split("</h1>")[0]
    assert "0 kinds of error" in html


def test_a_page_has_so_many_pictures_and_no_more(files):
    """Of 60 files without a record's size, one of each is drawn."""
    files.content["annotations"] *= 30
    found = examination.examine(*files.write())
    for code in list(found.findings.counts) + ["box-thin"] * 60:
        found.findings.add(code, image="a.jpg")
    html = page.as_html(found, [], None)
    assert html.count("<figure>") <= page.MAX_PICTURES
