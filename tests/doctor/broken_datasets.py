"""A small good data set, and more than a hundred ways in which it is broken.

Each variant has one fault, planted where people's tools plant it, and the code
under which the doctor must name it.
"""

import copy
import json
import os
import pathlib
import shutil
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from keras_fair.checkpoints import coco_categories

HEIGHT, WIDTH = 40, 60
NAMES = ("a.jpg", "b.png", "c.jpg", "d.png")
NAN, INFINITY = float("nan"), float("inf")
HUGE = 10**400  # beyond floats
DEEP = "[" * 200_000


def _polygon(left: float, top: float, right: float, bottom: float) -> list:
    return [left, top, right, top, right, bottom, left, bottom]


def _runs(left: int, top: int, right: int, bottom: int) -> dict:
    """Return the uncompressed run-lengths of a rectangle."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    ones = np.flatnonzero(np.diff(mask.ravel("F"))) + 1
    ends = [0, *ones.tolist(), mask.size]
    return {"size": [HEIGHT, WIDTH], "counts": np.diff(ends).tolist()}


def _compressed(*box: int) -> dict:
    mask = coco_mask.frPyObjects(_runs(*box), HEIGHT, WIDTH)
    return {"size": mask["size"], "counts": mask["counts"].decode("ascii")}


def _annotation(number: int, image: int, category: int, box: tuple, mask):
    left, top, right, bottom = box
    width, height = right - left, bottom - top
    return {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, width, height],
        "area": width * height,
        "iscrowd": 0,
        "segmentation": mask,
    }


def good() -> dict:
    """Return the content of the good data set's json."""
    boxes = [(10, 5, 30, 15), (30, 10, 50, 36), (4, 20, 14, 30)]
    boxes += [(35, 22, 55, 38), (2, 2, 22, 32)]
    masks = [[_polygon(*boxes[0])], _runs(*boxes[1]), _compressed(*boxes[2])]
    left, right = _polygon(35, 22, 44, 38), _polygon(46, 22, 55, 38)
    masks += [[left, right], [_polygon(*boxes[4])]]
    annotations = [
        _annotation(number, image, category, box, mask)
        for number, image, category, box, mask in zip(
            (1, 2, 3, 4, 5), (10, 10, 11, 12, 13), (3, 7, 3, 7, 9), boxes, masks
        )
    ]
    annotations[3]["keypoints"] = [40, 25, 2, 37, 24, 1, 0, 0, 0]
    annotations[3]["num_keypoints"] = 2
    crowd = (0, 0, 60, 40)
    annotations.append(_annotation(6, 12, 9, crowd, _runs(1, 0, 60, 40)))
    annotations[-1]["iscrowd"] = 1
    points = ["nose", "left_eye", "right_eye"]
    return {
        "info": {"description": "drawn by a test"},
        "categories": [
            {"id": 7, "name": "dog", "keypoints": points},
            {"id": 3, "name": "cat", "keypoints": points},
            {"id": 9, "name": "bird"},
        ],
        "images": [
            {"id": 10 + n, "file_name": name, "height": HEIGHT, "width": WIDTH}
            for n, name in enumerate(NAMES)
        ],
        "annotations": annotations,
    }


def write_images(folder: pathlib.Path) -> None:
    """Write the good data set's images, each with other pixels."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in NAMES:
        pixels = rng.integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
        Image.fromarray(pixels).save(folder / name)


class Files:
    """A copy of the good data set, to be broken.

    Attributes:
        content: of the json.
        folder: of the images.
        json_path: the annotation file.
        raw: bytes to write in the place of the content; None writes no file.
    """

    def __init__(self, folder: pathlib.Path, images: pathlib.Path):
        self.content = good()
        self.folder = folder / "images"
        self.json_path = folder / "instances.json"
        self.raw = b""
        shutil.copytree(images, self.folder)

    def write(self) -> tuple[str, str]:
        """Write the json; return its path and the images' folder."""
        if self.raw is not None:
            self.json_path.write_bytes(self.raw or self.encode())
        return str(self.json_path), str(self.folder)

    def encode(self) -> bytes:
        return json.dumps(self.content).encode("utf-8")


class Variant(NamedTuple):
    """A fault, the code that names it, and what plants it."""

    name: str
    code: str
    plant: Callable[[Files], None]


