"""A whole detector as one LiteRT file, for phones and other small machines.

The file has LiteRT's builtin operators only: every interpreter runs it, also
without TensorFlow. Beside it lie FILE.json: what goes in, what comes out, and
the classes' names; and FILE.parity.json, see parity.py.

H x W the size that the file is for, D detections.
"""

import tempfile
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from keras_fair import config_files, files
from keras_fair.data import transforms
from keras_fair.serving import endpoints, int8, parity, saved_model

try:
    from ai_edge_litert.interpreter import Interpreter
except ImportError:  # the older one, of TensorFlow
    Interpreter = tf.lite.Interpreter

QUANTISATIONS = ("float32", "float16", "dynamic", "int8")
SIGNATURE = "serving_default"


def export_litert(
    model,
    path: str,
    size: tuple[int, int],
    quantisation: str = "float32",
    images: Iterable[np.ndarray] = (),
) -> None:
    """Write a detector for one size of canvas, and a description beside it.

    Args:
        model: a detector; converted in float32 whatever its policy.
        path: of the file, "detector.tflite".
        size: height and width of the canvas, pixels. `network_input` puts an
            image on it.
        quantisation: "float32"; "float16", of the weights, half as large;
            "dynamic", weights of a byte each; or "int8", where convolutions
            and fully connected layers compute in bytes, too (see int8.py).
        images: uint8 [h, w, 3] of any sizes, like those that the detector
            will see. All calibrate "int8", which takes some tens; see also
            `certify`.

    Raises:
        ValueError: an unknown quantisation, a size below 1, "int8" without
            images; see also endpoints.in_float32.
        RuntimeError: the file does not find what the model finds.
    """
    images = list(images)
    _check(size, quantisation, len(images))
    if quantisation == "int8":
        int8.check_installed()
    model = endpoints.in_float32(model)
    with tempfile.TemporaryDirectory() as folder:
        saved_model.write_graphs(
            model, {SIGNATURE: fixed_endpoint(model, size)}, folder
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = _convert(converter, quantisation)
    if quantisation == "int8":
        inputs = [network_input(image, size) for image in images]
        content = int8.quantise(content, inputs, SIGNATURE)
    certificate = certify(model, content, size, quantisation, images)
    with files.replacing(path) as part, open(part, "wb") as file:
        file.write(content)
    description = _description(model.config, size, quantisation)
    files.write_json(f"{path}.json", description, indent=2)
    files.write_json(f"{path}.parity.json", certificate, indent=2)


def certify(
    model,
    content: bytes,
    size: tuple[int, int],
    quantisation: str = "float32",
    images: Iterable[np.ndarray] = (),
) -> dict:
    """Compare what a LiteRT file finds with `predict_on_batch`.

    Args:
        model: the float32 model.
        content: of the file.
        size: height and width of the file's canvas, pixels.
        quantisation: of the file.
        images: uint8 [h, w, 3] of any sizes, such as the model was trained
            for; the first parity.NUM_IMAGES count. By default
            parity.drawn_image, in which a model may find little.

    Returns:
        parity.certificate.

    Raises:
        RuntimeError: see `parity.certificate`.
    """
    interpreter = Interpreter(model_content=content)
    ask = interpreter.get_signature_runner(SIGNATURE)
    return parity.certify(
        lambda image: model.predict_on_batch(network_input(image, size)),
        lambda image: ask(**network_input(image, size)),
        images,
        threshold=getattr(model.config, "score_threshold", 0.0),
        long_side=max(size),
        quantisation=quantisation,
    )


def network_input(image: np.ndarray, size: tuple[int, int]) -> dict:
    """Put an image on the canvas of an exported file.

    It is resized, keeping its aspect, until it just fits, and lies in the top
    left corner; the rest is zero. Boxes that are found return to the image's
    pixels by the factor h / image_shape[0, 0], or w / image_shape[0, 1].

    Args:
        image: uint8 [h, w, 3], RGB.
        size: height and width of the canvas, pixels.

    Returns:
        x of contract.py, NumPy, a batch of one.
    """
    height, width = image.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    shape = np.floor(np.array([height, width]) * scale + 0.5)
    shape = np.clip(shape, 1, size).astype("int32")
    resized = transforms.resize_image(tf.constant(image), shape)
    canvas = transforms.pad_image(resized, tf.constant(size, tf.int32))
    return {"images": canvas.numpy()[None], "image_shape": shape[None]}


def _check(size, quantisation: str, num_images: int) -> None:
    if quantisation not in QUANTISATIONS:
        raise ValueError(
            f"Expected quantisation as one of {', '.join(QUANTISATIONS)}. "
            f"Received: {quantisation!r}."
        )
    if min(size) < 1:
        raise ValueError(
            f"Expected size as height and width from 1 on. Received: {size}."
        )
    if quantisation == "int8" and not num_images:
        raise ValueError(
            'Expected images to calibrate quantisation="int8". Received none; '
            "give some tens of those that the detector will see."
        )


def fixed_endpoint(model, size: tuple[int, int]) -> endpoints.Endpoint:
    """Return the detector of one image on a canvas of that size.

    Args:
        model: a detector in float32.
        size: height and width of the canvas, pixels; see `network_input`.
    """

    def detect(images, image_shape):
        x = {"images": images, "image_shape": image_shape}
        return model.detections(model(x, training=False))

    inputs = [
        tf.TensorSpec([1, *size, 3], tf.uint8, "images"),
        tf.TensorSpec([1, 2], tf.int32, "image_shape"),
    ]
    return endpoints.Endpoint(detect, inputs)


def _convert(converter, quantisation: str) -> bytes:
    if quantisation in ("float16", "dynamic"):
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantisation == "float16":
        converter.target_spec.supported_types = [tf.float16]
    return converter.convert()


def _description(config, size: tuple[int, int], quantisation: str) -> dict:
    return {
        "signature": SIGNATURE,
        "inputs": {
            "images": f"uint8 [1, {size[0]}, {size[1]}, 3], RGB; the image is "
            "resized (bilinear, half-pixel centres, keeping the aspect) until "
            "it fits, in the top left corner; the rest is 0",
            "image_shape": "int32 [1, 2], height and width of the resized "
            "image, pixels",
        },
        "outputs": {
            "boxes": "float32 [1, D, 4], x1, y1, x2, y2, pixels of the canvas",
            "scores": "float32 [1, D], descending",
            "labels": "int32 [1, D], index of `class_names`; -1 is no object",
            "num_detections": "int32 [1], rows with an object",
            "masks": "float32 [1, D, 28, 28], probabilities in the frame of "
            "the box; of models that have masks",
            "keypoints": "float32 [1, D, P, 3], x, y, pixels of the canvas, "
            "and score; of models that have keypoints",
        },
        "quantisation": quantisation,
        "class_names": config.class_names,
        "category_ids": config.category_ids,
        "config": config_files.to_dict(config),
    }
