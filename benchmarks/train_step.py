"""What each option of a training costs and saves: time and peak memory.

    python benchmarks/train_step.py --size=256,320 --batch=2

Each option trains in a process of its own, so that its peak is its own: the
milliseconds of a step after the first (median, and that of the CPU time of
all threads), the seconds of the first, and by how many MB the steps raise the
peak of the process' memory (of the host: on a GPU read its own).
"""

import json
import resource
import statistics
import subprocess
import sys
import time

import keras
import numpy as np
from absl import app, flags

from keras_fair.config import (
    BackboneConfig,
    MaskRCNNConfig,
    RetinaNetConfig,
    TrainConfig,
)
from keras_fair.models import build_model
from keras_fair.training import train

MODEL = flags.DEFINE_enum("kind", "retinanet", ["retinanet", "mask_rcnn"], "")
SIZE = flags.DEFINE_list("size", ["800", "1344"], "Height and width, pixels.")
BATCH = flags.DEFINE_integer("batch", 2, "Images of a step.")
STEPS = flags.DEFINE_integer("steps", 5, "Steps that are timed.")
FILTERS = flags.DEFINE_integer("stem_filters", 64, "64 is ResNet-50 itself.")
ONLY = flags.DEFINE_string("only", "", "One option; by default each in turn.")

OPTIONS = {
    "float32": {},
    "mixed_bfloat16": {"policy": "mixed_bfloat16"},
    "mixed_float16": {"policy": "mixed_float16"},
    "xla": {"jit_compile": "true"},
    "accumulation": {"accumulation": 2},
    "ema": {"ema_momentum": 0.999},
    "recompute_backbone": {"recompute_backbone": True},
}


def make_batch(size: int, height: int, width: int):
    """Return x and y of contract.py: noise and eight boxes an image."""
    rng = np.random.default_rng(0)
    shape = (size, height, width, 3)
    corners = rng.uniform(0, 0.5, (size, 8, 2)) * [width, height]
    sides = rng.uniform(0.1, 0.5, (size, 8, 2)) * [width, height]
    boxes = np.concatenate([corners, corners + sides], -1).astype("float32")
    x = {
        "images": rng.integers(0, 256, shape).astype("uint8"),
        "image_shape": np.full((size, 2), (height, width), "int32"),
    }
    y = {
        "boxes": boxes,
        "labels": rng.integers(0, 80, (size, 8)).astype("int32"),
    }
    if MODEL.value == "mask_rcnn":
        y["masks"] = np.ones((size, 8, 112, 112), "uint8")
        y["has_mask"] = np.ones((size, 8), "bool")
    return x, y


def make_model(settings: TrainConfig) -> keras.Model:
    """Return a compiled detector with the training's options."""
    configs = {"retinanet": RetinaNetConfig, "mask_rcnn": MaskRCNNConfig}
    backbone = BackboneConfig(stem_filters=FILTERS.value)
    config = configs[MODEL.value](backbone=backbone)
    model = build_model(config, dtype=settings.policy)
    train.compile_model(model, settings)
    return model


def peak_mb() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


def measure(name: str) -> dict:
    """Train with that option in this process."""
    settings = TrainConfig(learning_rate=1e-5, **OPTIONS[name])
    model = make_model(settings)
    height, width = (int(side) for side in SIZE.value)
    size = BATCH.value // settings.accumulation
    x, y = make_batch(size, height, width)
    start_mb, seconds, cpu_seconds = peak_mb(), [], []
    for _ in range(1 + STEPS.value):
        start, cpu_start = time.perf_counter(), time.process_time()
        for _ in range(settings.accumulation):
            model.train_on_batch(x, y)
        seconds.append(time.perf_counter() - start)
        cpu_seconds.append(time.process_time() - cpu_start)
    return {
        "option": name,
        "first_s": round(seconds[0], 1),
        "median_ms": round(1000 * statistics.median(seconds[1:])),
        "median_cpu_ms": round(1000 * statistics.median(cpu_seconds[1:])),
        "peak_mb": peak_mb() - start_mb,
    }


def main(arguments) -> None:
    if ONLY.value:
        print(json.dumps(measure(ONLY.value)))
        return
    for name in OPTIONS:
        command = [sys.executable, *sys.argv, f"--only={name}"]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        lines = done.stdout.splitlines()
        failed = json.dumps({"option": name, "failed": done.returncode})
        print(failed if done.returncode else lines[-1], flush=True)


if __name__ == "__main__":
    app.run(main)
