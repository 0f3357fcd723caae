"""How many images a second of CPU time the input pipeline prepares.

    python benchmarks/input_pipeline.py --root=coco_tiny --seconds=20 \
        --detectron2_python=/elsewhere/bin/python

Reads, decodes, resizes to a short side of 800, samples masks and makes
batches, as a Mask R-CNN on COCO is trained, and divides by the CPU time of
all threads: what one core does, whatever else runs on the machine.
Detectron2's DatasetMapper is measured by turns with it (detectron2_mapper.py):
with bitmaps of whole images, and with polygons, its default, of which it
leaves the making of pixels to the training step.
"""

import functools
import json
import pathlib
import statistics
import subprocess
import time

from absl import app, flags

from keras_fair.config import DataConfig
from keras_fair.data import coco
from keras_fair.data.pipeline import make_dataset

ROOT = flags.DEFINE_string("root", None, "A COCO data set.", required=True)
BATCH = flags.DEFINE_integer("batch", 4, "Images of a batch.")
SECONDS = flags.DEFINE_float("seconds", 20.0, "CPU time of a measurement.")
ROUNDS = flags.DEFINE_integer("rounds", 1, "Measurements of each.")
WITH_MASKS = flags.DEFINE_bool("masks", True, "With masks.")
AUGMENTED = flags.DEFINE_bool("augmented", False, "Also every augmentation.")
PEER = flags.DEFINE_string("detectron2_python", "", "Of its environment.")
WARM_UP = 3  # batches
EVERYTHING = DataConfig(
    short_sides=(1024,),
    max_long_side=1024,
    canvases=((1024, 1024),),
    large_scale_jitter=(0.1, 2.0),
    color_jitter=0.4,
    copy_paste=0.5,
    mosaic=0.25,
    with_masks=True,
)


def measure(config: DataConfig) -> float:
    """Return images per CPU second."""
    root = pathlib.Path(ROOT.value)
    dataset = coco.CocoDataset(
        str(root / config.train_annotations),
        str(root / config.train_images),
        with_masks=config.with_masks,
    )
    batches = iter(
        make_dataset(dataset, config, batch_size=BATCH.value, training=True)
    )
    for _ in range(WARM_UP):
        next(batches)
    start, images = time.process_time(), 0
    while time.process_time() - start < SECONDS.value:
        images += len(next(batches)[1]["labels"])
    return images / (time.process_time() - start)


def measure_detectron2(masks: str) -> float:
    """Return images per CPU second, of one of its formats of masks."""
    program = pathlib.Path(__file__).with_name("detectron2_mapper.py")
    arguments = [program, ROOT.value, str(SECONDS.value), masks]
    output = subprocess.check_output([PEER.value, *arguments], text=True)
    return json.loads(output.splitlines()[-1])["images_per_cpu_second"]


def main(_) -> None:
    plain = DataConfig(with_masks=WITH_MASKS.value)
    runs = {"keras_fair": lambda: measure(plain)}
    if AUGMENTED.value:
        runs["keras_fair, augmented"] = lambda: measure(EVERYTHING)
    if PEER.value:
        for masks in ("bitmask", "polygon") if WITH_MASKS.value else ("none",):
            runs[f"Detectron2, {masks}"] = functools.partial(
                measure_detectron2, masks
            )
    rates = {name: [] for name in runs}
    for _ in range(ROUNDS.value):
        for name, run in runs.items():
            rates[name].append(run())
    for name, found in rates.items():
        each = ", ".join(f"{rate:.1f}" for rate in found)
        print(f"{name}: {statistics.median(found):.1f} a second ({each})")


if __name__ == "__main__":
    app.run(main)
