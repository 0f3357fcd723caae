"""COCO AP of a model on a data set, in plain Python."""

import pickle

import keras

from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.training import devices


def evaluate(
    model: keras.Model,
    dataset,
    evaluator: CocoEvaluator,
    num_images: int,
    chosen: devices.OneDevice | None = None,
) -> dict:
    """Predict every image once and return COCO's summary.

    Those of masks and keypoints, if the model finds any, are the entries
    "masks" and "keypoints".

    Args:
        model: a detector.
        dataset: batches (x, y) of contract.py with image_id and
            original_shape; finite; of several processes, this one's part.
        evaluator: fresh; it knows the ground truth. In the end it holds the
            detections of all processes.
        num_images: for the progress bar.
        chosen: the devices; by default Keras's choice of one.
    """
    chosen = chosen or devices.OneDevice()
    progress = keras.utils.Progbar(num_images, unit_name="image")
    for detections, x, y in chosen.predict(model, dataset):
        evaluator.update(
            detections, y["image_id"], x["image_shape"], y["original_shape"]
        )
        progress.add(len(y["image_id"]))
    if chosen.num_processes > 1:
        parts = chosen.gather(pickle.dumps(evaluator))
        for process, part in enumerate(parts):
            if process != chosen.process:
                evaluator.merge(pickle.loads(part))
    return summarize(evaluator)


def summarize(evaluator: CocoEvaluator) -> dict:
    """Return COCO's summary; that of masks, if any, is the entry "masks"."""
    report = evaluator.summarize()
    if "segm" in evaluator.iou_types:
        report["masks"] = evaluator.summarize("segm")
    if "keypoints" in evaluator.iou_types:
        report["keypoints"] = evaluator.summarize("keypoints")
    return report
