"""Serve an exported model by NVIDIA Triton, on this machine only.

python server.py SAVED_MODEL HTTP_PORT GRPC_PORT, with nvidia-pytriton and
TensorFlow; without Keras and keras_fair.
"""

import sys

import numpy as np
import tensorflow as tf
from pytriton.decorators import batch
from pytriton.model_config import DynamicBatcher, ModelConfig, Tensor
from pytriton.triton import Triton, TritonConfig


def main(folder: str, http_port: str, grpc_port: str) -> None:
    detect = tf.saved_model.load(folder).signatures["serve_bytes"]

    @batch
    def infer(images):
        files = tf.constant([bytes(file) for file in images[:, 0]])
        found = {k: v.numpy() for k, v in detect(images=files).items()}
        # Triton has no scalars.
        found["num_detections"] = found["num_detections"][:, None]
        return found

    outputs = []
    for name, value in detect.structured_outputs.items():
        sides = [side or -1 for side in value.shape[1:]] or [1]
        dtype = value.dtype.as_numpy_dtype
        outputs.append(Tensor(name=name, dtype=dtype, shape=tuple(sides)))
    config = TritonConfig(
        http_address="127.0.0.1",
        http_port=int(http_port),
        grpc_address="127.0.0.1",
        grpc_port=int(grpc_port),
        allow_metrics=False,
    )
    with Triton(config=config) as triton:
        triton.bind(
            model_name="detector",
            infer_func=infer,
            inputs=[Tensor(name="images", dtype=np.bytes_, shape=(1,))],
            outputs=outputs,
            config=ModelConfig(
                max_batch_size=4,
                batcher=DynamicBatcher(max_queue_delay_microseconds=20_000),
            ),
        )
        triton.serve()


if __name__ == "__main__":
    main(*sys.argv[1:])