def put(*path_and_value) -> Callable[[Files], None]:
    """Return what sets a value of the content: put("images", 0, "id", 5)."""
    *path, key, value = path_and_value

    def plant(files: Files) -> None:
        place = files.content
        for step in path:
            place = place[step]
        place[key] = copy.deepcopy(value)

    return plant


def drop(*path) -> Callable[[Files], None]:
    """Return what takes a key away."""

    def plant(files: Files) -> None:
        place = files.content
        for step in path[:-1]:
            place = place[step]
        del place[path[-1]]

    return plant


def add(name: str, *records) -> Callable[[Files], None]:
    """Return what appends records to a list."""
    return lambda files: files.content[name].extend(copy.deepcopy(records))


def box(*numbers) -> Callable[[Files], None]:
    """Return what gives the first object another box, without a mask."""

    def plant(files: Files) -> None:
        files.content["annotations"][0]["bbox"] = list(numbers)
        files.content["annotations"][0]["segmentation"] = []

    return plant


def mask(segmentation) -> Callable[[Files], None]:
    return put("annotations", 0, "segmentation", segmentation)


def points(*numbers) -> Callable[[Files], None]:
    return put("annotations", 3, "keypoints", list(numbers))


def each_box(change: Callable) -> Callable[[Files], None]:
    """Return what changes all boxes; the masks are taken away."""

    def plant(files: Files) -> None:
        for each in files.content["annotations"]:
            each["bbox"] = change(*each["bbox"])
            each["segmentation"] = []

    return plant


def each_box_with_mask(change: Callable) -> Callable[[Files], None]:
    """Return what changes all boxes and leaves the masks."""

    def plant(files: Files) -> None:
        for each in files.content["annotations"]:
            each["bbox"] = change(*each["bbox"])

    return plant


def each_category(change: Callable) -> Callable[[Files], None]:
    """Return what changes the annotations' category ids."""

    def plant(files: Files) -> None:
        files.content["categories"] = [
            {"id": number, "name": f"class {number}"} for number in (1, 2, 3)
        ]
        for number, each in enumerate(files.content["annotations"]):
            each["category_id"] = change(number % 3 + 1)
            each.pop("keypoints", None)

    return plant


def raw(change: Callable[[bytes], bytes]) -> Callable[[Files], None]:
    """Return what writes other bytes than the content's."""

    def plant(files: Files) -> None:
        files.raw = change(files.encode())

    return plant


def no_json(files: Files) -> None:
    files.raw = None


def image_bytes(change: Callable[[bytes], bytes], name=NAMES[0]) -> Callable:
    """Return what changes the bytes of an image file."""

    def plant(files: Files) -> None:
        path = files.folder / name
        path.write_bytes(change(path.read_bytes()))

    return plant


def saved(name: str = NAMES[0], size=(WIDTH, HEIGHT), mode="RGB", **options):
    """Return what writes an image file anew, in another form."""

    def plant(files: Files) -> None:
        image = Image.open(files.folder / name).convert("RGB").resize(size)
        if mode == "I;16":
            values = np.asarray(image.convert("L")).astype(np.uint16) * 200
            image = Image.fromarray(values)
        image.convert(mode).save(files.folder / name, **options)

    return plant


def turned(files: Files) -> None:
    """Give the first image an EXIF rotation; the record has it applied."""
    with_exif(6)(files)
    record = files.content["images"][0]
    record["height"], record["width"] = WIDTH, HEIGHT
    del files.content["annotations"][1]  # beyond the width


def with_exif(orientation: int) -> Callable[[Files], None]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return saved(exif=exif)


def renamed(files: Files) -> None:
    os.rename(files.folder / NAMES[0], files.folder / "A.JPG")


def copied(files: Files) -> None:
    """Give one image's content to another file."""
    shutil.copy(files.folder / NAMES[1], files.folder / NAMES[3])


def as_folder(files: Files) -> None:
    (files.folder / NAMES[0]).unlink()
    (files.folder / NAMES[0]).mkdir()


def dangling(files: Files) -> None:
    (files.folder / NAMES[0]).unlink()
    (files.folder / NAMES[0]).symlink_to(files.folder / "gone.jpg")


def no_folder(files: Files) -> None:
    shutil.rmtree(files.folder)


def dense_coco(files: Files) -> None:
    """Write COCO's 80 classes with the ids 1 to 80."""
    files.content["categories"] = [
        {"id": number, "name": name}
        for number, name in enumerate(coco_categories.NAMES, start=1)
    ]
    files.content["categories"][0]["keypoints"] = ["nose", "eye", "ear"]


