"""Run a detector of one fixed size in another runtime.

python run.py onnxruntime SAVED_MODEL INPUTS.npz OUTPUTS.npz, with tf2onnx; or
openvino and a SavedModel or LiteRT file. Without Keras and keras_fair.
"""

import subprocess
import sys
import tempfile

import numpy as np
import onnxruntime
import openvino
from ai_edge_litert.interpreter import Interpreter

OPSET = "17"


def with_onnxruntime(path: str, inputs: dict) -> dict:
    """Convert a SavedModel to ONNX and run it."""
    with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
        convert = [sys.executable, "-m", "tf2onnx.convert", "--opset", OPSET]
        files = ["--saved-model", path, "--output", file.name]
        subprocess.run([*convert, *files], check=True)
        session = onnxruntime.InferenceSession(file.name)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs)))


def with_openvino(path: str, inputs: dict) -> dict:
    """Read a SavedModel or a LiteRT file and run it, in float32."""
    core = openvino.Core()
    exact = {"INFERENCE_PRECISION_HINT": "f32"}
    model = core.compile_model(core.read_model(path), "CPU", exact)
    if not path.endswith(".tflite"):
        result = model(inputs)
        return {
            name: value
            for output, value in result.items()
            for name in output.get_names()
        }
    # Of a LiteRT file OpenVINO reads the tensors' names, not the signature's.
    ask = Interpreter(path).get_signature_runner("serving_default")
    given, made = ask.get_input_details(), ask.get_output_details()
    result = model({given[key]["name"]: inputs[key] for key in given})
    return {key: result[made[key]["name"]] for key in made}


def main(runtime: str, path: str, inputs: str, outputs: str) -> None:
    run = {"onnxruntime": with_onnxruntime, "openvino": with_openvino}[runtime]
    np.savez(outputs, **run(path, dict(np.load(inputs))))


if __name__ == "__main__":
    main(*sys.argv[1:])
