"""Train and evaluate on some devices, and print what came out as JSON.

    python -m tests.training.distributed_training FOLDER WORKDIR NAME DEVICES

NAME is of distribution.NAMES; DEVICES are this process' CPU devices. FOLDER
holds shapes. On several processes TF_CONFIG says which this is.
"""

import json
import sys

import tensorflow as tf

from keras_fair.config import DataConfig
from keras_fair.data import coco, pipeline
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.training import distribution, evaluate, train
from tests.models import tiny
from tests.training import jax_training

DATA = DataConfig(
    short_sides=(64, 72, 80), max_long_side=96, canvases=((96, 96),)
)


def main(folder: str, workdir: str, name: str, num_devices: str) -> None:
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * int(num_devices)
    )
    chosen = distribution.choose(name)
    dataset = coco.CocoDataset(
        f"{folder}/annotations/instances_train.json", f"{folder}/train"
    )
    batch_size = distribution.batch_of_process(jax_training.CONFIG, chosen)
    shard = (chosen.process, chosen.num_processes)

    def start_at(step):
        return pipeline.make_dataset(
            dataset,
            DATA,
            batch_size=batch_size,
            training=True,
            start_step=step,
            shard=shard,
        )

    def evaluate_model(model):
        batches = pipeline.make_dataset(
            dataset, DATA, batch_size=2, training=False, shard=shard
        )
        evaluator = CocoEvaluator(f"{folder}/annotations/instances_train.json")
        report = evaluate.evaluate(model, batches, evaluator, 1, chosen)
        rows = evaluator.results()
        scores = sorted(row["score"] for row in rows)
        found.update(images=evaluator.image_ids, scores=scores)
        return report

    found = {}
    with chosen.scope():
        model = tiny.retinanet(score_threshold=0.0, max_detections=5)
    train.train(
        model,
        start_at,
        jax_training.CONFIG,
        workdir,
        chosen=chosen,
        evaluate=evaluate_model,
    )
    weights = [w.ravel().tolist() for w in model.get_weights()]
    found.update(weights=sum(weights, []), replicas=chosen.num_replicas)
    print("\n" + json.dumps(found))


if __name__ == "__main__":
    main(*sys.argv[1:])
