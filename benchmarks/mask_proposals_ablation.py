"""Do segmentation proposals need a feature pyramid? FPN, table 6, in small.

    python benchmarks/mask_proposals_ablation.py --workdir=/tmp/ablation

On generated shapes of a wide range of sizes, trains the same two heads for
equally many steps on a feature pyramid, on its level P4 alone, and on P4 of
an image pyramid, as DeepMask's: there objects count only at the scale that
brings them to the canonical size. Prints average recall, and the CPU seconds of
an image and of a training step.
"""

import dataclasses
import json
import math
import os
import time

import keras
import numpy as np
from absl import flags

from keras_fair import config_files
from keras_fair.bin import experiments
from keras_fair.data import synthetic
from keras_fair.data.coco import CocoDataset
from keras_fair.data.pipeline import make_dataset
from keras_fair.evaluation.proposal_eval import ProposalEvaluator
from keras_fair.models import MaskProposalNetwork
from keras_fair.optimizers import FiniteSGD

STEPS = flags.DEFINE_integer("steps", 300, "Of each variant's training.")

NUM_TRAIN, NUM_VAL, SIDE = 400, 60, 128  # images, images, pixels
SCALES = (128, 256)  # of the image pyramid: an octave apart, as two heads span
NUM_PROPOSALS = 100
LEARNING_RATE = 0.02
HALF_STEP = 2**0.25  # two heads are half an octave apart


class OneScale(MaskProposalNetwork):
    """Objects larger or smaller than the canonical ones are background."""

    def __init__(self, config, **kwargs):
        super().__init__(config, **kwargs)
        self.groups = [
            group._replace(
                size_range=(
                    group.object_side / HALF_STEP,
                    group.object_side * HALF_STEP,
                )
            )
            for group in self.groups
        ]


def variants(experiment) -> dict:
    """Return by name the model, the experiment and the sizes to look at."""
    p4 = dataclasses.replace(experiment.model.pyramid, min_level=4, max_level=4)
    alone = dataclasses.replace(
        experiment, model=dataclasses.replace(experiment.model, pyramid=p4)
    )
    scales = dataclasses.replace(
        alone,
        data=dataclasses.replace(
            alone.data,
            short_sides=SCALES,
            max_long_side=max(SCALES),
            canvases=tuple((side, side) for side in SCALES),
        ),
    )
    return {
        "feature pyramid": (MaskProposalNetwork, experiment, SCALES[:1]),
        "P4 alone": (MaskProposalNetwork, alone, SCALES[:1]),
        "image pyramid": (OneScale, scales, SCALES),
    }


def train(model_class, experiment, dataset, steps: int):
    """Return the trained model and the CPU seconds of a step."""
    keras.utils.set_random_seed(0)
    model = model_class(experiment.model)
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [steps * 4 // 5], [LEARNING_RATE, LEARNING_RATE / 10]
    )
    model.compile(FiniteSGD(schedule, momentum=0.9, global_clipnorm=10.0))
    batches = make_dataset(
        dataset,
        experiment.data,
        batch_size=experiment.train.batch_size,
        training=True,
        seed=0,
    )
    start = time.process_time()
    model.fit(batches, steps_per_epoch=steps, verbose=2)
    return model, (time.process_time() - start) / steps


def propose(model, experiment, dataset, side: int) -> dict:
    """Return by image id (x, y, detections) at that size."""
    data = dataclasses.replace(
        experiment.data, short_sides=(side,), canvases=((side, side),)
    )
    batches = make_dataset(dataset, data, batch_size=1, training=False)
    found = {}
    for x, y in batches:
        x, y = keras.tree.map_structure(np.asarray, (x, y))
        found[int(y["image_id"][0])] = (x, y, model.predict_on_batch(x))
    return found


def merge(each: list[dict]) -> dict:
    """Return the best of all scales, in pixels of the first.

    Args:
        each: detections of one image, [1, D, ...], and `scale`.
    """
    joined = {
        key: np.concatenate([found[key] for found in each], axis=1)
        for key in ("boxes", "scores", "labels", "masks")
    }
    order = np.argsort(-joined["scores"][0], kind="stable")[:NUM_PROPOSALS]
    merged = {key: value[:, order] for key, value in joined.items()}
    count = (merged["labels"] >= 0).sum(1).astype("int32")
    return {**merged, "num_detections": count}


def evaluate(model, experiment, dataset, sides) -> dict:
    """Return average recalls and the CPU seconds of an image."""
    evaluator = ProposalEvaluator(dataset.to_coco().dataset)
    for side in sides:  # traces
        propose(model, experiment, dataset, side)
    start = time.process_time()
    views = [propose(model, experiment, dataset, side) for side in sides]
    seconds = (time.process_time() - start) / len(dataset.records)
    for image_id in views[0]:
        seen = [view[image_id] for view in views]
        first = seen[0][0]["image_shape"]
        each = []
        for x, _, found in seen:
            scale = np.float32(first[0, 0] / x["image_shape"][0, 0])
            each.append({**found, "boxes": found["boxes"] * scale})
        y = seen[0][1]
        evaluator.update(merge(each), y["image_id"], first, y["original_shape"])
    return {
        "masks": evaluator.summarize("segm"),
        "boxes": evaluator.summarize("bbox"),
        "seconds": seconds,
    }


def line(name: str, found: dict, step: float) -> str:
    columns = [found["masks"][key] for key in ("AR10", "AR100", "AR100s")]
    columns += [found["masks"]["AR100m"], found["boxes"]["AR100"]]
    numbers = "".join(
        f"{'n/a' if math.isnan(value) else f'{value:.3f}':>8}"
        for value in columns
    )
    return f"{name:<16}{numbers}{found['seconds']:>10.3f}{step:>10.3f}"


def main(_) -> None:
    workdir = experiments.WORKDIR.value
    root = os.path.join(workdir, "shapes")
    synthetic.write_shapes(
        root, NUM_TRAIN, NUM_VAL, image_sizes=((SIDE, SIDE),)
    )
    experiment = config_files.load("fpn_mask_proposals_tiny_synthetic")
    data = dataclasses.replace(
        experiment.data, root=root, canvases=((SIDE, SIDE),)
    )
    experiment = dataclasses.replace(experiment, data=data)
    train_data, val_data = (
        CocoDataset.from_config(data, split) for split in ("train", "val")
    )
    lines = [f"{'':<16}    AR10   AR100  AR100s  AR100m   boxes   s/image"]
    lines[0] += "    s/step"
    results = {}
    for name, (model_class, changed, sides) in variants(experiment).items():
        keras.backend.clear_session()
        model, step = train(model_class, changed, train_data, STEPS.value)
        found = evaluate(model, changed, val_data, sides)
        results[name] = {**found, "seconds_of_step": step}
        lines.append(line(name, found, step))
        print("\n".join(lines), flush=True)
        path = os.path.join(workdir, "ablation.json")
        with open(path, "w", encoding="utf-8") as file:
            json.dump(results, file, indent=2)


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    experiments.run(main)
