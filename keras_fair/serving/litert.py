"""A whole detector as one LiteRT file, for phones and other small machines.

The file has LiteRT's builtin operators only: every interpreter runs it, also
without TensorFlow. Beside it lies FILE.json: what goes in, what comes out, and
the classes' names.

H x W the size that the file is for, D detections.
"""

import json
import os
import tempfile
from collections.abc import Iterable

import numpy as np
import tensorflow as tf

from keras_fair import config_files
from keras_fair.data import transforms
from keras_fair.serving import endpoints, int8, saved_model

QUANTISATIONS = ("float32", "float16", "dynamic", "int8")
SIGNATURE = "serving_default"


def export_litert(
    model,
    path: str,
    size: tuple[int, int],
    quantisation: str = "float32",
    calibration_images: Iterable[np.ndarray] = (),
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
        calibration_images: uint8 [h, w, 3] of any sizes, some tens of what
            the detector will see; for "int8" and nothing else.

    Raises:
        ValueError: an unknown quantisation, a size below 1, calibration
            images that are missing or that nothing asks for; see also
            endpoints.in_float32.
    """
    inputs = [network_input(image, size) for image in calibration_images]
    _check(size, quantisation, len(inputs))
    if quantisation == "int8":
        int8.check_installed()
    model = endpoints.in_float32(model)
    with tempfile.TemporaryDirectory() as folder:
        saved_model.write_graphs(
            model, {SIGNATURE: _detect(model, size)}, folder
        )
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=[SIGNATURE]
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        content = _convert(converter, quantisation)
    if quantisation == "int8":
        content = int8.quantise(content, inputs, SIGNATURE)
    _write(path, content)
    description = _description(model.config, size, quantisation)
    text = json.dumps(description, indent=2, ensure_ascii=False) + "\n"
    _write(f"{path}.json", text.encode("utf-8"))


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
    if (num_images > 0) != (quantisation == "int8"):
        raise ValueError(
            'Expected calibration_images for quantisation="int8" and for no '
            f"other. Received: {num_images} for {quantisation!r}."
        )


def _detect(model, size: tuple[int, int]) -> endpoints.Endpoint:
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


def _write(path: str, content: bytes) -> None:
    """Write a file, atomically."""
    part = f"{path}.{os.getpid()}.part"
    with open(part, "wb") as file:
        file.write(content)
    os.replace(part, path)
