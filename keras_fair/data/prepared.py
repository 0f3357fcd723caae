"""A data set that tensorflow-datasets has prepared, read without that package.

Of the shards only the annotations are read, and where the images lie: an
image is read when it is due, at random, like a file of its own. So training
shuffles and resumes as exactly as from image files. Needs TensorFlow only for
a folder with a scheme, such as gs://.
"""

import fnmatch
import io
import json
import os
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_fair import files
from keras_fair.data import file_parts, instances, records, tfrecords

INFO, METADATA = "dataset_info.json", "metadata.json"
LABELS = "objects-label.labels.txt"
HEADER_BYTES = 4096  # of an image: enough to know its size, mostly


class PreparedDataset(instances.InstanceDataset):
    """The records of one split; see InstanceDataset.

    What keras-fair-prepare wrote comes back to the last bit: boxes, masks,
    keypoints, ids and the order of the images. Any other data set with the
    features image and objects {bbox, label}, such as "coco/2017" and "voc",
    gives boxes without masks: tensorflow-datasets does not keep theirs.

    Args:
        folder: of a version, a builder's `data_dir`, local or of any
            tf.io.gfile path; shards are TFRecords.
        split: such as "train".
        options: InstanceDataset's.
    """

    def __init__(self, folder: str, split: str, **options):
        self.path = f"{folder} ({split})"
        self._folder = str(folder)
        self._split = split
        super().__init__(str(folder), **options)

    def read_content(self) -> records.Content:
        """Look through the shards.

        Raises:
            FileNotFoundError: no such data set, or shards of it are missing.
            ValueError: other features, no such split, or a broken shard.
        """
        shards = _find_shards(self._folder, self._split)
        categories = _read_categories(self._folder)
        examples, faults = [], []
        for path, length in shards.items():
            content, all_features = _read_shard(path, length)
            for number, features in enumerate(all_features):
                try:
                    examples.append(_read_example(path, content, features))
                except (ValueError, OSError, Image.DecompressionBombError) as e:
                    name = f"{os.path.basename(path)}, example {number}"
                    faults.append(records.Fault("image", name, ValueError(e)))
        examples.sort(key=lambda example: example.index)
        return records.Content(
            *_number(examples, categories), categories, faults
        )

    def _empty_record(self, image: dict) -> records.Record:
        # No file of its own, and there when it was looked through.
        return records.empty_record(
            image["file_name"], image, len(self.keypoint_names)
        )


class _Example(NamedTuple):
    index: int  # in the source of the data set; 0 where it is not said
    image: dict  # COCO's; the id is None where it is not said
    objects: list  # COCO's annotations, with labels for category ids


def _find_shards(folder: str, split: str) -> dict:
    """Return how many examples each file of the split has."""
    system, path = files.system(folder), os.path.join(folder, INFO)
    if not system.exists(path):
        raise FileNotFoundError(
            f"No file {path}. Expected the folder of a version that "
            "tensorflow-datasets prepared, such as "
            "keras_fair_instances/coco/1.0.0."
        )
    info = _read_json(path)
    if info.get("fileFormat", "tfrecord") != "tfrecord":
        raise ValueError(
            f"Expected {folder} in the file format tfrecord. Received: "
            f"{info['fileFormat']}. Prepare it anew as tfrecord."
        )
    try:
        lengths = {
            # An empty split has none.
            each["name"]: list(map(int, each.get("shardLengths", [])))
            for each in info["splits"]
        }
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(
            f"Expected splits of a name and shardLengths in {path}. Received: "
            f"{info.get('splits')!r:.60}. Copy or prepare it again."
        ) from error
    if split not in lengths:
        raise ValueError(
            f"Expected a split of {folder}: {', '.join(lengths)}. Received: "
            f"{split!r}."
        )
    count = len(lengths[split])
    pattern = f"*-{split}.tfrecord-*-of-{count:05d}"
    names = sorted(fnmatch.filter(system.listdir(folder), pattern))
    if len(names) != count:
        raise FileNotFoundError(
            f"Expected {count} files {pattern} in {folder}. Received: "
            f"{len(names)}. Copy or prepare it again."
        )
    paths = (os.path.join(folder, name) for name in names)
    return dict(zip(paths, lengths[split]))


def _read_json(path: str) -> dict:
    try:
        content = json.loads(file_parts.read(path))
    except ValueError as error:
        raise ValueError(
            f"{path} is not complete JSON ({error}). Copy or prepare it again."
        ) from error
    if not isinstance(content, dict):
        raise ValueError(
            f"Expected a dict in {path}. Received: {content!r:.60}. Copy or "
            "prepare it again."
        )
    return content


