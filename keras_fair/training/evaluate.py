"""COCO AP of a model on a data set, in plain Python."""

import keras

from keras_fair.evaluation.coco_eval import CocoEvaluator


def evaluate(
    model: keras.Model, dataset, evaluator: CocoEvaluator, num_images: int
) -> dict:
    """Predict every image once and return COCO's summary.

    Those of masks and keypoints, if the model finds any, are the entries
    "masks" and "keypoints".

    Args:
        model: a detector.
        dataset: batches (x, y) of contract.py with image_id and
            original_shape; finite.
        evaluator: fresh; it knows the ground truth.
        num_images: for the progress bar.
    """
    progress = keras.utils.Progbar(num_images, unit_name="image")
    for x, y in dataset:
        detections = model.predict_on_batch(x)
        evaluator.update(
            detections, y["image_id"], x["image_shape"], y["original_shape"]
        )
        progress.add(len(y["image_id"]))
    return summarize(evaluator)


def summarize(evaluator: CocoEvaluator) -> dict:
    """Return COCO's summary; that of masks, if any, is the entry "masks"."""
    report = evaluator.summarize()
    if "segm" in evaluator.iou_types:
        report["masks"] = evaluator.summarize("segm")
    if "keypoints" in evaluator.iou_types:
        report["keypoints"] = evaluator.summarize("keypoints")
    return report
