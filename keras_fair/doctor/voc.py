"""Read a folder of Pascal VOC whatever is in it, and say what is wrong."""

import glob
import os
from collections.abc import Sequence

import numpy as np

from keras_fair.data import class_splits, voc
from keras_fair.data import records as data_records
from keras_fair.doctor import findings as findings_lib

WHOLE = "*"  # in the place of a split: all XML of a folder, and all lists


def read(
    folder: str,
    split: str,
    class_names: Sequence[str],
    findings: findings_lib.Findings,
) -> data_records.Content | None:
    """Return COCO's three lists, or None where no image is named.

    An image without readable XML is left out, and so is an object without a
    box of four numbers.

    Args:
        folder: with Annotations.
        split: the list below ImageSets, such as "Main/train", or `WHOLE`.
        class_names: () is VOC's 20; of a whole folder that has others, those
            that it has.
        findings: faults are added to it.
    """
    if split == WHOLE:
        names = _every_name(folder, findings)
    else:
        names = _names(
            os.path.join(folder, "ImageSets", f"{split}.txt"), folder, findings
        )
    images, annotations = [], []
    for image_id, name in enumerate(names, start=1):
        image, objects = _read_image(folder, name, findings)
        if image:
            images.append({"id": image_id, **image})
        for number, each in objects.items():
            annotations.append({"image_id": image_id, **each})
            findings.called[len(annotations)] = f"object {number}"
    if not images:
        findings.add("empty-data", f"no image of {folder} ({split})")
        return None
    class_names = class_names or class_splits.VOC_CLASSES
    tags = {each["category_id"] for each in annotations}
    spelled = {voc.COCO_SPELLING.get(tag, tag) for tag in tags}
    if split == WHOLE and not spelled <= set(class_names):
        class_names = sorted(tags - {""})
    return voc.make_content(images, annotations, class_names)


def _names(path: str, folder: str, findings) -> list[str]:
    try:
        return voc.read_list(path, folder)
    except (ValueError, OSError) as error:
        findings.add("list-broken", str(error))
        return []


def _every_name(folder: str, findings) -> list[str]:
    names, escaped = set(), glob.escape(folder)
    for path in glob.glob(f"{escaped}/ImageSets/**/*.txt", recursive=True):
        names.update(_names(path, folder, findings))
    for path in glob.glob(f"{escaped}/Annotations/*.xml"):
        names.add(os.path.splitext(os.path.basename(path))[0])
    return sorted(names)


def _read_image(folder: str, name: str, findings) -> tuple[dict, dict]:
    """Return COCO's dict of an image and, by number, of its objects."""
    path = voc.xml_path(folder, name)
    try:
        root = voc.read_xml(path)
    except FileNotFoundError:
        findings.add("xml-missing", path, image=name)
        return {}, {}
    except (ValueError, OSError) as error:
        findings.add("xml-broken", str(error), image=name)
        return {}, {}
    try:
        image = voc.read_image(root, name, path)
    except ValueError as error:
        findings.add("image-size", str(error), image=name)
        return {}, {}
    elements, objects = root.findall("object"), {}
    for number, element in enumerate(elements, start=1):
        try:
            objects[number] = voc.read_object(element, path)
        except ValueError as error:
            detail = f"object {number}: {error}"
            findings.add("xml-box", detail, image=image["file_name"])
    path = voc.png_path(folder, name)
    if os.path.isfile(path):
        _add_masks(objects, len(elements), path, image, findings)
    return image, objects


def _add_masks(objects: dict, count: int, path: str, image: dict, findings):
    """Give the objects their masks, if the PNG is of `count` objects."""

    def report(code: str, detail: str) -> None:
        findings.add(code, detail, image=image["file_name"])

    try:
        numbers = voc.read_png(path)
    except ValueError as error:
        report("png-broken", str(error))
        return
    shape = (image["height"], image["width"])
    if numbers.shape != shape:
        height, width = numbers.shape
        report(
            "png-size",
            f"{path}: {width} x {height} (width x height), the XML says "
            f"{shape[1]} x {shape[0]}",
        )
        return
    shown = set(np.unique(numbers).tolist()) - {0, voc.BORDER}
    detail = f"{path} shows {sorted(shown)}, the XML has {count} objects"
    if shown and max(shown) > count:
        report("png-unknown-object", detail)
    elif len(shown) < count:
        report("png-without-object", detail)
    for number, each in objects.items():
        voc.set_mask(each, numbers == number)
