"""Pascal VOC's folders: a box in XML for each object, masks in PNG for some.

Everingham et al.: The Pascal Visual Object Classes Challenge, 2012 and
earlier; many tools write the XML. Needs no TensorFlow.
"""

import io
import math
import os
import re
from collections.abc import Callable, Sequence
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

from keras_fair import files
from keras_fair.data import class_splits, file_parts, instances, records

# What COCO calls otherwise.
COCO_SPELLING = {
    "aeroplane": "airplane",
    "diningtable": "dining table",
    "motorbike": "motorcycle",
    "pottedplant": "potted plant",
    "sofa": "couch",
    "tvmonitor": "tv",
}
BORDER = 255  # of an object in the PNG: belongs to none


class VocDataset(instances.InstanceDataset):
    """The records of one list of images; see InstanceDataset.

    A difficult object is a crowd region: it does not train, and a detection
    on it counts neither way. An image without a PNG in SegmentationObject has
    boxes without masks.

    Args:
        folder: with Annotations, ImageSets, JPEGImages and, for masks,
            SegmentationObject.
        split: the list below ImageSets, such as "Main/train".
        class_names: in the order of their labels; () is VOC's 20 as COCO
            spells and orders them. VOC's spelling is understood, too.
        options: InstanceDataset's.
    """

    def __init__(
        self,
        folder: str,
        split: str,
        *,
        class_names: Sequence[str] = (),
        **options,
    ):
        self.path = os.path.join(folder, "ImageSets", f"{split}.txt")
        self.folder = folder
        self._names = tuple(class_names) or class_splits.VOC_CLASSES
        super().__init__(os.path.join(folder, "JPEGImages"), **options)

    def read_content(self) -> records.Content:
        """Read the XML, and the PNG where masks are wanted, of each image.

        Raises:
            FileNotFoundError: there is no such list.
            ValueError: it is no text.
        """
        images, annotations, faults = [], [], []
        names = read_list(self.path, self.folder, self.is_file)
        for image_id, name in enumerate(names, start=1):
            try:
                image, objects = self._image_dicts(name)
            except (ValueError, OSError) as error:
                faults.append(records.Fault("image", name, error))
                continue
            images.append({"id": image_id, **image})
            annotations += [{"image_id": image_id, **each} for each in objects]
        return make_content(images, annotations, self._names)._replace(
            faults=faults
        )

    def _image_dicts(self, name: str) -> tuple[dict, list[dict]]:
        """Return COCO's dicts of an image and its objects, without ids."""
        path = xml_path(self.folder, name)
        root = read_xml(path)
        image = read_image(root, name, path)
        objects = [
            # What an error calls it.
            {"source": f"{name}, object {n}", **read_object(element, path)}
            for n, element in enumerate(root.findall("object"), start=1)
        ]
        path = png_path(self.folder, name)
        if self.with_masks and self.is_file(path):
            _add_masks(objects, path, image)
        return image, objects


def xml_path(folder: str, name: str) -> str:
    return os.path.join(folder, "Annotations", f"{name}.xml")


def png_path(folder: str, name: str) -> str:
    return os.path.join(folder, "SegmentationObject", f"{name}.png")


def read_list(
    path: str, folder: str, is_file: Callable[[str], bool] = files.is_file
) -> list[str]:
    """Return the names that a list of images has.

    Args:
        path: of the list.
        folder: with Annotations, which tell a name that has spaces.
        is_file: says of a path if it is there.

    Raises:
        FileNotFoundError: there is no such list.
        ValueError: it is no text.
    """
    if not files.is_file(path):
        raise FileNotFoundError(f"No list of images {path}.")
    try:
        # Windows' editors begin with a byte order mark.
        lines = file_parts.read(path).decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}).") from error
    names = (line.strip() for line in lines if line.strip())
    return [_without_columns(name, folder, is_file) for name in names]


def _without_columns(name: str, folder: str, is_file: Callable) -> str:
    """Drop the numbers behind a name, down to one that has an XML."""
    # The list of a class has a column of -1, 0 and 1; others have two.
    while column := re.search(r"\s+-?\d+$", name):
        if is_file(xml_path(folder, name)):
            break
        name = name[: column.start()]
    return name