def nested(files: Files) -> None:
    files.content = {"root": files.content}


def only_list(files: Files) -> None:
    files.content = files.content["annotations"]


def results(files: Files) -> None:
    files.content = [
        {**each, "score": 0.5} for each in files.content["annotations"]
    ]


def all_masks_transposed(files: Files) -> None:
    """Write run-lengths of size (width, height)."""
    files.content["annotations"][1]["segmentation"]["size"].reverse()


def absolute(files: Files) -> None:
    name = str(files.folder / NAMES[0])
    files.content["images"][0]["file_name"] = name


def without_names(files: Files) -> None:
    """Leave keypoints without their names."""
    for category in files.content["categories"]:
        category.pop("keypoints", None)


def text_ids(files: Files) -> None:
    for image in files.content["images"]:
        image["id"] = str(image["id"])


def _object(**changes) -> dict:
    return {**good()["annotations"][0], "id": 100, **changes}


def _image(**changes) -> dict:
    return {**good()["images"][0], "id": 100, **changes}


SQUARE = _polygon(10, 5, 30, 15)
RUNS = _runs(10, 5, 30, 15)

FILE_FAULTS = [
    Variant("no file", "json-missing", no_json),
    Variant("empty file", "json-empty", raw(lambda text: b" \n")),
    Variant("cut within", "json-truncated", raw(lambda text: text[:700])),
    Variant("last brace cut", "json-truncated", raw(lambda text: text[:-1])),
    Variant("one brace only", "json-truncated", raw(lambda text: b"{")),
    Variant(
        "cut in a string",
        "json-truncated",
        raw(lambda text: text[: text.index(b"drawn") + 3]),
    ),
    Variant("binary", "json-syntax", raw(lambda text: b"\x1f\x8b\x08" * 9)),
    Variant("XML", "json-syntax", raw(lambda text: b"<annotation/>")),
    Variant("single quotes", "json-syntax", raw(lambda t: b"{'images': []}")),
    Variant("trailing comma", "json-syntax", raw(lambda t: t[:-1] + b",}")),
    Variant("two documents", "json-syntax", raw(lambda text: text + text)),
    Variant(
        "control character",
        "json-syntax",
        raw(lambda text: text.replace(b"drawn", b"dr\nwn")),
    ),
    Variant(
        "number of 5000 digits",
        "json-syntax",
        raw(lambda t: t.replace(b'"id": 10', b'"id": ' + b"9" * 5000)),
    ),
    Variant("very deep", "json-depth", raw(lambda text: DEEP.encode())),
    Variant(
        "byte order mark",
        "json-encoding",
        raw(lambda text: b"\xef\xbb\xbf" + text),
    ),
    Variant(
        "UTF-16",
        "json-encoding",
        raw(lambda text: text.decode().encode("utf-16")),
    ),
    Variant(
        "Latin-1",
        "json-encoding",
        raw(lambda text: text.replace(b"drawn", b"dr\xe4wn")),
    ),
    Variant(
        "a key twice",
        "json-key-twice",
        raw(lambda t: t.replace(b'"id": 13', b'"id": 13, "id": 13', 1)),
    ),
    Variant("null", "not-coco", raw(lambda text: b"null")),
    Variant("a number", "not-coco", raw(lambda text: b"7")),
    Variant("a bare list", "not-coco", only_list),
    Variant("results", "not-coco", results),
    Variant("nested in a key", "not-coco", nested),
    Variant("no images", "not-coco", drop("images")),
    Variant("no annotations", "not-coco", drop("annotations")),
    Variant("no categories", "not-coco", drop("categories")),
    Variant("images null", "not-coco", put("images", None)),
    Variant("annotations a dict", "not-coco", put("annotations", {})),
    Variant("categories text", "not-coco", put("categories", "dog")),
    Variant("images empty", "empty-data", put("images", [])),
    Variant("categories empty", "empty-data", put("categories", [])),
    Variant("annotations empty", "empty-data", put("annotations", [])),
    Variant("LabelMe", "not-coco", raw(lambda text: b'{"shapes": []}')),
]

