"""The latency, memory and accuracy of one form of a detector.

One image after the other, from uint8 pixels to detections.
"""

import os
import pathlib
import resource
import sys
import time
from collections.abc import Callable

import numpy as np
import tensorflow as tf

from keras_fair import presets
from keras_fair.bin import experiments
from keras_fair.config import DataConfig
from keras_fair.data import transforms
from keras_fair.data.coco import CocoDataset
from keras_fair.data.union import UnionDataset
from keras_fair.models import load_preset
from keras_fair.serving import images as image_lib
from keras_fair.serving import litert

LIVE = ("eager", "graph", "xla")
SCORED = {"bbox": "box", "segm": "mask"}  # columns of COCO's types


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


def measure(arguments: tuple) -> dict[str, float]:
    """Return one row of the table by column; runs in its own process."""
    artifact, model_folder, annotations, folder, limit = arguments
    config = presets.read_config(model_folder)
    # A union has the classes in the order of the model's labels.
    dataset = UnionDataset(
        [CocoDataset(annotations, folder, max_images=limit)],
        experiments.data_classes(config),
    )
    evaluator = experiments.make_evaluator(config, dataset, DataConfig())
    show_progress(artifact, 0, len(dataset.records))
    detect = make_detector(artifact, model_folder)
    first, later, seen = [], [], set()
    for number, record in enumerate(dataset.records, start=1):
        pixels = transforms.read_image(tf.constant(record.path)).numpy()
        start = time.perf_counter()
        found, shape = detect(pixels)
        found = {name: np.asarray(value) for name, value in found.items()}
        seconds = time.perf_counter() - start
        shapes = [np.asarray(s)[None] for s in (shape, pixels.shape[:2])]
        evaluator.update(found, [record.image_id], *shapes)
        (later if pixels.shape in seen else first).append(1000 * seconds)
        seen.add(pixels.shape)
        show_progress(artifact, number, len(dataset.records))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    file = model_folder if artifact in LIVE else artifact
    return {
        "median ms": float(np.median(later or first)),
        "p95 ms": float(np.percentile(later or first, 95)),
        "first ms": max(first),
        "peak MB": peak,
        "file MB": _megabytes(file),
        **_scores(evaluator),
    }


def show_progress(
    name: str, num_done: int, num_all: int, unit: str = "images"
) -> None:
    """Write to stderr: the rows of a table may go to a file."""
    end = "\n" if num_done == num_all else ""
    text = f"\r{name}: {num_done} of {num_all} {unit}"
    print(text, end=end, file=sys.stderr, flush=True)


def _scores(evaluator) -> dict[str, float]:
    scores = {}
    for iou_type, name in SCORED.items():
        if iou_type in evaluator.iou_types:
            report = evaluator.summarize(iou_type)
            metric = "AP" if "AP" in report else "AR100"
            scores[f"{name} {metric}"] = report[metric]
    return scores


def _megabytes(path: str) -> float:
    files = [path]
    if os.path.isdir(path):
        files = [f for f in pathlib.Path(path).rglob("*") if f.is_file()]
    # What a server keeps beside the model is not part of it.
    files = [f for f in files if "assets.extra" not in str(f)]
    return sum(os.path.getsize(file) for file in files) / 1e6
