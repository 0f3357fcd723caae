import numpy as np
import pytest
from PIL import Image

from keras_fair.doctor import examination, findings, pictures
from tests.doctor import broken_datasets


def draw(files, name: str, code: str) -> np.ndarray:
    """Return the picture of a variant's first example."""
    broken_datasets.VARIANTS[name].plant(files)
    found = examination.examine(*files.write())
    (finding,) = [f for f in found.findings.listed() if f.code == code]
    return np.asarray(pictures.draw(found, finding.examples[0])).astype(int)


def is_red(picture):
    """The first colour of visualization is red."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return (red > 180) & (green < 90) & (blue < 100)


def test_a_box_out_of_its_image_lies_on_grey(files):
    picture = draw(files, "box: too far right", "box-outside")
    grey = (picture == pictures.MARGIN_COLOR).all(-1)
    assert grey[:, -3:].all()
    assert not grey[:, :100].any()
    assert is_red(picture).any()


def test_a_box_very_far_away_leaves_the_image(files):
    picture = draw(files, "box: very far", "box-outside")
    assert picture.shape == (40, 60, 3)


def test_an_inverted_box_is_drawn(files):
    assert is_red(draw(files, "box: negative width", "box-inverted")).any()


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("box: box off its mask", "box-off-mask"),
        ("mask: polygon outside", "polygon-outside"),
        ("mask: odd polygon", "polygon-odd"),
        ("annotation: a copy", "annotation-copy"),
        ("image: same content", "image-same"),
        ("image: EXIF not applied", "image-exif"),
    ],
)
def test_other_faults_have_a_picture(files, name, code):
    assert draw(files, name, code).shape[2] == 3


def test_the_mask_is_drawn_where_it_is(files):
    files.content["annotations"][0]["bbox"] = [30, 20, 20, 10]
    found = examination.examine(*files.write())
    example = findings.Example("a.jpg", 1)
    whole = np.asarray(pictures.draw(found, example)).astype(int)
    clean = Image.open(files.folder / "a.jpg").convert("RGB")
    clean = np.asarray(clean.resize(whole.shape[1::-1])).astype(int)
    changed = np.abs(whole - clean).mean(-1)
    scale = pictures.LONG_SIDE / 60
    inside = changed[int(7 * scale) : int(13 * scale), int(20 * scale)]
    beside = changed[int(30 * scale) : int(38 * scale), int(15 * scale)]
    assert inside.mean() > 20 > 2 > beside.mean()


@pytest.mark.parametrize(
    "example",
    [
        findings.Example(),
        findings.Example("gone.jpg"),
        findings.Example("\0"),
        findings.Example("gone.jpg", 1),
    ],
)
def test_what_has_no_image_has_no_picture(examined, example):
    assert pictures.draw(examined, example) is None


def test_a_damaged_image_has_no_picture(files, examined):
    (files.folder / "a.jpg").write_bytes(b"not an image")
    assert pictures.draw(examined, findings.Example("a.jpg")) is None