CATEGORY_FAULTS = [
    Variant("category null", "record-type", add("categories", None)),
    Variant("category text", "record-type", add("categories", "dog")),
    Variant("no category id", "category-id", drop("categories", 0, "id")),
    Variant("text id", "id-text", put("categories", 0, "id", "7")),
    Variant("float id", "category-id", put("categories", 0, "id", 7.0)),
    Variant("true id", "category-id", put("categories", 0, "id", True)),
    Variant("list id", "category-id", put("categories", 0, "id", [7])),
    Variant(
        "category twice",
        "category-twice",
        add("categories", {"id": 7, "name": "wolf"}),
    ),
    Variant("no name", "category-name", drop("categories", 0, "name")),
    Variant("null name", "category-name", put("categories", 0, "name", None)),
    Variant("number name", "category-name", put("categories", 0, "name", 5)),
    Variant("blank name", "category-name", put("categories", 0, "name", " ")),
    Variant(
        "name twice", "category-name-twice", put("categories", 0, "name", "cat")
    ),
    Variant(
        "keypoints a number",
        "category-keypoints",
        put("categories", 0, "keypoints", 3),
    ),
    Variant(
        "keypoints of numbers",
        "category-keypoints",
        put("categories", 0, "keypoints", [1, 2, 3]),
    ),
    Variant(
        "keypoints of lists",
        "category-keypoints",
        put("categories", 0, "keypoints", [["nose"]]),
    ),
    Variant(
        "keypoints that differ",
        "category-keypoints",
        put("categories", 1, "keypoints", ["tail"]),
    ),
    Variant("dense COCO ids", "category-ids-dense", dense_coco),
    Variant("counted from 0", "category-shift", each_category(lambda n: n - 1)),
    Variant("one too many", "category-shift", each_category(lambda n: n + 1)),
    Variant(
        "unused category",
        "category-unused",
        add("categories", {"id": 99, "name": "unicorn"}),
    ),
]

IMAGE_FAULTS = [
    Variant("image null", "record-type", add("images", None)),
    Variant("image list", "record-type", add("images", [])),
    Variant("no image id", "image-id", drop("images", 3, "id")),
    Variant("null image id", "image-id", put("images", 3, "id", None)),
    Variant("float image id", "image-id", put("images", 3, "id", 13.0)),
    Variant("text ids", "id-text", text_ids),
    Variant("dict image id", "image-id", put("images", 3, "id", {})),
    Variant("image id of 64 bits", "image-id", put("images", 3, "id", 2**63)),
    Variant("image twice", "image-twice", put("images", 1, "id", 10)),
    Variant("no file name", "image-name", drop("images", 0, "file_name")),
    Variant("null name", "image-name", put("images", 0, "file_name", None)),
    Variant("empty name", "image-name", put("images", 0, "file_name", "")),
    Variant("number name", "image-name", put("images", 0, "file_name", 12)),
    Variant("file twice", "image-file-twice", add("images", _image())),
    Variant("absolute path", "image-path", absolute),
    Variant(
        "path upwards",
        "image-path",
        put("images", 0, "file_name", f"../images/{NAMES[0]}"),
    ),
    Variant("no height", "image-size", drop("images", 0, "height")),
    Variant("zero height", "image-size", put("images", 0, "height", 0)),
    Variant("negative width", "image-size", put("images", 0, "width", -60)),
    Variant("text width", "image-size", put("images", 0, "width", "60")),
    Variant("float width", "image-size", put("images", 0, "width", 60.0)),
    Variant("NaN width", "image-size", put("images", 0, "width", NAN)),
    Variant("null width", "image-size", put("images", 0, "width", None)),
    Variant("huge width", "image-size", put("images", 0, "width", HUGE)),
    Variant("2^31 pixels", "image-size", put("images", 0, "width", 2**30)),
    Variant("no folder", "image-folder", no_folder),
    Variant(
        "no such file", "image-missing", put("images", 0, "file_name", "z.jpg")
    ),
    Variant("name in capitals", "image-missing", renamed),
    Variant(
        "name of another system",
        "image-path",
        put("images", 0, "file_name", f"images\\{NAMES[0]}"),
    ),
    Variant(
        "NUL in a name", "image-missing", put("images", 0, "file_name", "a\0")
    ),
    Variant(
        "half a character in a name",
        "image-missing",
        put("images", 0, "file_name", "\ud800.jpg"),
    ),
    Variant(
        "name of 5000 letters",
        "image-missing",
        put("images", 0, "file_name", "a" * 5000),
    ),
    Variant("a folder for a file", "image-missing", as_folder),
    Variant("a link to nothing", "image-missing", dangling),
    Variant("empty image", "image-corrupt", image_bytes(lambda b: b"")),
    Variant("JPEG cut", "image-corrupt", image_bytes(lambda b: b[:-400])),
    Variant("header alone", "image-corrupt", image_bytes(lambda b: b[:30])),
    Variant(
        "PNG cut", "image-corrupt", image_bytes(lambda b: b[:2000], NAMES[1])
    ),
    Variant(
        "PNG with wrong bits",
        "image-corrupt",
        image_bytes(lambda b: b[:60] + bytes(200) + b[260:], NAMES[1]),
    ),
    Variant("zeros", "image-corrupt", image_bytes(lambda b: bytes(len(b)))),
    Variant(
        "page of a web server",
        "image-corrupt",
        image_bytes(lambda b: b"<html>404 Not Found</html>"),
    ),
    Variant("TIFF", "image-format", saved(format="TIFF")),
    Variant("another size", "image-size-wrong", saved(size=(30, 20))),
    Variant("sides exchanged", "image-size-wrong", saved(size=(HEIGHT, WIDTH))),
    Variant("EXIF applied", "image-size-turned", turned),
    Variant("EXIF not applied", "image-exif", with_exif(6)),
    Variant("EXIF mirrored", "image-exif", with_exif(2)),
    Variant("16 bits", "image-16-bit", saved(NAMES[1], mode="I;16")),
    Variant("same content", "image-same", copied),
    Variant("unlisted file", "image-unlisted", drop("images", 3)),
    Variant(
        "nothing in an image",
        "image-without-objects",
        drop("annotations", 4),
    ),
]

