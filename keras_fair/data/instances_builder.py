"""Writes any data set as a tensorflow-datasets one: sharded and versioned.

Needs tensorflow-datasets, and on a Beam runner apache-beam, too.
"""

import importlib.util
import io
import itertools
import os
import pickle
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from pycocotools import mask as coco_mask

from keras_fair import files
from keras_fair.data import annotations, file_parts, records, rle
from keras_fair.data.datasets import Dataset

try:
    import tensorflow_datasets as tfds
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        "Preparing shards needs the package tensorflow-datasets; training on "
        "them does not. Install it: pip install 'keras-fair[tfds]'."
    ) from error

NAME = "keras_fair_instances"
WAITING = "waiting"  # folder of what Beam's workers take their examples from
IMAGES_OF_FILE = 100  # in that folder; what a worker takes at once


class InstancesBuilder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
    """Boxes, masks and keypoints beside the image files' own bytes.

    `write` writes into a folder that is renamed when all is there, so a run
    that was killed leaves none that looks complete, and the next starts anew.
    Nothing is downloaded. What it wrote, `tfds.load` reads in any program,
    and `prepared.PreparedDataset` for training.

    Features (n objects, crowd regions among them):
        image: as stored in its file, whatever the format.
        image/id, image/filename: of the source.
        image/index: position in the source; examples are shuffled.
        objects/bbox: tfds's, y1 x1 y2 x2 from 0 to 1.
        objects/pixel_box: float32 [n, 4], xyxy pixels. The former does not
            give these back to the last digit.
        objects/label, id, area, is_crowd: as COCO's; labels from 0.
        objects/has_mask: bool [n].
        objects/counts: COCO's compressed run lengths; "" where no mask is.
        objects/keypoints: float32 [n, P, 3], COCO's; absent where P is 0.

    Args:
        datasets: {split: data set}, of the same categories.
        config: name of the data, the folder below "keras_fair_instances".
        data_dir: folder of all prepared data.
        version: of the data; another one is written beside.
        beam_runner: of Apache Beam, such as "DirectRunner", or the full name
            of its class. Its workers have this package, and reach `data_dir`
            and the image files by the same paths. None writes in this
            process.
        beam_options: Beam's, each as on its command line.
        options: tfds's, such as `file_format`.

    Raises:
        ValueError: data sets of different categories or keypoints, or two
            classes of a name; options without a runner.
        ModuleNotFoundError: a runner without apache-beam.
    """

    name = NAME
    VERSION = tfds.core.Version("1.0.0")
    # No file of checksums lies beside this one. Looking for it, version 4.9
    # imports importlib_resources, which it does not require.
    code_path = None

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        *,
        config: str,
        data_dir: str,
        version: str = "1.0.0",
        beam_runner: str | None = None,
        beam_options: Sequence[str] = (),
        **options,
    ):
        if len({_classes(dataset) for dataset in datasets.values()}) != 1:
            raise ValueError(
                "Expected splits of the same category ids, names and "
                "keypoints. Received: "
                f"{', '.join(each.path for each in datasets.values())}."
            )
        _, names, _ = _classes(next(iter(datasets.values())))
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(
                "Expected classes of different names, by which they are told "
                f"apart in shards. Received twice: {', '.join(twice)}. Rename "
                "or unite them."
            )
        if beam_runner and not importlib.util.find_spec("apache_beam"):
            raise ModuleNotFoundError(
                f"Writing by Beam's {beam_runner} needs the package "
                "apache-beam. Install it, or give no runner."
            )
        if beam_options and not beam_runner:
            raise ValueError(
                "Expected a beam_runner for beam_options. Received: "
                f"{', '.join(beam_options)}."
            )
        self._datasets = datasets
        self._beam_runner = beam_runner
        self._beam_options = beam_options
        about = tfds.core.BuilderConfig(name=config, version=version)
        super().__init__(config=about, data_dir=_absolute(data_dir), **options)

    def write(self) -> None:
        """Write all splits, unless this version is there already."""
        options = None
        if self._beam_runner:
            beam = tfds.core.lazy_imports.apache_beam
            # Without a list, Beam would take this program's own flags.
            options = beam.options.pipeline_options.PipelineOptions(
                list(self._beam_options)
            )
        self.download_and_prepare(
            download_config=tfds.download.DownloadConfig(
                beam_runner=self._beam_runner, beam_options=options
            )
        )

    def _info(self) -> tfds.core.DatasetInfo:
        ids, names, points = _classes(next(iter(self._datasets.values())))
        paths = (each.path for each in self._datasets.values())
        return tfds.core.DatasetInfo(
            builder=self,
            description=f"Objects of {', '.join(paths)}.",
            features=_features(names, len(points)),
            metadata=tfds.core.MetadataDict(
                category_ids=list(ids), keypoint_names=list(points)
            ),
        )

    def _split_generators(self, dl_manager) -> dict:
        return {
            split: self._generate_examples(split, dataset)
            for split, dataset in self._datasets.items()
        }

    def _generate_examples(self, split: str, dataset: Dataset):
        """Return the examples, or for Beam what reads them.

        Beam's graph has the name of a folder only, as services limit it to
        some 10 MB. The folder is one of tfds's unfinished data set, which
        goes as a whole when anything fails.
        """
        if not self._beam_runner:
            return map(_with_bytes, _examples(dataset))
        beam = tfds.core.lazy_imports.apache_beam
        folder = self.data_path / WAITING / split
        count = _write_waiting(_examples(dataset), folder)
        return (
            beam.Create([(os.fspath(folder), count)])
            | beam.FlatMapTuple(_waiting_paths)
            | beam.Reshuffle()  # or one worker would read them all
            | beam.FlatMap(_read_waiting)
            | beam.Map(_with_bytes)
        )

    def _process_pipeline_result(self, pipeline_result) -> None:
        (self.data_path / WAITING).rmtree()


