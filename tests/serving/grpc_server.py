"""What docs/serving.md's client asks of TensorFlow Serving over gRPC.

A stand-in where there is no TensorFlow Serving: its service and its messages,
which come with tensorflow-serving-api, answered with the SavedModel.
"""

import contextlib
from collections.abc import Iterator
from concurrent import futures

import grpc
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

SERVICE = "tensorflow.serving.PredictionService"
MESSAGE_BYTES = 64 << 20


@contextlib.contextmanager
def running(folder, name: str) -> Iterator[int]:
    """Serve a SavedModel on loopback under that name; give the port."""
    signatures = tf.saved_model.load(str(folder)).signatures

    def predict(request, context):
        spec = request.model_spec
        if spec.name != name:
            context.abort(grpc.StatusCode.NOT_FOUND, f"No model {spec.name}.")
        inputs = {
            key: tf.constant(tf.make_ndarray(value).tolist(), value.dtype)
            for key, value in request.inputs.items()
        }
        answer = predict_pb2.PredictResponse()
        for key, value in signatures[spec.signature_name](**inputs).items():
            answer.outputs[key].CopyFrom(tf.make_tensor_proto(value))
        return answer

    method = grpc.unary_unary_rpc_method_handler(
        predict,
        predict_pb2.PredictRequest.FromString,
        predict_pb2.PredictResponse.SerializeToString,
    )
    server = grpc.server(
        futures.ThreadPoolExecutor(2),
        [grpc.method_handlers_generic_handler(SERVICE, {"Predict": method})],
        options=[("grpc.max_send_message_length", MESSAGE_BYTES)],
    )
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield port
    finally:
        server.stop(None).wait()