ANNOTATION_FAULTS = [
    Variant("annotation null", "record-type", add("annotations", None)),
    Variant("annotation number", "record-type", add("annotations", 3)),
    Variant("no id", "annotation-id", drop("annotations", 0, "id")),
    Variant("text id", "id-text", put("annotations", 0, "id", "1")),
    Variant(
        "text id of 5000 digits",
        "id-text",
        put("annotations", 0, "id", "9" * 5000),
    ),
    Variant("NaN id", "annotation-id", put("annotations", 0, "id", NAN)),
    Variant("id twice", "annotation-twice", put("annotations", 1, "id", 1)),
    Variant(
        "no image id", "annotation-image", drop("annotations", 0, "image_id")
    ),
    Variant(
        "unknown image",
        "annotation-image",
        put("annotations", 0, "image_id", 77),
    ),
    Variant(
        "image id as text",
        "id-text",
        put("annotations", 0, "image_id", "10"),
    ),
    Variant(
        "image id a list",
        "annotation-image",
        put("annotations", 0, "image_id", [10]),
    ),
    Variant(
        "unknown category",
        "annotation-category",
        put("annotations", 0, "category_id", 12),
    ),
    Variant(
        "no category",
        "annotation-category",
        drop("annotations", 0, "category_id"),
    ),
    Variant(
        "category by name",
        "annotation-category",
        put("annotations", 0, "category_id", "cat"),
    ),
    Variant(
        "category a dict",
        "annotation-category",
        put("annotations", 0, "category_id", {"id": 3}),
    ),
    Variant("a copy", "annotation-copy", add("annotations", _object())),
    Variant(
        "two classes",
        "box-two-classes",
        add("annotations", _object(category_id=7)),
    ),
    Variant("text area", "area-value", put("annotations", 0, "area", "200")),
    Variant("null area", "area-value", put("annotations", 0, "area", None)),
    Variant("negative area", "area-value", put("annotations", 0, "area", -1)),
    Variant("NaN area", "area-value", put("annotations", 0, "area", NAN)),
    Variant("no area", "area-missing", drop("annotations", 0, "area")),
    Variant("crowd 2", "crowd-value", put("annotations", 0, "iscrowd", 2)),
    Variant("crowd yes", "crowd-value", put("annotations", 0, "iscrowd", "y")),
    Variant(
        "crowd null", "crowd-value", put("annotations", 0, "iscrowd", None)
    ),
    Variant("no crowd", "crowd-missing", drop("annotations", 0, "iscrowd")),
    Variant(
        "crowd of polygons",
        "crowd-polygon",
        put("annotations", 0, "iscrowd", 1),
    ),
]

