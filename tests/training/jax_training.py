"""Train and evaluate on JAX, and print what came out as JSON.

    python -m tests.training.jax_training WORKDIR NAME

NAME is of distribution.NAMES. XLA_FLAGS says how many devices this process
has, TF_CONFIG which one of several it is.
"""

import itertools
import json
import sys

import numpy as np

from keras_fair.config import TrainConfig
from keras_fair.training import distribution, train
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


def rows(tree, index: slice):
    return {name: value[index] for name, value in tree.items()}


def main(workdir: str, name: str) -> None:
    chosen = distribution.choose(name)
    size = distribution.batch_of_process(CONFIG, chosen)
    mine = slice(size * chosen.process, size * (chosen.process + 1))

    def start_at(step):
        for seed in itertools.count(step):
            x, y = tiny.batch(seed=seed, size=CONFIG.batch_size)
            yield rows(x, mine), rows(y, mine)

    def evaluate(model):
        # Five images: the processes get three and two.
        x, _ = tiny.batch(seed=99, size=5)
        share = slice(chosen.process, None, chosen.num_processes)
        batches = [(rows(x, share), {"image_id": np.arange(5)[share]})]
        (predicted,) = chosen.predict(model, batches)
        scores = predicted.detections["scores"][:, :3].tolist()
        part = dict(zip(predicted.y["image_id"].tolist(), scores))
        parts = chosen.gather(json.dumps(part).encode())
        for other in map(json.loads, parts):
            assert not found.keys() & other.keys()
            found.update(other)
        return {"AP": 0.0, "AP50": 0.0, "AP75": 0.0}

    found = {}
    with chosen.scope():
        model = tiny.retinanet(score_threshold=0.0, max_detections=5)
    train.train(
        model, start_at, CONFIG, workdir, chosen=chosen, evaluate=evaluate
    )
    weights = [weight.ravel().tolist() for weight in model.get_weights()]
    print(
        "\n"
        + json.dumps(
            {
                "weights": sum(weights, []),
                "scores": [found[str(image)] for image in range(5)],
                "replicas": chosen.num_replicas,
            }
        )
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
