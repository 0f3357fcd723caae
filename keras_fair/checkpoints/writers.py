"""Named arrays -> a file that torch.load or safetensors reads.

torch is not needed: the state dict's pickle is written instruction by
instruction. It asks for torch's own tensor builder only, as torch.save's do,
so torch.load(weights_only=True) takes it.
"""

import json
import struct
import zipfile

import numpy as np

from keras_fair import files

# Storage types of torch and safetensors by dtype.
DTYPES = {
    "float32": ("FloatStorage", "F32"),
    "float16": ("HalfStorage", "F16"),
    "int64": ("LongStorage", "I64"),
}
# Opcodes of pickle, protocol 2.
BEGIN, MARK, TUPLE, REDUCE, PERSISTENT = b"\x80\x02", b"(", b"t", b"R", b"Q"
EMPTY_DICT, SET_ITEM, FALSE, END = b"}", b"s", b"\x89", b"."


def write(path: str, arrays: dict[str, np.ndarray]) -> None:
    """Write the arrays; the file appears complete or not at all.

    Args:
        path: ".safetensors" gives that format, anything else torch.save's.
        arrays: name -> float32, float16 or int64.

    Raises:
        ValueError: another dtype.
    """
    for name, array in arrays.items():
        if array.dtype.name not in DTYPES:
            raise ValueError(
                f"Expected {', '.join(DTYPES)} to write. Received: {name} of "
                f"{array.dtype}."
            )
    is_safetensors = str(path).endswith(".safetensors")
    write = _write_safetensors if is_safetensors else _write_torch
    with files.replacing(path) as part:
        write(part, arrays)


def _little(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<")).tobytes()


def _write_safetensors(path: str, arrays: dict) -> None:
    header, start = {}, 0
    for name, array in arrays.items():
        header[name] = {
            "dtype": DTYPES[array.dtype.name][1],
            "shape": list(array.shape),
            "data_offsets": [start, start + array.nbytes],
        }
        start += array.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)  # the data begin at a multiple of 8
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for array in arrays.values():
            file.write(_little(array))


def _write_torch(path: str, arrays: dict) -> None:
    """Write the zip format since torch 1.6."""
    items = b"".join(
        _text(name) + _tensor(str(key), array) + SET_ITEM
        for key, (name, array) in enumerate(arrays.items())
    )
    with zipfile.ZipFile(path, "w") as archive:
        content = BEGIN + EMPTY_DICT + items + END
        archive.writestr("weights/data.pkl", content)
        archive.writestr("weights/byteorder", b"little")
        for key, array in enumerate(arrays.values()):
            archive.writestr(f"weights/data/{key}", _little(array))
        archive.writestr("weights/version", b"3\n")


def _tensor(key: str, array: np.ndarray) -> bytes:
    """Return instructions that build a contiguous tensor on its storage."""
    sides = array.shape
    strides = [int(np.prod(sides[axis + 1 :])) for axis in range(len(sides))]
    kind = DTYPES[array.dtype.name][0]
    storage = _tuple(
        _text("storage"),
        _global("torch", kind),
        _text(key),
        _text("cpu"),
        _number(array.size),
    )
    hooks = _global("collections", "OrderedDict") + _tuple() + REDUCE
    arguments = _tuple(
        storage + PERSISTENT,
        _number(0),
        _tuple(*map(_number, sides)),
        _tuple(*map(_number, strides)),
        FALSE,
        hooks,
    )
    return _global("torch._utils", "_rebuild_tensor_v2") + arguments + REDUCE


def _tuple(*items: bytes) -> bytes:
    return MARK + b"".join(items) + TUPLE


def _global(module: str, name: str) -> bytes:
    return f"c{module}\n{name}\n".encode()


def _text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def _number(value: int) -> bytes:
    # LONG1: as many bytes as wanted; 9 hold any 64-bit size.
    return b"\x8a\x09" + int(value).to_bytes(9, "little", signed=True)
