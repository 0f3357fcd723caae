"""Training and inference on one accelerator, ours beside torchvision's.

    KERAS_BACKEND=jax python -m benchmarks.gpu_train --batch=8 --batch=16 \
        --fit=1000 --torch_python=/elsewhere/bin/python

For each model (RetinaNet, Mask R-CNN; R-50-FPN) and batch: milliseconds of a
training step, images of a second of training, and milliseconds of one image's
detection, in bfloat16, first ours and then torchvision's, each in a process of
its own on the same card. --fit trains both for that many steps on the same
images, from random weights, and prints the loss and COCO's box AP of each: of
generated shapes on images not seen, or, with --coco=FOLDER, of COCO's
train2017 there, overfitted.

The work is the same: torchvision without weights trains every layer and
batch normalisation, so ours does, too, with the strides, anchors, losses,
rate and decay of torchvision's. Runs small without a card:

    --size=64,96 --batch=1 --policy=float32 --models=retinanet --steps=2
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from absl import app, flags

from benchmarks import gpu_data

MODELS = flags.DEFINE_list("models", ["retinanet", "mask_rcnn"], "Which.")
SIZE = flags.DEFINE_list("size", ["800", "1344"], "Height and width, pixels.")
BATCH = flags.DEFINE_multi_integer("batch", [8], "Images of a step.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps that are timed.")
FIT = flags.DEFINE_integer("fit", 0, "Steps of training; 0 is none.")
IMAGES = flags.DEFINE_integer("images", 100, "Shapes images of AP.")
COCO = flags.DEFINE_string("coco", None, "Folder of COCO in place of shapes.")
POLICY = flags.DEFINE_enum(
    "policy", "mixed_bfloat16", ["mixed_bfloat16", "float32"], "Precision."
)
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "Python that has torchvision."
)
ONE = flags.DEFINE_list("one", [], "Library, model, batch: of one process.")

RATE_OF_AN_IMAGE, MOMENTUM, CLIP_NORM, DECAY = 0.01 / 16, 0.9, 10.0, 1e-4
HELD_OUT = 10**9  # first seed of the shapes that are evaluated


class Library(NamedTuple):
    name: str
    adapt: Callable  # list of examples -> a batch of its own, on the device
    train: Callable  # batch -> loss
    predict: Callable  # batch -> the detections of its first image
    to_numpy: Callable  # those -> boxes, scores, labels
    wait: Callable  # until the device is done


def ours(kind: str, batch: int, canvas: tuple, max_objects: int) -> Library:
    import keras

    from keras_fair.checkpoints import torchvision_models
    from keras_fair.config import TrainConfig
    from keras_fair.models import build_model
    from keras_fair.training import train

    name = {"retinanet": "retinanet", "mask_rcnn": "maskrcnn"}[kind]
    config = torchvision_models.MODELS[f"{name}_resnet50_fpn"]
    changes = {"unused_logits": 0} if kind == "mask_rcnn" else {}
    config = dataclasses.replace(
        config,
        num_classes=gpu_data.NUM_CLASSES,
        class_names=(),
        category_ids=(),
        backbone=dataclasses.replace(
            torchvision_models.BACKBONE_V2, frozen_stages=0
        ),
        weight_decay=DECAY,
        **changes,
    )
    model = build_model(config, dtype=POLICY.value)
    settings = TrainConfig(
        learning_rate=RATE_OF_AN_IMAGE * batch,
        drop_steps=(),
        warmup_steps=0,
        momentum=MOMENTUM,
        clip_norm=CLIP_NORM,
    )
    train.compile_model(model, settings)

    def adapt(examples: list[gpu_data.Example]):
        model.reset_metrics()  # or its loss would be the mean since the first
        images = np.stack([each.image for each in examples])
        shapes = np.tile(np.int32(canvas), (len(examples), 1))
        x = {"images": images, "image_shape": shapes}
        padded = [gpu_data.pad(each, max_objects) for each in examples]
        y = {name: np.stack([p[name] for p in padded]) for name in padded[0]}
        if kind == "retinanet":
            y = {name: y[name] for name in ("boxes", "labels")}
        return keras.tree.map_structure(keras.ops.convert_to_tensor, (x, y))

    def to_numpy(detections):
        count = detections["num_detections"][0]
        names = ("boxes", "scores", "labels")
        return [detections[name][0, :count] for name in names]

    def train_step(batch) -> float:
        values = model.train_on_batch(*batch, return_dict=True)
        return float(values["loss"] - values["l2_loss"])  # as torchvision's

    # Both copy their results to the host, and so wait for the device.
    return Library(
        f"keras_fair on {keras.backend.backend()}",
        adapt,
        train_step,
        lambda batch: model.predict_on_batch(batch[0]),
        to_numpy,
        lambda: None,
    )


def torchvision(kind: str, batch: int, canvas: tuple, _) -> Library:
    import torch
    from torchvision.models import detection

    device = "cuda" if torch.cuda.is_available() else "cpu"
    makers = {
        "retinanet": detection.retinanet_resnet50_fpn,
        "mask_rcnn": detection.maskrcnn_resnet50_fpn,
    }
    model = makers[kind](
        weights=None,
        weights_backbone=None,
        num_classes=gpu_data.NUM_CLASSES + 1,
        min_size=min(canvas),
        max_size=max(canvas),
    ).to(device)
    # The images have their size already, and ours does not paste masks
    # either: of both, the detector alone is timed.
    model.transform.postprocess = lambda found, *shapes: found
    weights = list(model.parameters())
    kernels = [w for w in weights if w.ndim > 1]
    others = [w for w in weights if w.ndim <= 1]
    optimizer = torch.optim.SGD(
        [{"params": kernels, "weight_decay": DECAY}, {"params": others}],
        RATE_OF_AN_IMAGE * batch,
        MOMENTUM,
    )
    precision = torch.autocast(
        device, torch.bfloat16, enabled=POLICY.value != "float32"
    )

    def adapt(examples: list[gpu_data.Example]):
        x = [torch.tensor(each.image).to(device) for each in examples]
        y = [
            {
                "boxes": torch.tensor(each.boxes).to(device),
                "labels": torch.tensor(each.labels + 1).long().to(device),
                "masks": torch.tensor(each.masks).to(device),
            }
            for each in examples
        ]
        return [image.permute(2, 0, 1) / 255.0 for image in x], y

    def train(batch):
        model.train()
        with precision:
            loss = sum(model(*batch).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, CLIP_NORM)
        optimizer.step()
        return loss.detach()

    def predict(batch):
        model.eval()
        with torch.inference_mode(), precision:
            return model(batch[0])

    def to_numpy(detections):
        values = {k: v.float().cpu().numpy() for k, v in detections[0].items()}
        return values["boxes"], values["scores"], values["labels"] - 1

    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    name = f"torchvision on {device}"
    return Library(name, adapt, train, predict, to_numpy, wait)


def timed(step: Callable, wait: Callable) -> float:
    """Return the milliseconds of a step; two go before."""
    for _ in range(2):
        step()
    wait()
    start = time.perf_counter()
    for _ in range(STEPS.value):
        step()
    wait()
    return 1000 * (time.perf_counter() - start) / STEPS.value


def measure(make: Callable, kind: str, batch: int) -> dict:
    canvas = tuple(int(side) for side in SIZE.value)
    examples = gpu_data.read_coco(COCO.value, canvas) if COCO.value else None

    def take(step: int, count: int) -> list[gpu_data.Example]:
        if examples is None:
            return [
                gpu_data.draw_shapes(count * step + i, canvas)
                for i in range(count)
            ]
        rng = np.random.default_rng(step)
        return [examples[i] for i in rng.integers(0, len(examples), count)]

    most = max(
        (len(e.labels) for e in examples or ()), default=gpu_data.NUM_SHAPES
    )
    library = make(kind, batch, canvas, most)
    fixed, one = library.adapt(take(0, batch)), library.adapt(take(0, 1))
    report = {"library": library.name}
    losses = [
        float(library.train(library.adapt(take(step, batch))))
        for step in range(FIT.value)
    ]
    report["image_ms"] = timed(lambda: library.predict(one), library.wait)
    if losses:
        report |= fitted(library, losses, examples, canvas)
    # Last, since it trains.
    report["step_ms"] = timed(lambda: library.train(fixed), library.wait)
    report["images_per_s"] = 1000 * batch / report["step_ms"]
    return report


def fitted(library: Library, losses: list, examples, canvas: tuple) -> dict:
    """Return the losses and the AP of what has been trained."""
    tenth = max(1, len(losses) // 10)
    report = {
        "first_loss": np.mean(losses[:tenth]),
        "last_loss": np.mean(losses[-tenth:]),
    }
    seeds = range(HELD_OUT, HELD_OUT + IMAGES.value)
    seen = examples or [gpu_data.draw_shapes(seed, canvas) for seed in seeds]
    found = [
        library.to_numpy(library.predict(library.adapt([example])))
        for example in seen
    ]
    return report | gpu_data.average_precision(seen, found)


def main(arguments) -> None:
    if ONE.value:
        library, kind, batch = ONE.value
        make = {"ours": ours, "torchvision": torchvision}[library]
        print(json.dumps(measure(make, kind, int(batch))))
        return
    pythons = {"ours": sys.executable, "torchvision": TORCH_PYTHON.value}
    failures = []
    for kind in MODELS.value:
        for batch in BATCH.value:
            for library, python in pythons.items():
                one = f"--one={library},{kind},{batch}"
                done = run(python, one)
                line = f"{one} failed with status {done.returncode}."
                if done.returncode:
                    # No torch, or no memory: that is no reason to lose what
                    # the others say.
                    failures.append(line)
                else:
                    line = f"{kind} {batch} {done.stdout.splitlines()[-1]}"
                print(line, flush=True)
    if failures:
        sys.exit("\n".join(failures))


def run(python: str, one: str) -> subprocess.CompletedProcess:
    """Measure one in a process of its own, with all memory of the card."""
    return subprocess.run(
        [python, "-m", "benchmarks.gpu_train", *sys.argv[1:], one],
        env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
        stdout=subprocess.PIPE,
        text=True,
    )


if __name__ == "__main__":
    app.run(main)
