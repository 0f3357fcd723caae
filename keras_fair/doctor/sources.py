"""Which data sets a path or a config names, and how each is read leniently."""

import contextlib
import dataclasses
import glob
import os

from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import datasets, lvis
from keras_fair.data import records as data_records
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import reading, voc

# Whichever of COCO and LVIS the json is; a config says it.
JSON = ""


def of_path(path: str) -> list[SourceConfig]:
    """Return the data sets of a folder of Pascal VOC's or COCO's shape.

    Args:
        path: with Annotations, or with annotations/instances_*.json and a
            folder of images for each json, called as COCO's.

    Raises:
        ValueError: it is neither.
    """
    if os.path.isdir(os.path.join(path, "Annotations")):
        return [SourceConfig("voc", annotations=path, split=voc.WHOLE)]
    pattern = os.path.join(glob.escape(path), "annotations", "instances_*.json")
    found = sorted(glob.glob(pattern))
    if not found:
        raise ValueError(
            "Expected a json, a folder with annotations/instances_*.json, or "
            "one with Pascal VOC's Annotations. Received: "
            f"{path}{'' if os.path.exists(path) else ', which does not exist'}."
            " Give --annotations and --images if the files lie elsewhere."
        )
    return [
        SourceConfig(JSON, annotations=each, images=_images_of(each, path))
        for each in found
    ]


def _images_of(annotations: str, root: str) -> str:
    """Return "root/train2017" for root/annotations/instances_train2017.json."""
    name = os.path.splitext(os.path.basename(annotations))[0]
    name = name.removeprefix("instances_")
    usual = [os.path.join(root, *part) for part in ([name], ["images", name])]
    return next(filter(os.path.isdir, usual), usual[0])


def name_of(source: SourceConfig) -> str:
    """Return what a report calls it."""
    if source.split in ("", voc.WHOLE):
        return source.annotations
    return f"{source.annotations} ({source.split})"


def images_folder(source: SourceConfig) -> str:
    """Return the folder of the image files, or of the shards."""
    if source.kind == "voc":
        return os.path.join(source.annotations, "JPEGImages")
    return source.annotations if source.kind == "tfds" else source.images


def read(
    source: SourceConfig, findings: findings_lib.Findings
) -> data_records.Content | None:
    """Return COCO's three lists, or None where nothing can be read.

    Args:
        source: its paths are whole.
        findings: faults are added to it.
    """
    if source.kind == "voc":
        return voc.read(
            source.annotations, source.split, source.class_names, findings
        )
    if source.kind not in (JSON, "coco", "lvis"):
        return _read_as_training(source, findings)
    content = reading.read(source.annotations, findings)
    if content and source.kind != "coco":
        return _with_file_names(content, source)
    return content


def _with_file_names(content: data_records.Content, source: SourceConfig):
    """Give LVIS's images their names; what has none is found later."""
    images = []
    for image in content.images:
        is_lvis = isinstance(image, dict) and lvis.FEDERATED[0] in image
        if is_lvis or source.kind == "lvis":
            with contextlib.suppress(ValueError):
                image = lvis.with_file_name(image, source.images)
        images.append(image)
    return content._replace(images=images)


def _read_as_training(source: SourceConfig, findings):
    """Read by the strict reader, what it would leave out as well.

    Shards and Visual Genome's json are written by programs: the records may
    have faults, the files are whole or not. They are read twice.
    """
    source = dataclasses.replace(source, class_map=())
    lenient = DataConfig(on_bad_record="skip")
    try:
        content = datasets.open_source(source, lenient).read_content()
    except (ValueError, OSError) as error:
        findings.add("source-refused", str(error))
        return None
    for fault in content.faults:
        findings.add("refused", str(fault.error), image=fault.record)
    if source.kind == "tfds":
        for image in content.images:  # the shards lie side by side
            image["file_name"] = os.path.basename(image["file_name"])
    return content
