"""Time a detector and what was exported of it, on the images of a data set.

    python -m keras_fair.bin.benchmark --workdir=/runs/r50 \
        --annotations=instances_val2017.json --images=val2017 --limit=50 \
        --artifact=eager --artifact=graph --artifact=xla \
        --artifact=/served/r50/1 --artifact=detector.tflite

Each artefact runs in a process of its own, on one image after the other, from
uint8 pixels to detections. The first call of each size, which compiles, is a
column of its own. Peak memory is that of the whole process.
"""

import json
import multiprocessing
import os
import pathlib
import resource
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf
from absl import flags

from keras_fair import presets
from keras_fair.bin import experiments
from keras_fair.data import transforms
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.models import load_preset
from keras_fair.serving import images as image_lib
from keras_fair.serving import litert

LIVE = ("eager", "graph", "xla")
COLUMNS = ("median ms", "p95 ms", "first ms", "peak MB", "file MB", "box AP")
ARTIFACT = flags.DEFINE_multi_string(
    "artifact", ["graph"], "eager, graph, xla, or a file; repeatable."
)
ANNOTATIONS = flags.DEFINE_string("annotations", None, "COCO json.")
IMAGES = flags.DEFINE_string("images", None, "Folder of the image files.")
LIMIT = flags.DEFINE_integer("limit", 100, "How many images.", lower_bound=1)


def make_detector(artifact: str, model_folder: str) -> Callable:
    """Return a function of uint8 [h, w, 3].

    It returns detections, a batch of one, and the height and width that their
    pixels belong to.
    """
    if artifact.endswith(".tflite"):
        return _litert(artifact)
    if artifact not in LIVE:
        detect = tf.saved_model.load(artifact).signatures["serving_default"]
        return lambda image: (detect(images=image[None]), image.shape[:2])
    model = load_preset(model_folder)

    def run(x):
        return model.detections(model(x, training=False))

    if artifact != "eager":
        is_xla = artifact == "xla"
        run = tf.function(run, jit_compile=is_xla, autograph=False)

    def detect(image):
        x, _ = image_lib.resize(tf.constant(image[None]), model.config.pixels)
        return run(x), x["image_shape"][0]

    return detect


def _litert(path: str) -> Callable:
    runner = litert.Interpreter(path).get_signature_runner(litert.SIGNATURE)
    size = runner.get_input_details()["images"]["shape"][1:3]

    def detect(image):
        x = litert.network_input(image, tuple(size.tolist()))
        return runner(**x), x["image_shape"][0]

    return detect


def measure(arguments: tuple) -> dict:
    """Return one row of the table by `COLUMNS`; runs in its own process."""
    artifact, model_folder, annotations, folder, limit = arguments
    detect = make_detector(artifact, model_folder)
    truth = json.loads(pathlib.Path(annotations).read_text("utf-8"))
    truth["images"] = truth["images"][:limit]
    ids = {image["id"] for image in truth["images"]}
    truth["annotations"] = [
        annotation
        for annotation in truth["annotations"]
        if annotation["image_id"] in ids
    ]
    category_ids = presets.read_config(model_folder).category_ids
    evaluator = CocoEvaluator(truth, category_ids or None)
    first, later, seen = [], [], set()
    for image in truth["images"]:
        path = os.path.join(folder, image["file_name"])
        pixels = transforms.read_image(tf.constant(path)).numpy()
        start = time.perf_counter()
        found, shape = detect(pixels)
        found = {name: np.asarray(value) for name, value in found.items()}
        seconds = time.perf_counter() - start
        shapes = [np.asarray(s)[None] for s in (shape, pixels.shape[:2])]
        evaluator.update(found, [image["id"]], *shapes)
        (later if pixels.shape in seen else first).append(1000 * seconds)
        seen.add(pixels.shape)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    numbers = (
        np.median(later or first),
        np.percentile(later or first, 95),
        max(first),
        peak,
        _megabytes(artifact if artifact not in LIVE else model_folder),
        evaluator.summarize()["AP"],
    )
    return dict(zip(COLUMNS, map(float, numbers)))


def _megabytes(path: str) -> float:
    files = [path]
    if os.path.isdir(path):
        files = [f for f in pathlib.Path(path).rglob("*") if f.is_file()]
    # What a server keeps beside the model is not part of it.
    files = [f for f in files if "assets.extra" not in str(f)]
    return sum(os.path.getsize(file) for file in files) / 1e6


def main(_) -> None:
    folder = experiments.model_folder()
    width = max(map(len, ARTIFACT.value))
    print(" " * width, *(f"{column:>9}" for column in COLUMNS))
    # A fresh process each: memory and compiled code are not shared.
    context = multiprocessing.get_context("spawn")
    for artifact in ARTIFACT.value:
        work = (artifact, folder, ANNOTATIONS.value, IMAGES.value, LIMIT.value)
        with context.Pool(1) as pool:
            row = pool.apply(measure, (work,))
        numbers = (f"{row[column]:9.3f}" for column in COLUMNS)
        print(f"{artifact:{width}}", *numbers, flush=True)


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flags_as_required(["annotations", "images"])
    experiments.run(main)


if __name__ == "__main__":
    run()