BOX_FAULTS = [
    Variant("no box", "box-type", drop("annotations", 0, "bbox")),
    Variant("null box", "box-type", put("annotations", 0, "bbox", None)),
    Variant("three numbers", "box-type", box(10, 5, 20)),
    Variant("five numbers", "box-type", box(10, 5, 20, 10, 0)),
    Variant("text numbers", "box-type", box("10", "5", "20", "10")),
    Variant("a null inside", "box-type", box(10, 5, None, 10)),
    Variant("a true inside", "box-type", box(10, 5, 20, True)),
    Variant("nested box", "box-type", box([10, 5, 20, 10])),
    Variant("box as text", "box-type", put("annotations", 0, "bbox", "10 5")),
    Variant(
        "box as a dict", "box-type", put("annotations", 0, "bbox", {"x": 10})
    ),
    Variant("NaN", "box-not-finite", box(NAN, 5, 20, 10)),
    Variant("infinity", "box-not-finite", box(10, 5, INFINITY, 10)),
    Variant("beyond floats", "box-not-finite", box(10, 5, HUGE, 10)),
    Variant("negative width", "box-inverted", box(30, 5, -20, 10)),
    Variant("negative height", "box-inverted", box(10, 15, 20, -10)),
    Variant("no width", "box-empty", box(10, 5, 0, 10)),
    Variant("no height", "box-empty", box(10, 5, 20, 0.0)),
    Variant("all zeros", "box-empty", box(0, 0, 0, 0)),
    Variant("beside the image", "box-empty", box(60.5, 5, 1, 10)),
    Variant("too far left", "box-outside", box(-5, 5, 20, 10)),
    Variant("too far up", "box-outside", box(10, -5, 20, 10)),
    Variant("too far right", "box-outside", box(50, 5, 20, 10)),
    Variant("too far down", "box-outside", box(10, 35, 20, 10)),
    Variant("very far", "box-outside", box(1e300, 1e300, 1e300, 1e300)),
    Variant("a pixel outside", "box-clipped", box(-1, 5, 20, 10)),
    Variant("half a pixel wide", "box-thin", box(10, 5, 0.5, 10)),
    Variant(
        "corners",
        "boxes-corners",
        each_box(lambda x, y, w, h: [x, y, x + w, y + h]),
    ),
    Variant(
        "corners beside masks",
        "boxes-corners",
        each_box_with_mask(lambda x, y, w, h: [x, y, x + w, y + h]),
    ),
    Variant(
        "centres",
        "boxes-centred",
        each_box_with_mask(lambda x, y, w, h: [x + w / 2, y + h / 2, w, h]),
    ),
    Variant(
        "rows first",
        "boxes-transposed",
        each_box_with_mask(lambda x, y, w, h: [y, x, h, w]),
    ),
    Variant(
        "fractions",
        "boxes-normalised",
        each_box(
            lambda x, y, w, h: [x / WIDTH, y / HEIGHT, w / WIDTH, h / HEIGHT]
        ),
    ),
    Variant(
        "box off its mask",
        "box-off-mask",
        put("annotations", 0, "bbox", [30, 20, 20, 10]),
    ),
]

