"""Train and evaluate on TensorFlow, and print what came out as JSON.

    python -m tests.training.distributed_training \
        MODEL NAME FOLDER TRUTH WORKDIR DEVICES

MODEL is of device_runs.MODELS, NAME of distribution.NAMES; DEVICES are this
process' CPU devices. FOLDER holds shapes. On several processes TF_CONFIG says
which this is.
"""

import json
import sys

import tensorflow as tf

from keras_fair.bin import experiments
from keras_fair.config import DataConfig, Experiment
from keras_fair.data import coco, pipeline
from keras_fair.training import distribution
from tests.models import tiny
from tests.training import device_runs

DATA = DataConfig(
    short_sides=(64, 72, 80), max_long_side=96, canvases=((96, 96),)
)
EXPERIMENT = Experiment(
    model=tiny.config(), data=DATA, train=device_runs.CONFIG
)


def main(
    kind: str,
    name: str,
    folder: str,
    truth: str,
    workdir: str,
    num_devices: str,
) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * int(num_devices)
    )
    chosen = distribution.choose(name)
    shapes = f"{folder}/annotations/instances_train.json"
    dataset = coco.CocoDataset(shapes, f"{folder}/train")
    batch_size = distribution.batch_of_process(device_runs.CONFIG, chosen)

    def start_at(step):
        return pipeline.make_dataset(
            dataset,
            DATA,
            batch_size=batch_size,
            training=True,
            start_step=step,
            shard=(chosen.process, chosen.num_processes),
        )

    def score(model, truth):
        return experiments.evaluate_coco(
            model,
            coco.CocoDataset(truth, f"{folder}/train"),
            EXPERIMENT,
            chosen,
        )

    with open(shapes, encoding="utf-8") as file:
        images = {**json.load(file), "annotations": []}
    device_runs.train(kind, chosen, start_at, score, images, truth, workdir)


if __name__ == "__main__":
    main(*sys.argv[1:])
