"""Requests that TensorFlow Serving makes to itself when it loads a model.

The file is a TFRecord of PredictionLog messages. Their classes come with
tensorflow-serving-api; here they are written in protobuf's wire format, so
that an export does not need that package.
"""

import os

import tensorflow as tf

NAME = "tf_serving_warmup_requests"
MODEL_NAME = "detector"  # a server takes the name that it serves under
# Numbers of fields in tensorflow_serving/apis.
PREDICT_LOG = 6  # of PredictionLog
REQUEST = 1  # of PredictLog
MODEL_SPEC, INPUTS = 1, 2  # of PredictRequest
SPEC_NAME, SIGNATURE_NAME = 1, 3  # of ModelSpec
KEY, VALUE = 1, 2  # of an entry of any map
LENGTH_DELIMITED = 2  # wire type


def write(folder: str, signatures: list[str], shapes) -> None:
    """Write a request of each shape to each signature that takes pictures.

    Args:
        folder: `assets.extra` of a SavedModel.
        signatures: names, see endpoints.py.
        shapes: of (batch, height, width), pixels; without any there is no
            file.
    """
    if not shapes:
        return
    with tf.io.TFRecordWriter(os.path.join(folder, NAME)) as writer:
        for batch, height, width in shapes:
            grey = tf.fill(
                [batch, height, width, 3], tf.constant(128, tf.uint8)
            )
            for name in signatures:
                inputs = _inputs(name, grey)
                writer.write(prediction_log(name, inputs))


def _inputs(signature: str, images) -> dict:
    if signature == "serve_bytes":
        file = tf.io.encode_jpeg(images[0])
        return {"images": tf.fill(images.shape[:1], file)}
    if signature == "predict_masks":
        batch, height, width, _ = images.shape
        box = tf.constant([[[0, 0, width, height]]], tf.float32)
        return {
            "images": images,
            "boxes": tf.tile(box, [batch, 1, 1]),
            "labels": tf.zeros([batch, 1], tf.int32),
        }
    return {"images": images}


def prediction_log(signature: str, inputs: dict) -> bytes:
    """Return a serialised PredictionLog with one PredictRequest.

    Args:
        signature: whom to ask.
        inputs: tensors by name.
    """
    spec = _field(SPEC_NAME, MODEL_NAME.encode())
    spec += _field(SIGNATURE_NAME, signature.encode())
    request = _field(MODEL_SPEC, spec)
    for name, tensor in inputs.items():
        proto = tf.make_tensor_proto(tensor).SerializeToString()
        entry = _field(KEY, name.encode()) + _field(VALUE, proto)
        request += _field(INPUTS, entry)
    return _field(PREDICT_LOG, _field(REQUEST, request))


def _field(number: int, content: bytes) -> bytes:
    """Return a field whose length goes before its content."""
    tag = number << 3 | LENGTH_DELIMITED
    return _varint(tag) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    """Return seven bits a byte, lowest first; the last has no high bit."""
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
