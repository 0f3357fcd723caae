"""Train a detector in a process that is killed, and started again.

    python -m tests.training.killed_training FOLDER STEPS KILLS SEED

Trains once without a kill, and once with KILLS of them at random moments, and
leaves both work directories in FOLDER: `whole` and `killed`. Each run is a
process of its own, forked when all is imported and nothing has run: importing
would take most of the time.
"""

import os
import pathlib
import random
import signal
import sys
import time

from absl import logging

from keras_fair.config import DataConfig, TrainConfig
from keras_fair.data import coco, pipeline, synthetic
from keras_fair.training import train
from tests.models import tiny

# Sizes and flips are random; the RPN draws its samples.
DATA = DataConfig(
    short_sides=(64, 72, 80), max_long_side=96, canvases=((96, 96),)
)


def run(
    shapes: pathlib.Path,
    workdir: pathlib.Path,
    steps: int,
    **changes,
) -> None:
    """Train to that step, from the last checkpoint.

    Args:
        shapes: the data set.
        workdir: of the training.
        steps: to train in all.
        changes: of TrainConfig.
    """
    dataset = coco.CocoDataset(
        str(shapes / "annotations" / "instances_train.json"),
        str(shapes / "train"),
    )

    def start_at(step: int):
        batches = pipeline.make_dataset(
            dataset, DATA, batch_size=2, training=True, start_step=step
        )
        return batches.rebatch(2 // config.accumulation, True)

    config = TrainConfig(
        steps=steps,
        warmup_steps=2,
        checkpoint_steps=2,
        evaluate_steps=0,
        keep_checkpoints=2,
        **changes,
    )
    model = tiny.rpn(dtype=config.policy)
    train.train(model, start_at, config, str(workdir))


def start(shapes: pathlib.Path, workdir: pathlib.Path, steps: int) -> int:
    """Start a process that trains; return its id."""
    child = os.fork()
    if child:
        return child
    logging.set_verbosity(logging.INFO)
    run(shapes, workdir, steps)
    os._exit(0)


def finish(child: int) -> None:
    _, status = os.waitpid(child, 0)
    if status:
        sys.exit(f"The training ended with status {status}.")


def kill_after(child: int, workdir: pathlib.Path, seconds: float) -> None:
    """Kill the run so long after it has written a checkpoint of its own."""
    before = written(workdir)
    while written(workdir) == before:
        if os.waitpid(child, os.WNOHANG)[0]:
            sys.exit("The training ended before it could be killed.")
        time.sleep(0.01)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def written(workdir: pathlib.Path) -> set[str]:
    """Return the names of the checkpoints."""
    return {path.name for path in workdir.glob("checkpoints/step-*")}


def main(folder: str, steps: str, kills: str, seed: str) -> None:
    root = pathlib.Path(folder)
    shapes = root / "shapes"
    synthetic.write_shapes(str(shapes), num_train=5, num_val=1)
    whole = start(shapes, root / "whole", int(steps))
    moments = random.Random(int(seed))
    for _ in range(int(kills)):
        child = start(shapes, root / "killed", int(steps))
        kill_after(child, root / "killed", moments.uniform(0.0, 0.4))
    finish(start(shapes, root / "killed", int(steps)))
    finish(whole)


if __name__ == "__main__":
    main(*sys.argv[1:])
