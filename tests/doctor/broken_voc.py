"""A good folder of Pascal VOC, and some thirty ways in which it is broken."""

import shutil
from collections.abc import Callable

import numpy as np
from PIL import Image

from tests.data import voc_files
from tests.data.voc_files import HEIGHT, WIDTH, voc_object
from tests.doctor.broken_datasets import Variant

SPLIT = "Main/train"
FIRST, SECOND = "2007_000032", "2007_000039"
PLANE = voc_object("aeroplane", (1, 1, 10, 10))


class Folder(voc_files.Folder):
    """Its first image has three objects and their masks, its second one box."""

    def __init__(self, folder):
        super().__init__(folder)
        self.add_png(FIRST, numbers())

    def path(self, kind: str, name: str = SECOND):
        suffix = {"Annotations": "xml", "JPEGImages": "jpg"}
        return self.folder / kind / f"{name}.{suffix.get(kind, 'png')}"


def numbers():
    """Return the PNG's numbers; the second object is difficult."""
    result = np.zeros((HEIGHT, WIDTH), "uint8")
    result[:3] = 2
    result[19:, 20:] = 3
    result[4:16, 9:31] = 255
    result[5:15, 10:30] = 1
    return result


def text(change: Callable[[str], str]) -> Callable[[Folder], None]:
    """Return what changes the second image's XML."""

    def plant(files: Folder) -> None:
        path = files.path("Annotations")
        path.write_text(change(path.read_text()))

    return plant


def replaced(old: str, new: str) -> Callable[[Folder], None]:
    return text(lambda xml: xml.replace(old, new))


def objects(*elements: str, head: str = "") -> Callable[[Folder], None]:
    """Return what gives the second image other objects."""
    return lambda files: files.add_image(SECOND, *elements, head=head)


def listed(content: bytes) -> Callable[[Folder], None]:
    """Return what writes another list of images."""

    def plant(files: Folder) -> None:
        path = files.folder / "ImageSets" / f"{SPLIT}.txt"
        path.write_bytes(content)

    return plant


def image(content: bytes) -> Callable[[Folder], None]:
    return lambda files: files.path("JPEGImages").write_bytes(content)


def removed(kind: str) -> Callable[[Folder], None]:
    return lambda files: files.path(kind).unlink()


def no_list(files: Folder) -> None:
    shutil.rmtree(files.folder / "ImageSets")


def no_images(files: Folder) -> None:
    shutil.rmtree(files.folder / "JPEGImages")


def png(name: str, values) -> Callable[[Folder], None]:
    return lambda files: files.add_png(name, np.array(values, "uint8"))


def colours(files: Folder) -> None:
    Image.new("RGB", (WIDTH, HEIGHT)).save(files.path("SegmentationObject"))


def no_png(files: Folder) -> None:
    files.path("SegmentationObject").write_bytes(b"no image")


def other_size(files: Folder) -> None:
    Image.new("RGB", (30, 20)).save(files.path("JPEGImages"))


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]>'
ENCODING = '<?xml version="1.0" encoding="klingon"?>'
BLANK = np.zeros((HEIGHT, WIDTH))

VARIANTS = [
    Variant("XML cut", "xml-broken", text(lambda xml: xml[:80])),
    Variant("XML empty", "xml-broken", text(lambda xml: "")),
    Variant("JSON", "xml-broken", text(lambda xml: '{"shapes": []}')),
    Variant("entities", "xml-broken", objects(PLANE, head=BOMB)),
    Variant("encoding", "xml-broken", objects(PLANE, head=ENCODING)),
    Variant("no XML", "xml-missing", removed("Annotations")),
    Variant("no list", "list-broken", no_list),
    Variant("list in Latin-1", "list-broken", listed(b"\xe4")),
    Variant("list empty", "empty-data", listed(b"\n")),
    Variant("a suffix in the list", "xml-missing", listed(b"2007_000032.jpg")),
    Variant(
        "name twice",
        "image-file-twice",
        listed(f"{FIRST}\n{FIRST}".encode()),
    ),
    Variant("no size", "image-size", replaced("size>", "depth>")),
    Variant("height infinite", "image-size", replaced(">40<", ">inf<")),
    Variant("width 0", "image-size", replaced(">60<", ">0<")),
    Variant("no bndbox", "xml-box", replaced("bndbox>", "polygon>")),
    Variant("a word", "xml-box", objects(voc_object("dog", ("a", 1, 9, 9)))),
    Variant("NaN", "xml-box", objects(voc_object("dog", ("nan", 1, 9, 9)))),
    Variant(
        "inverted", "box-inverted", objects(voc_object("dog", (30, 1, 9, 9)))
    ),
    Variant("no width", "box-empty", objects(voc_object("dog", (9, 1, 8, 9)))),
    Variant(
        "too far right",
        "box-outside",
        objects(voc_object("dog", (9, 1, 70, 9))),
    ),
    Variant(
        "counted from 0",
        "box-clipped",
        objects(voc_object("dog", (0, 0, 9, 9))),
    ),
    Variant("object twice", "annotation-copy", objects(PLANE, PLANE)),
    Variant(
        "unknown class",
        "annotation-category",
        objects(voc_object("unicorn", (1, 1, 9, 9))),
    ),
    Variant(
        "no name",
        "annotation-category",
        replaced("<name>aeroplane</name>", ""),
    ),
    Variant("no image", "image-missing", removed("JPEGImages")),
    Variant("no folder", "image-folder", no_images),
    Variant("image corrupt", "image-corrupt", image(b"no image")),
    Variant("image of another size", "image-size-wrong", other_size),
    Variant("PNG of another size", "png-size", png(SECOND, BLANK[1:])),
    Variant("PNG is none", "png-broken", no_png),
    Variant("PNG in colours", "png-broken", colours),
    Variant("PNG of others", "png-unknown-object", png(SECOND, BLANK + 2)),
    Variant("PNG of fewer", "png-without-object", png(FIRST, numbers() % 3)),
    Variant(
        "mask elsewhere", "box-off-mask", png(FIRST, np.roll(numbers(), 9))
    ),
]