def _absolute(path: str) -> str:
    """Return the path as a worker of Beam needs it, whose folder is another."""
    return files.join(os.getcwd(), path)


def _classes(dataset: Dataset) -> tuple:
    return dataset.category_ids, dataset.class_names, dataset.keypoint_names


def _features(class_names, num_keypoints: int) -> tfds.features.FeaturesDict:
    objects = {
        "bbox": tfds.features.BBoxFeature(),
        "pixel_box": tfds.features.Tensor(shape=(4,), dtype=np.float32),
        "label": tfds.features.ClassLabel(names=list(class_names)),
        "id": np.int64,
        "area": np.float32,
        "is_crowd": np.bool_,
        "has_mask": np.bool_,
        "counts": tfds.features.Text(),
    }
    if num_keypoints:
        objects["keypoints"] = tfds.features.Tensor(
            shape=(num_keypoints, 3), dtype=np.float32
        )
    return tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(),
            "image/id": np.int64,
            "image/filename": tfds.features.Text(),
            "image/index": np.int64,
            "objects": tfds.features.Sequence(objects),
        }
    )


def _examples(dataset: Dataset) -> Iterator[tuple[int, dict]]:
    """Yield key and example of each image, with its path for the image."""
    truth = dataset.to_coco()
    label_of = {k: label for label, k in enumerate(dataset.category_ids)}
    num_keypoints = len(dataset.keypoint_names)
    for index, record in enumerate(dataset.records):
        objects = []
        masks = iter(record.masks)  # of what is no crowd region
        for each in truth.imgToAnns[record.image_id]:
            if each["iscrowd"]:
                mask = _crowd_mask(each, record) if dataset.with_masks else None
            else:
                mask = next(masks)
            entry = _object(each, mask, record.height, record.width)
            entry["label"] = label_of[each["category_id"]]
            if num_keypoints:
                points = np.array(each["keypoints"], np.float32)
                entry["keypoints"] = points.reshape(num_keypoints, 3)
            objects.append(entry)
        yield (
            index,
            {
                "image": _absolute(record.path),
                "image/id": record.image_id,
                "image/filename": record.path.replace("\\", "/").split("/")[-1],
                "image/index": index,
                "objects": objects,
            },
        )


def _crowd_mask(annotation: dict, record: records.Record):
    """Return the run lengths of a crowd region; its record has none."""
    segmentation = annotation.get("segmentation")
    if not segmentation or segmentation == [[]]:
        return None
    return rle.read_segmentation(segmentation, record.height, record.width)


def _object(annotation: dict, mask, height: int, width: int) -> dict:
    """Return an object's features, those that every data set has."""
    x1, y1, x2, y2 = annotations.read_box(annotation["bbox"], height, width)
    return {
        "bbox": tfds.features.BBox(
            ymin=y1 / height, xmin=x1 / width, ymax=y2 / height, xmax=x2 / width
        ),
        "pixel_box": np.array((x1, y1, x2, y2), np.float32),
        "id": annotation["id"],
        "area": annotation["area"],
        "is_crowd": bool(annotation["iscrowd"]),
        "has_mask": mask is not None,
        "counts": "" if mask is None else _compress(mask, height, width),
    }


def _compress(counts, height: int, width: int) -> str:
    """Return COCO's string of run lengths."""
    whole = {"size": [height, width], "counts": counts.tolist()}
    return coco_mask.frPyObjects(whole, height, width)["counts"].decode()


def _write_waiting(examples: Iterator, folder) -> int:
    """Write examples without pixels; return the number of files."""
    folder.mkdir(parents=True)
    for count in itertools.count():
        chunk = list(itertools.islice(examples, IMAGES_OF_FILE))
        if not chunk:
            return count
        (folder / str(count)).write_bytes(pickle.dumps(chunk))


def _waiting_paths(folder: str, count: int) -> list[str]:
    return [files.join(folder, str(number)) for number in range(count)]


def _read_waiting(path: str) -> list[tuple[int, dict]]:
    return pickle.loads(file_parts.read(path))


def _with_bytes(keyed: tuple[int, dict]) -> tuple[int, dict]:
    """Put the image's bytes where its path is."""
    key, example = keyed
    content = io.BytesIO(file_parts.read(example["image"]))
    return key, {**example, "image": content}