MASK_FAULTS = [
    Variant("mask a number", "mask-type", mask(7)),
    Variant("mask a file name", "mask-type", mask("mask.png")),
    Variant("mask true", "mask-type", mask(True)),
    Variant("flat polygon", "mask-flat", mask(SQUARE)),
    Variant("polygon of points", "polygon-type", mask([[[10, 5], [30, 15]]])),
    Variant("polygon null", "polygon-type", mask([None])),
    Variant(
        "polygon of text", "polygon-type", mask([[str(n) for n in SQUARE]])
    ),
    Variant("polygon of dicts", "polygon-type", mask([{"x": 10, "y": 5}])),
    Variant("odd polygon", "polygon-odd", mask([SQUARE[:-1]])),
    Variant("two points", "polygon-short", mask([SQUARE[:4]])),
    Variant("no points", "mask-missing", mask([[]])),
    Variant("second polygon short", "polygon-short", mask([SQUARE, [1, 2]])),
    Variant("NaN point", "polygon-not-finite", mask([[NAN, *SQUARE[1:]]])),
    Variant("point at infinity", "polygon-not-finite", mask([[INFINITY] * 6])),
    Variant(
        "point beyond floats", "polygon-not-finite", mask([[HUGE, *SQUARE[1:]]])
    ),
    Variant("point very far", "polygon-far", mask([[1e9, 1e9, *SQUARE]])),
    Variant("point before all", "polygon-far", mask([[-1e300, 0, *SQUARE]])),
    Variant(
        "polygon outside", "polygon-outside", mask([_polygon(10, 5, 90, 15)])
    ),
    Variant("mask a dict", "rle-size", mask({"points": SQUARE})),
    Variant("size turned", "rle-size", all_masks_transposed),
    Variant("size null", "rle-size", mask({**RUNS, "size": None})),
    Variant("size text", "rle-size", mask({**RUNS, "size": "40x60"})),
    Variant("another size", "rle-size", mask({"size": [4, 6], "counts": [24]})),
    Variant("no counts", "rle-counts", mask({"size": RUNS["size"]})),
    Variant("counts a number", "rle-counts", mask({**RUNS, "counts": 5})),
    Variant("float counts", "rle-counts", mask({**RUNS, "counts": [2400.0]})),
    Variant("NaN counts", "rle-counts", mask({**RUNS, "counts": [NAN]})),
    Variant(
        "negative counts", "rle-counts", mask({**RUNS, "counts": [2500, -100]})
    ),
    Variant("wrong letters", "rle-counts", mask({**RUNS, "counts": "!!"})),
    Variant("other script", "rle-counts", mask({**RUNS, "counts": "ääää"})),
    Variant("half a letter", "rle-counts", mask({**RUNS, "counts": "\ud800"})),
    Variant("counts empty text", "rle-counts", mask({**RUNS, "counts": ""})),
    Variant(
        "counts cut",
        "rle-counts",
        mask({**RUNS, "counts": "e"}),
    ),
    Variant(
        "counts of Base64",
        "rle-counts",
        mask({**RUNS, "counts": "eJwLSS0uAQAEXQHB=="}),
    ),
    Variant("counts too short", "rle-sum", mask({**RUNS, "counts": [5, 9]})),
    Variant("counts empty", "rle-sum", mask({**RUNS, "counts": []})),
    Variant("counts huge", "rle-sum", mask({**RUNS, "counts": [0, HUGE]})),
    Variant("string too short", "rle-sum", mask({**RUNS, "counts": "0"})),
    Variant("no pixel", "mask-empty", mask({**RUNS, "counts": [2400]})),
    Variant("a speck", "mask-empty", mask([[10.1, 5.1, 10.2, 5.1, 10.2, 5.2]])),
    Variant("no mask", "mask-missing", drop("annotations", 0, "segmentation")),
]

KEYPOINT_FAULTS = [
    Variant(
        "points a dict",
        "keypoints-type",
        put("annotations", 3, "keypoints", {"nose": [1, 2]}),
    ),
    Variant("points of text", "keypoints-type", points(*"123456789")),
    Variant("a NaN point", "keypoints-type", points(NAN, *[1] * 8)),
    Variant("a huge point", "keypoints-type", points(HUGE, *[1] * 8)),
    Variant("two points", "keypoints-length", points(1, 2, 2, 3, 4, 2)),
    Variant("no visibility", "keypoints-length", points(1, 2, 3, 4, 5, 6)),
    Variant("points without names", "keypoints-unnamed", without_names),
    Variant(
        "visibility 3", "keypoints-visibility", points(40, 25, 3, *[0] * 6)
    ),
    Variant(
        "visibility a score",
        "keypoints-visibility",
        points(40, 25, 0.9, *[0] * 6),
    ),
    Variant("point outside", "keypoints-outside", points(90, 25, 2, *[0] * 6)),
    Variant("point negative", "keypoints-outside", points(40, -9, 2, *[0] * 6)),
    Variant(
        "wrong number",
        "keypoints-count",
        put("annotations", 3, "num_keypoints", 17),
    ),
]

GROUPS = {
    "file": FILE_FAULTS,
    "category": CATEGORY_FAULTS,
    "image": IMAGE_FAULTS,
    "annotation": ANNOTATION_FAULTS,
    "box": BOX_FAULTS,
    "mask": MASK_FAULTS,
    "keypoint": KEYPOINT_FAULTS,
}
VARIANTS = {
    f"{group}: {variant.name}": variant
    for group, variants in GROUPS.items()
    for variant in variants
}