def read_image(root, name: str, path: str) -> dict:
    """Return COCO's dict of an image, without an id.

    Args:
        root: of the XML.
        name: of the list.
        path: of the XML, for messages.

    Raises:
        ValueError: the size is no number.
    """
    suffix = os.path.splitext(root.findtext("filename", ""))[1]
    return {
        "file_name": name + (suffix or ".jpg"),
        "height": int(_number(root, "size/height", path)),
        "width": int(_number(root, "size/width", path)),
    }


def read_object(element, path: str) -> dict:
    """Return COCO's dict of an object; its category is the name in the XML.

    Args:
        element: of the XML.
        path: of the XML, for messages.

    Raises:
        ValueError: the box has no four numbers.
    """
    left, top, right, bottom = (
        _number(element, f"bndbox/{side}", path)
        for side in ("xmin", "ymin", "xmax", "ymax")
    )
    return {
        "category_id": element.findtext("name", "").strip(),
        # VOC counts pixels from 1, and the last belongs to the box.
        "bbox": [left - 1, top - 1, right - left + 1, bottom - top + 1],
        "iscrowd": int(element.findtext("difficult", "0").strip() == "1"),
    }


def make_content(
    images: list[dict], annotations: list[dict], class_names: Sequence[str]
) -> records.Content:
    """Number annotations and categories; the former become those of a class.

    Args:
        images: COCO's dicts.
        annotations: COCO's dicts; see `read_object`.
        class_names: in the order of their labels.
    """
    number_of = {name: n for n, name in enumerate(class_names, start=1)}
    for number, annotation in enumerate(annotations, start=1):
        name = annotation["category_id"]
        other = COCO_SPELLING.get(name, name)
        # An unknown class is refused by its name.
        category = number_of.get(name, number_of.get(other, name))
        annotation.update(id=number, category_id=category)
    categories = [{"id": n, "name": name} for name, n in number_of.items()]
    return records.Content(images, annotations, categories)


def read_xml(path: str) -> ElementTree.Element:
    """Parse an XML file that may come from anywhere.

    A document type is refused, since entities can blow a file up to any size.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is no XML, or has a document type.
    """
    if not files.is_file(path):
        raise FileNotFoundError(f"no file {path}")
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_doctype
    try:
        parser.Parse(file_parts.read(path), True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise ValueError(f"{path} is not plain XML ({error})") from error
    return builder.close()


def _refuse_doctype(name, *_) -> None:
    raise ValueError(f"document type {name!r}, whose entities are not read")


def _number(element, place: str, path: str) -> float:
    text = element.findtext(place, "")
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number as {place} in {path}: {text!r}")
    return number


def _add_masks(objects: list[dict], path: str, image: dict) -> None:
    """Give each object the pixels that the PNG has of its number."""
    numbers = read_png(path)
    shape = (image["height"], image["width"])
    if numbers.shape != shape:
        raise ValueError(
            f"expected height and width {shape} of {path}, as in the XML: "
            f"{numbers.shape}"
        )
    largest = int(np.max(numbers, where=numbers != BORDER, initial=0))
    if largest > len(objects):
        raise ValueError(
            f"{path} shows an object {largest}; the XML has {len(objects)}"
        )
    for number, each in enumerate(objects, start=1):
        set_mask(each, numbers == number)


def set_mask(annotation: dict, mask) -> None:
    """Give COCO's dict a mask, bool [h, w], unless that is empty."""
    if mask.any():
        rle = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        counts = rle["counts"].decode("ascii")
        annotation["segmentation"] = {
            "size": list(mask.shape),
            "counts": counts,
        }


def read_png(path: str):
    """Return uint8 [h, w]: the palette's indices, not its colours.

    Raises:
        ValueError: it is no readable image, or one of colours.
    """
    try:
        with Image.open(io.BytesIO(file_parts.read(path))) as image:
            if image.mode not in ("P", "L"):
                raise ValueError(
                    f"expected a palette of object numbers in {path}: mode "
                    f"{image.mode}"
                )
            return np.asarray(image)
    except (OSError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is no readable PNG ({error})") from error
