"""How many images a second of CPU time Detectron2's DatasetMapper prepares.

    python benchmarks/detectron2_mapper.py coco_tiny 20 bitmask

The last word is how it keeps masks: bitmask, polygon (its default: corners,
which are made into pixels later, in the training step) or none.

input_pipeline.py runs it, in an environment that has Detectron2 and may lack
TensorFlow. Its Python code is enough, nothing of it need be compiled.
"""

import itertools
import json
import os
import sys
import time

from detectron2.data import DatasetMapper
from detectron2.data import transforms as T
from detectron2.data.datasets import load_coco_json

WARM_UP = 12  # images


def main(root: str, seconds: str, masks: str) -> None:
    records = load_coco_json(
        os.path.join(root, "annotations/instances_train2017.json"),
        os.path.join(root, "train2017"),
    )
    mapper = DatasetMapper(
        is_train=True,
        augmentations=[T.ResizeShortestEdge(800, 1333), T.RandomFlip()],
        image_format="BGR",
        use_instance_mask=masks != "none",
        instance_mask_format="polygon" if masks == "none" else masks,
    )
    records = itertools.cycle(r for r in records if r["annotations"])
    for record in itertools.islice(records, WARM_UP):
        mapper(record)
    start, images = time.process_time(), 0
    while time.process_time() - start < float(seconds):
        mapper(next(records))
        images += 1
    rate = images / (time.process_time() - start)
    print(json.dumps({"images": images, "images_per_cpu_second": rate}))


if __name__ == "__main__":
    main(*sys.argv[1:])
