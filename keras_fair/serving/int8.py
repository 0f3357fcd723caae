"""Convolutions and fully connected layers of a LiteRT file in bytes.

Everything else stays in float32: boxes that are decoded from bytes are wrong
by whole pixels. The ranges of the tensors are measured here, on the float
file: the calibrators of TensorFlow and of ai-edge-quantizer stop at the loop
of non-maximum suppression.
"""

import os
import tempfile

import numpy as np

try:
    from ai_edge_litert import interpreter, schema_py_generated
    from ai_edge_quantizer import qtyping, quantizer
except ImportError:  # told where it is needed
    quantizer = None

# LiteRT's names and the quantizer's.
OPERATORS = {
    "CONV_2D": "CONV_2D",
    "DEPTHWISE_CONV_2D": "DEPTHWISE_CONV_2D",
    "FULLY_CONNECTED": "FULLY_CONNECTED",
    "TRANSPOSE_CONV": "CONV_2D_TRANSPOSE",
}


def check_installed() -> None:
    """Raise an ImportError where the quantizer is missing."""
    if quantizer is None:
        raise ImportError(
            "int8 needs the packages ai-edge-quantizer, scipy and "
            "ai-edge-litert: pip install 'keras-fair[int8]'."
        )


def quantise(content: bytes, inputs: list[dict], signature: str) -> bytes:
    """Return a LiteRT file whose `OPERATORS` compute in int8.

    Args:
        content: the float32 file.
        inputs: NumPy arrays by name, what the signature takes; tens of what
            the model will see.
        signature: the name of the file's signature.
    """
    check_installed()
    ranges = _measure(content, inputs, signature)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "float32.tflite")
        with open(path, "wb") as file:
            file.write(content)
        work = quantizer.Quantizer(path)
        for name in OPERATORS.values():
            work.add_static_config(
                regex=".*",
                operation_name=qtyping.TFLOperationName[name],
                activation_num_bits=8,
                weight_num_bits=8,
            )
        return bytes(work.quantize(ranges).quantized_model)


def _measure(content: bytes, inputs: list[dict], signature: str) -> dict:
    """Return the least and largest value of each tensor that becomes bytes."""
    tensors = _tensors(content)
    runner = interpreter.Interpreter(
        model_content=content, experimental_preserve_all_tensors=True
    )
    run = runner.get_signature_runner(signature)
    lows = dict.fromkeys(tensors, np.inf)
    highs = dict.fromkeys(tensors, -np.inf)
    for arrays in inputs:
        run(**arrays)
        for name, index in tensors.items():
            values = runner.get_tensor(index)
            lows[name] = min(lows[name], values.min())
            highs[name] = max(highs[name], values.max())
    # In one dimension more than a scalar: the quantizer broadcasts them.
    return {
        name: {
            "min": np.float32([lows[name]]),
            "max": np.float32([highs[name]]),
        }
        for name in tensors
    }


def _tensors(content: bytes) -> dict[str, int]:
    """Return the index of each tensor that `OPERATORS` read or write."""
    model = schema_py_generated.ModelT.InitFromPackedBuf(content, 0)
    numbers = vars(schema_py_generated.BuiltinOperator)
    wanted = {numbers[name] for name in OPERATORS}
    codes = [
        max(code.builtinCode, code.deprecatedBuiltinCode)
        for code in model.operatorCodes
    ]
    graph = model.subgraphs[0]
    used = {
        index
        for operator in graph.operators
        if codes[operator.opcodeIndex] in wanted
        for index in (*operator.inputs, *operator.outputs)
        if index >= 0  # -1: no bias
    }
    return {
        graph.tensors[index].name.decode(): index
        for index in sorted(used)
        if graph.tensors[index].type == schema_py_generated.TensorType.FLOAT32
        # Weights have their numbers in the file.
        and model.buffers[graph.tensors[index].buffer].data is None
    }
