"""Train and evaluate on JAX, and print what came out as JSON.

    python -m tests.training.jax_training MODEL NAME TRUTH WORKDIR

MODEL is of device_runs.MODELS, NAME of distribution.NAMES. XLA_FLAGS says how
many devices this process has, TF_CONFIG which one of several it is.
"""

import itertools
import sys

import numpy as np

from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.training import distribution, evaluate
from tests.models import tiny
from tests.training import device_runs

NUM_IMAGES = 5  # to evaluate: two processes get three and two


def rows(tree, index: slice):
    return {name: value[index] for name, value in tree.items()}


def main(kind: str, name: str, truth: str, workdir: str) -> None:
    chosen = distribution.choose(name)
    size = distribution.batch_of_process(device_runs.CONFIG, chosen)
    mine = slice(size * chosen.process, size * (chosen.process + 1))

    def start_at(step):
        for seed in itertools.count(step):
            x, y = tiny.batch_with_masks(seed=seed, size=4)
            yield rows(x, mine), rows(y, mine)

    x, _ = tiny.batch(seed=99, size=NUM_IMAGES)
    y = {
        "image_id": np.arange(NUM_IMAGES) + 1,
        "original_shape": x["image_shape"] * 2,
    }

    def score(model, truth):
        share = range(chosen.process, NUM_IMAGES, chosen.num_processes)
        # Two devices cannot share the odd one equally.
        parts = [share[:2], share[2:]]
        batches = [(rows(x, part), rows(y, part)) for part in parts if part]
        evaluator = CocoEvaluator(truth)
        report = evaluate.evaluate(
            model, batches, evaluator, NUM_IMAGES, chosen
        )
        return report, evaluator

    images = {
        "images": [
            {"id": int(image), "height": int(height), "width": int(width)}
            for image, (height, width) in zip(
                y["image_id"], y["original_shape"]
            )
        ],
        "categories": [{"id": i + 1, "name": f"class {i}"} for i in range(3)],
        "annotations": [],
    }
    device_runs.train(kind, chosen, start_at, score, images, truth, workdir)


if __name__ == "__main__":
    main(*sys.argv[1:])
