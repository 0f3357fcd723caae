"""Training and inference on one accelerator, ours beside torchvision's.

    KERAS_BACKEND=jax python benchmarks/gpu_train.py --batch=8 --batch=16

For each model (RetinaNet, Mask R-CNN; R-50-FPN) and batch: milliseconds of a
training step and of one image's detection, in bfloat16, first ours and then
torchvision's, each in a process of its own on the same card. Then --fit
trains both on generated shapes for that many steps, from random weights, and
prints the loss of each. Runs small without a card:

    --size=64,96 --batch=1 --policy=float32 --models=retinanet --steps=2
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
from absl import app, flags

MODELS = flags.DEFINE_list("models", ["retinanet", "mask_rcnn"], "Which.")
SIZE = flags.DEFINE_list("size", ["800", "1344"], "Height and width, pixels.")
BATCH = flags.DEFINE_multi_integer("batch", [8], "Images of a step.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps that are timed.")
FIT = flags.DEFINE_integer("fit", 0, "Steps of training on shapes; 0 is none.")
POLICY = flags.DEFINE_enum(
    "policy", "mixed_bfloat16", ["mixed_bfloat16", "float32"], "Precision."
)
ONE = flags.DEFINE_list("one", [], "Library, model, batch: of one process.")

NUM_OBJECTS, NUM_CLASSES = 8, 80


def make_shapes(seed: int, batch: int):
    """Return images uint8 [B, H, W, 3], boxes and labels of rectangles.

    The label is the colour, so that there is something to learn.
    """
    height, width = (int(side) for side in SIZE.value)
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 60, (batch, height, width, 3)).astype("uint8")
    corners = rng.uniform(0, 0.6, (batch, NUM_OBJECTS, 2)) * [width, height]
    sides = rng.uniform(0.1, 0.4, (batch, NUM_OBJECTS, 2)) * [width, height]
    boxes = np.concatenate([corners, corners + sides], -1).astype("int32")
    labels = rng.integers(0, 3, (batch, NUM_OBJECTS)).astype("int32")
    for image in range(batch):
        for (x1, y1, x2, y2), label in zip(boxes[image], labels[image]):
            images[image, y1:y2, x1:x2, label] = 220
    return images, boxes.astype("float32"), labels


def timed(step, finish) -> float:
    """Return the milliseconds of a step; two go before."""
    for _ in range(2):
        step()
    finish()
    start = time.perf_counter()
    for _ in range(STEPS.value):
        step()
    finish()
    return 1000 * (time.perf_counter() - start) / STEPS.value


def ours(kind: str, batch: int) -> dict:
    import keras

    from keras_fair.config import MaskRCNNConfig, RetinaNetConfig, TrainConfig
    from keras_fair.models import build_model
    from keras_fair.training import train

    configs = {"retinanet": RetinaNetConfig, "mask_rcnn": MaskRCNNConfig}
    model = build_model(configs[kind](), dtype=POLICY.value)
    train.compile_model(model, TrainConfig(clip_norm=10.0))

    def example(seed: int, size: int):
        images, boxes, labels = make_shapes(seed, size)
        shape = np.tile(np.int32(images.shape[1:3]), (size, 1))
        y = {"boxes": boxes, "labels": labels}
        if kind == "mask_rcnn":
            y["masks"] = np.ones((*labels.shape, 112, 112), "uint8")
            y["has_mask"] = np.ones(labels.shape, "bool")
        return {"images": images, "image_shape": shape}, y

    x, y = example(0, batch)
    one, _ = example(0, 1)

    def fit(seed: int) -> float:
        return float(model.train_on_batch(*example(seed, batch))[0])

    # Both copy their results to the host, and so wait for the device.
    return {
        "library": f"keras_fair on {keras.backend.backend()}",
        "step_ms": timed(lambda: model.train_on_batch(x, y), lambda: None),
        "image_ms": timed(lambda: model.predict_on_batch(one), lambda: None),
        "losses": [fit(seed) for seed in range(FIT.value)],
    }


def torchvision(kind: str, batch: int) -> dict:
    import torch
    from torchvision.models import detection

    device = "cuda" if torch.cuda.is_available() else "cpu"
    makers = {
        "retinanet": detection.retinanet_resnet50_fpn,
        "mask_rcnn": detection.maskrcnn_resnet50_fpn,
    }
    height, width = (int(side) for side in SIZE.value)
    model = makers[kind](
        weights=None,
        weights_backbone=None,
        num_classes=NUM_CLASSES + 1,
        trainable_backbone_layers=3,
        min_size=min(height, width),
        max_size=max(height, width),
    ).to(device)
    weights = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(weights, 0.01 / 3, 0.9, weight_decay=1e-4)
    precision = torch.autocast(
        device, torch.bfloat16, enabled=POLICY.value != "float32"
    )

    def example(seed: int, size: int):
        images, boxes, labels = make_shapes(seed, size)
        x = torch.tensor(images).permute(0, 3, 1, 2).to(device) / 255.0
        y = [
            {
                "boxes": torch.tensor(boxes[i]).to(device),
                "labels": torch.tensor(labels[i] + 1).long().to(device),
                "masks": masks(boxes[i]).to(device),
            }
            for i in range(size)
        ]
        return list(x), y

    def masks(boxes):
        found = torch.zeros((len(boxes), height, width), dtype=torch.uint8)
        for mask, (x1, y1, x2, y2) in zip(found, boxes.astype(int)):
            mask[y1:y2, x1:x2] = 1
        return found

    def train(x, y) -> float:
        with precision:
            loss = sum(model(x, y).values())
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 10.0)
        optimizer.step()
        return loss

    x, y = example(0, batch)
    one, _ = example(0, 1)

    def predict():
        with torch.inference_mode(), precision:
            model(one)

    wait = torch.cuda.synchronize if device == "cuda" else (lambda: None)
    step_ms = timed(lambda: train(x, y), wait)
    losses = [float(train(*example(s, batch))) for s in range(FIT.value)]
    model.eval()
    return {
        "library": f"torchvision on {device}",
        "step_ms": step_ms,
        "image_ms": timed(predict, wait),
        "losses": losses,
    }


def main(arguments) -> None:
    if ONE.value:
        library, kind, batch = ONE.value
        measure = {"ours": ours, "torchvision": torchvision}[library]
        print(json.dumps(measure(kind, int(batch))))
        return
    for kind in MODELS.value:
        for batch in BATCH.value:
            for library in ("ours", "torchvision"):
                one = f"--one={library},{kind},{batch}"
                done = subprocess.run(
                    [sys.executable, *sys.argv, one],
                    env={**os.environ, "XLA_PYTHON_CLIENT_PREALLOCATE": "0"},
                    stdout=subprocess.PIPE,
                    text=True,
                )
                lines = done.stdout.splitlines() or ["failed"]
                print(kind, batch, lines[-1], flush=True)


if __name__ == "__main__":
    app.run(main)
