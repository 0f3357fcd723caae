"""One training on one device, on several, in several processes, compared.

The programs jax_training.py and distributed_training.py feed `train`; their
tests start them and compare what they print.
"""

import itertools
import json
import multiprocessing.pool
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Callable

import keras
import numpy as np

from keras_fair import files
from keras_fair.config import BackboneConfig, TrainConfig
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.models import RetinaNet
from keras_fair.training import train as training
from tests.models import tiny

CONFIG = TrainConfig(
    batch_size=4,
    steps=4,
    learning_rate=0.05,
    warmup_steps=2,
    clip_norm=0.5,  # below the norm: the whole batch must be clipped
    checkpoint_steps=2,
    evaluate_steps=4,
)
# Nearly all of what is found has a score near 0.
ALL = {"score_threshold": 0.0, "max_detections": 6}
# The IoU of a found box and the true one, in turn; none is near a threshold.
OVERLAPS = (0.98, 0.87, 0.73, 0.58)


def normalised(norm: str, dtype: str = "float32") -> RetinaNet:
    """Return a RetinaNet whose backbone has batch normalisation.

    Such features are so small that its head, as it starts, gives nearly the
    same score everywhere; with larger kernels the scores tell the images.

    Args:
        norm: of the backbone.
        dtype: of all layers. Keras's synchronised variance is a difference
            of two means, and its rounding in float32 grows from layer to
            layer: float64 shows that nothing else differs.
    """
    keras.utils.set_random_seed(0)
    backbone = BackboneConfig(
        "resnet18", stem_filters=4, norm=norm, frozen_stages=0
    )
    config = tiny.config(backbone=backbone, **ALL)
    model = RetinaNet(config, dtype=dtype)
    for weight in model.head.trainable_weights:
        if weight.name == "kernel":
            weight.assign(3 * weight)
    return model


MODELS = {
    "retinanet": lambda: tiny.retinanet(**ALL),
    "mask_rcnn": lambda: tiny.mask_rcnn(**ALL),
    "batch": lambda: normalised("batch"),
    "batch64": lambda: normalised("batch", "float64"),
    "sync64": lambda: normalised("sync", "float64"),
}


def train(
    name: str,
    chosen,
    start_at: Callable,
    score: Callable,
    images: dict,
    truth: str,
    workdir: str,
) -> None:
    """Train and evaluate a model, and print what came out as JSON.

    Args:
        name: of `MODELS`.
        chosen: the devices.
        start_at: takes the step to start from, returns batches.
        score: takes the model and the path of the ground truth, returns
            COCO's summary and the evaluator.
        images: a COCO-format dict without objects.
        truth: path of the ground truth. One device makes it.
        workdir: of the training.
    """
    found = {}

    def evaluate(model):
        if chosen.num_replicas == 1:
            files.write_json(truth, images)
            _, evaluator = score(model, truth)
            objects = true_objects(detections(evaluator))
            files.write_json(truth, {**images, "annotations": objects})
        report, evaluator = score(model, truth)
        found["report"] = report
        found["images"] = evaluator.image_ids
        found["detections"] = detections(evaluator)
        return report

    with chosen.scope():
        model = MODELS[name]()
    training.train(
        model, start_at, CONFIG, workdir, chosen=chosen, evaluate=evaluate
    )
    found["weights"] = [w.ravel().tolist() for w in model.get_weights()]
    print("\n" + json.dumps({**found, "replicas": chosen.num_replicas}))


def detections(evaluator: CocoEvaluator) -> list[dict]:
    """Return COCO's records of boxes, with the masks if there are any."""
    rows = evaluator.results()
    if "segm" in evaluator.iou_types:
        masks = evaluator.results("segm")
        rows = [{**row, **mask} for row, mask in zip(rows, masks)]
    return rows


def true_objects(found: list[dict]) -> list[dict]:
    """Return every other detection as ground truth, its box made narrower.

    After a few steps nothing is found where it was drawn: AP would be 0
    whatever was lost or misplaced. Against what one device finds AP lies
    between 0 and 1, and depends on each box and on the order of the scores.
    """
    objects = []
    # A box beyond the image's edge has been clipped to nothing.
    found = [row for row in found if min(row["bbox"][2:]) > 1]
    for row, overlap in zip(found[::2], itertools.cycle(OVERLAPS)):
        x, y, width, height = row["bbox"]
        made = {
            "id": len(objects) + 1,
            "bbox": [x, y, width * overlap, height],
            "area": width * overlap * height,
            "iscrowd": 0,
        }
        del row["score"]
        objects.append({**row, **made})
    return objects


def start(program: list[str], **environment: str) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, *program],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def cluster() -> list[str]:
    """Return the TF_CONFIG of a chief and of a worker on this host."""
    addresses = []
    for _ in range(2):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            addresses.append(f"127.0.0.1:{free.getsockname()[1]}")
    names = ("chief", "worker")
    members = {name: [each] for name, each in zip(names, addresses)}
    tasks = [{"type": name, "index": 0} for name in names]
    return [json.dumps({"cluster": members, "task": task}) for task in tasks]


def results(processes: list[subprocess.Popen]) -> list[dict]:
    """Return what each of the trainings printed.

    All are read at once: one that cannot write its output does not end, and
    the others wait for it.
    """
    with multiprocessing.pool.ThreadPool(len(processes)) as pool:
        return pool.map(_result, processes)


def _result(process: subprocess.Popen) -> dict:
    output, errors = process.communicate(timeout=900)
    assert process.returncode == 0, errors
    return json.loads(output.splitlines()[-1])


def check_equal(found: dict, expected: dict) -> None:
    """Compare the weights and the whole evaluation with one device's.

    The evaluator refuses an image that comes twice and one that is missing.
    """
    assert (found["replicas"], expected["replicas"]) == (2, 1)
    # Sums in another order. Moving variances of pixels reach a thousand.
    for weights, others in zip(found["weights"], expected["weights"]):
        np.testing.assert_allclose(weights, others, rtol=1e-6, atol=1e-6)
    assert found["images"] == expected["images"]
    rows, others = found["detections"], expected["detections"]
    for key in others[0].keys() - {"bbox", "score"}:
        assert [row[key] for row in rows] == [row[key] for row in others]
    for key, tolerance in (("bbox", {"atol": 1e-3}), ("score", {"rtol": 1e-5})):
        np.testing.assert_allclose(
            [row[key] for row in rows],
            [row[key] for row in others],
            **tolerance,
        )
    # AP knows the order of the scores alone. NaN equals NaN here.
    np.testing.assert_equal(found["report"], expected["report"])
    assert 0.1 < expected["report"]["AP"] < 0.9


def check_same_log(workdir: pathlib.Path, other: pathlib.Path) -> None:
    """Compare every loss term and metric of each epoch."""
    lines, others = (
        (folder / "log.csv").read_text().splitlines()
        for folder in (workdir, other)
    )
    assert lines[0] == others[0] and "loss" in lines[0]
    assert (
        len(lines) == len(others) == 1 + CONFIG.steps // CONFIG.checkpoint_steps
    )
    np.testing.assert_allclose(
        np.loadtxt(lines, delimiter=",", skiprows=1),
        np.loadtxt(others, delimiter=",", skiprows=1),
        rtol=1e-5,
    )
