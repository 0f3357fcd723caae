"""How many images a second and core the input pipeline prepares.

    python benchmarks/input_pipeline.py --root=coco_tiny --seconds=30

Reads, decodes, resizes to a short side of 800 and crops masks to their boxes,
as a Mask R-CNN on COCO is trained, and divides by the CPU time of all threads:
what one core does. With Detectron2 installed, its DatasetMapper does the same
work in the same run (bitmaps of whole images, its default for Mask R-CNN).
"""

import importlib.util
import json
import pathlib
import resource
import time

from absl import app, flags

from keras_fair.config import DataConfig
from keras_fair.data import coco
from keras_fair.data.pipeline import make_dataset

ROOT = flags.DEFINE_string("root", None, "A COCO data set.", required=True)
ANNOTATIONS = flags.DEFINE_string(
    "annotations", "annotations/instances_train2017.json", "Below the root."
)
IMAGES = flags.DEFINE_string("images", "train2017", "Below the root.")
BATCH = flags.DEFINE_integer("batch", 4, "Images of a batch.")
SECONDS = flags.DEFINE_float("seconds", 30.0, "How long to measure.")
WITH_MASKS = flags.DEFINE_bool("masks", True, "With masks.")


def cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def measure(batches, count) -> dict:
    """Take batches for a while; `count` tells the images of one."""
    batches = iter(batches)
    for _ in range(3):
        next(batches)
    start, start_cpu, images = time.perf_counter(), cpu_seconds(), 0
    while time.perf_counter() - start < SECONDS.value:
        images += count(next(batches))
    seconds = time.perf_counter() - start
    cores = cpu_seconds() - start_cpu
    return {
        "images": images,
        "images_per_second": round(images / seconds, 1),
        "images_per_second_and_core": round(images / cores, 1),
    }


def ours() -> dict:
    root = pathlib.Path(ROOT.value)
    dataset = coco.CocoDataset(
        str(root / ANNOTATIONS.value),
        str(root / IMAGES.value),
        with_masks=WITH_MASKS.value,
    )
    batches = make_dataset(
        dataset,
        DataConfig(with_masks=WITH_MASKS.value),
        batch_size=BATCH.value,
        training=True,
    )
    return measure(batches, lambda batch: len(batch[1]["labels"]))


def detectron2() -> dict:
    from detectron2.data import DatasetMapper
    from detectron2.data import transforms as T
    from detectron2.data.datasets import load_coco_json

    root = pathlib.Path(ROOT.value)
    records = load_coco_json(
        str(root / ANNOTATIONS.value), str(root / IMAGES.value)
    )
    records = [record for record in records if record["annotations"]]
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[T.ResizeShortestEdge(800, 1333), T.RandomFlip()],
        image_format="BGR",
        use_instance_mask=WITH_MASKS.value,
        instance_mask_format="bitmask",
    )

    def mapped():
        while True:
            for record in records:
                yield mapper(record)

    return measure(mapped(), lambda record: 1)


def main(_) -> None:
    print(json.dumps({"keras_fair": ours()}))
    if importlib.util.find_spec("detectron2"):
        print(json.dumps({"detectron2": detectron2()}))
    else:
        print("Detectron2 is not installed here.")


if __name__ == "__main__":
    app.run(main)
