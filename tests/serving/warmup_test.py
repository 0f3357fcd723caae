"""Warm-up requests, read by messages that protobuf itself parses."""

import os

import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from keras_fair.serving import warmup

# Message, field, number, type; as tensorflow_serving/apis declares them.
FIELDS = (
    ("ModelSpec", "name", 1, "string"),
    ("ModelSpec", "signature_name", 3, "string"),
    ("Entry", "key", 1, "string"),
    ("Entry", "value", 2, "bytes"),
    ("PredictRequest", "model_spec", 1, "ModelSpec"),
    ("PredictRequest", "inputs", 2, "Entry"),
    ("PredictLog", "request", 1, "PredictRequest"),
    ("PredictionLog", "predict_log", 6, "PredictLog"),
)


def prediction_log_class():
    """Return the class of the messages that `FIELDS` declares."""
    field = descriptor_pb2.FieldDescriptorProto
    plain = {"string": field.TYPE_STRING, "bytes": field.TYPE_BYTES}
    file = descriptor_pb2.FileDescriptorProto(name="test", syntax="proto3")
    messages = {}
    for message, name, number, kind in FIELDS:
        if message not in messages:
            messages[message] = file.message_type.add(name=message)
        added = messages[message].field.add(name=name, number=number)
        repeated = name == "inputs"
        added.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
        added.type = plain.get(kind, field.TYPE_MESSAGE)
        if kind not in plain:
            added.type_name = f".{kind}"
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(
        pool.FindMessageTypeByName("PredictionLog")
    )


def parse(record: bytes):
    """Return the request's model, its signature and its inputs."""
    request = prediction_log_class().FromString(record).predict_log.request
    inputs = {}
    for entry in request.inputs:
        proto = tf.make_tensor_proto(0)
        proto.ParseFromString(entry.value)
        inputs[entry.key] = tf.make_ndarray(proto)
    spec = request.model_spec
    return spec.name, spec.signature_name, inputs


def test_a_request_says_what_it_was_given():
    tensors = {
        "images": tf.reshape(tf.range(300), [1, 10, 10, 3]),
        "boxes": tf.constant([[[1.5, 2, 3, 4]]]),
    }
    record = warmup.prediction_log("predict_masks", tensors)
    model, signature, inputs = parse(record)
    assert (model, signature) == ("detector", "predict_masks")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(inputs[name], tensor)
    # Every byte belongs to a field that was declared.
    message = prediction_log_class().FromString(record)
    message.DiscardUnknownFields()
    assert message.ByteSize() == len(record)


def test_servings_own_messages_read_it():
    apis = pytest.importorskip(
        "tensorflow_serving.apis.prediction_log_pb2",
        reason="tensorflow-serving-api is not installed",
    )
    record = warmup.prediction_log(
        "serve_bytes", {"images": tf.constant(["a"])}
    )
    request = apis.PredictionLog.FromString(record).predict_log.request
    assert request.model_spec.signature_name == "serve_bytes"
    assert tf.make_ndarray(request.inputs["images"]).tolist() == [b"a"]


def test_each_signature_gets_each_shape(tmp_path):
    names = ["serving_default", "serve_bytes", "predict_masks"]
    warmup.write(str(tmp_path), names, ((1, 20, 30), (2, 30, 40)))
    path = str(tmp_path / warmup.NAME)
    records = [parse(r.numpy()) for r in tf.data.TFRecordDataset(path)]
    assert [signature for _, signature, _ in records] == names * 2
    default, encoded, masks = (inputs for _, _, inputs in records[3:])
    assert default["images"].shape == (2, 30, 40, 3)
    assert default["images"].dtype == np.uint8
    assert encoded["images"].shape == (2,)
    image = tf.io.decode_image(encoded["images"][0])
    assert image.shape == (30, 40, 3)
    assert masks["boxes"].tolist() == [[[0, 0, 40, 30]]] * 2
    assert masks["labels"].tolist() == [[0]] * 2


def test_without_shapes_there_is_no_file(tmp_path):
    warmup.write(str(tmp_path), ["serving_default"], ())
    assert not os.listdir(tmp_path)