def _read_categories(folder: str) -> list[dict]:
    """Return COCO's dicts; where ids are not said, they are 1 to K."""
    exists, path = files.system(folder).exists, os.path.join(folder, LABELS)
    if not exists(path):
        raise ValueError(
            "Expected the features image and objects {bbox, label}, with names "
            f"of the labels. {folder} has no {LABELS}."
        )
    names = file_parts.read(path).decode("utf-8").rstrip("\n").split("\n")
    path_of_metadata, metadata = os.path.join(folder, METADATA), {}
    if exists(path_of_metadata):
        metadata = _read_json(path_of_metadata)
    ids = metadata.get("category_ids") or range(1, len(names) + 1)
    if len(ids) != len(names):
        raise ValueError(
            f"Expected {len(ids)} names in {path}, as {METADATA} says. "
            f"Received: {len(names)}. Copy or prepare it again."
        )
    points = {"keypoints": metadata.get("keypoint_names", [])}
    return [{"id": i, "name": name, **points} for i, name in zip(ids, names)]


def _read_shard(path: str, length: int) -> tuple:
    """Return the bytes of a file, and the features of each example."""
    content = tfrecords.map_file(path)
    try:
        features = list(tfrecords.read_examples(content))
    except ValueError as error:
        raise ValueError(
            f"{path}: {error}. Copy or prepare it again."
        ) from error
    if len(features) != length:
        raise ValueError(
            f"Expected {length} examples in {path}, as {INFO} says. Received: "
            f"{len(features)}. Copy or prepare it again."
        )
    return content, features


def _read_example(path: str, content, features: dict) -> _Example:
    part, *others = _parts(features, "image") or [None]
    if part is None or others:
        raise ValueError(f"no feature image; there are {sorted(features)}")
    width, height = _image_size(content, part)
    image = {
        "id": _first_integer(features, "image/id"),
        "file_name": file_parts.name_of(path, part),
        "height": height,
        "width": width,
    }
    return _Example(
        _first_integer(features, "image/index") or 0,
        image,
        _read_objects(content, features, height, width),
    )


def _image_size(content, part: slice) -> tuple[int, int]:
    """Return width and height as stored, before any EXIF rotation."""
    header = content[part.start : min(part.start + HEADER_BYTES, part.stop)]
    for beginning in (header, content[part]):
        try:
            with Image.open(io.BytesIO(beginning)) as file:
                return file.size
        except OSError:
            continue  # the size comes later, after other things
    raise ValueError("corrupt image")


def _parts(features: dict, name: str) -> list[slice]:
    """Return where the bytes of a feature are; [] if it is none of bytes."""
    values = features.get(name)
    return values if isinstance(values, list) else []


def _numbers(features: dict, name: str):
    """Return a feature as an array; empty if it is none of numbers."""
    values = features.get(name)
    return values if isinstance(values, np.ndarray) else np.zeros(0, np.float32)


def _first_integer(features: dict, name: str) -> int | None:
    values = _numbers(features, name)
    is_integer = values.dtype == np.int64 and values.size
    return int(values[0]) if is_integer else None


def _read_objects(content, features: dict, height: int, width: int) -> list:
    """Return COCO's dicts, with what features there are."""

    def column(name: str) -> list:
        return _numbers(features, f"objects/{name}").tolist()

    labels = column("label")
    columns = {
        "id": column("id"),
        "category_id": labels,
        "bbox": _read_boxes(features, height, width).tolist(),
        "area": column("area"),
        "iscrowd": column("is_crowd") or column("is_difficult"),  # COCO, VOC
        "segmentation": [
            {"size": [height, width], "counts": content[part].decode("ascii")}
            if part.stop > part.start
            else None
            for part in _parts(features, "objects/counts")
        ],
    }
    if column("keypoints"):
        points = np.reshape(column("keypoints"), (len(labels), -1))
        columns["keypoints"] = points.tolist()
    columns = {name: values for name, values in columns.items() if values}
    rows = zip(*columns.values(), strict=True)
    return [dict(zip(columns, row)) for row in rows]


def _read_boxes(features: dict, height: int, width: int):
    """Return float64 [n, 4], x, y, width and height in pixels."""
    corners = _numbers(features, "objects/pixel_box").reshape(-1, 4)
    corners = corners.astype(np.float64)
    if not len(corners):  # y1, x1, y2, x2 of the convention, 0 to 1
        boxes = _numbers(features, "objects/bbox").reshape(-1, 4)
        corners = boxes[:, [1, 0, 3, 2]] * np.float64([width, height] * 2)
    return np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1)


def _number(examples: list, categories: list) -> tuple[list, list]:
    """Return COCO's lists of images and annotations, all with ids."""
    images, annotations = [], []
    for number, example in enumerate(examples, start=1):
        image_id = example.image["id"]
        image_id = number if image_id is None else image_id
        images.append({**example.image, "id": image_id})
        for each in example.objects:
            label = each["category_id"]
            is_known = 0 <= label < len(categories)
            ids = {
                "image_id": image_id,
                "category_id": categories[label]["id"]
                if is_known
                else f"label {label}",  # refused by this name
            }
            annotations.append({"id": len(annotations) + 1, **each, **ids})
    return images, annotations
