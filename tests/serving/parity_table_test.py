"""Every model as every artefact finds what `predict` finds in real images."""

import os

import numpy as np
import pytest
import tensorflow as tf

from keras_fair.config import PixelConfig
from keras_fair.data import image_files, transforms
from keras_fair.serving import comparison, litert, saved_model
from tests import shared
from tests.models import tiny

MODELS = (
    "retinanet",
    "rpn",
    "faster_rcnn",
    "mask_rcnn",
    "mask_x_rcnn",
    "keypoint_rcnn",
    "mask_proposals",
)
SHAPES = ((240, 320), (150, 100))
BATCHES = (1, 2, 5)
# One canvas, so that one graph predicts all of them.
PIXELS = PixelConfig(short_side=96, max_long_side=128)
CANVAS = (128, 128)


def photographs(shape: tuple[int, int]) -> np.ndarray:
    """Return five of COCO's in one size, uint8 [5, h, w, 3]."""
    paths = image_files.find([str(shared.coco_tiny())])[:5]
    images = [transforms.read_image(tf.constant(path)) for path in paths]
    return np.stack([transforms.resize_image(each, shape) for each in images])


def model_of(name: str):
    """Return an untrained model whose scores and masks are not all alike."""
    changes = {"score_threshold": 1e-3} if name == "retinanet" else {}
    model = getattr(tiny, name)(pixels=PIXELS, **changes)
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        if "logits" in variable.path and variable.name == "kernel":
            variable.assign(0.1 * random.normal(size=variable.shape))
    return model


def row_of(detections: dict, row: int) -> dict:
    return {k: np.asarray(v)[row : row + 1] for k, v in detections.items()}


def report(capsys, name: str, artefact: str, shape, compared: list) -> None:
    """Print a row of the table and check it."""
    largest = {
        key: max(each.largest[key] for each in compared)
        for key in compared[0].largest
    }
    rows = sum(each.num_rows for each in compared)
    figures = ", ".join(f"{k} {v:.1e}" for k, v in largest.items())
    with capsys.disabled():
        print(
            f"\n{name:15} {artefact:24} {shape} {rows:4} rows {figures}", end=""
        )
    assert rows > 3 * len(compared)
    assert not sum(each.num_differing for each in compared)
    assert all(
        wanted == found
        for wanted, found in (e.num_detections for e in compared)
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_every_artefact_is_equal(name, tmp_path, capsys):
    model = model_of(name)
    folder = saved_model.export_saved_model(
        model,
        str(tmp_path),
        images=photographs(SHAPES[0])[:1],
        warmup_shapes=(),
    )
    signatures = tf.saved_model.load(folder).signatures
    for shape in SHAPES:
        images = photographs(shape)
        wanted = [saved_model.predict(model, image) for image in images]
        for batch in BATCHES:
            given = tf.constant(images[:batch])
            encoded = tf.stack([tf.io.encode_png(each) for each in given])
            found = {
                "serving_default": signatures["serving_default"](images=given),
                "serve_bytes": signatures["serve_bytes"](images=encoded),
            }
            for signature, detections in found.items():
                compared = [
                    comparison.compare(
                        wanted[row], row_of(detections, row), max(shape)
                    )
                    for row in range(batch)
                ]
                report(
                    capsys, name, f"{signature}, batch {batch}", shape, compared
                )
    path = os.path.join(tmp_path, "detector.tflite")
    litert.export_litert(model, path, CANVAS, images=photographs(SHAPES[0])[:1])
    run = litert.Interpreter(path).get_signature_runner(litert.SIGNATURE)
    for shape in SHAPES:
        inputs = [litert.network_input(i, CANVAS) for i in photographs(shape)]
        compared = [
            comparison.compare(model.predict_on_batch(x), run(**x), max(CANVAS))
            for x in inputs
        ]
        report(capsys, name, "LiteRT, one by one", shape, compared)
