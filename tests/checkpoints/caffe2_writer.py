"""Pickles as Caffe2's Python 2 and NumPy 1 wrote them, protocol 2.

Bytes were `str` then: names, and the content of arrays, are BINSTRING.
"""

import struct

import numpy as np

BEGIN, END = b"\x80\x02", b"."
EMPTY_DICT, SET_ITEM = b"}", b"s"


def write(path, blobs: dict, cfg: str = "MODEL:\n  NUM_CLASSES: 81\n") -> None:
    """Write {"blobs": {name: array}, "cfg": text}."""
    items = b"".join(
        _text(name) + _array(array) + SET_ITEM for name, array in blobs.items()
    )
    with open(path, "wb") as file:
        file.write(BEGIN + EMPTY_DICT)
        file.write(_text("blobs") + EMPTY_DICT + items + SET_ITEM)
        file.write(_text("cfg") + _text(cfg) + SET_ITEM + END)


def _text(value: str) -> bytes:
    return _string(value.encode())


def _string(content: bytes) -> bytes:
    if len(content) < 256:
        return b"U" + bytes([len(content)]) + content
    return b"T" + struct.pack("<i", len(content)) + content


def _number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def _array(array: np.ndarray) -> bytes:
    """Return instructions that build a float32 array."""
    empty = (
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n"
        + (b"(" + _number(0) + b"t")
        + (_string(b"b") + b"\x87R")
    )
    kind = (
        (b"cnumpy\ndtype\n" + _string(b"f4") + _number(0) + _number(1))
        + b"\x87R"
        + (b"(" + _number(3) + _string(b"<") + b"NNN")
        + (_number(-1) + _number(-1) + _number(0) + b"tb")
    )
    sides = b"".join(map(_number, array.shape))
    state = b"(" + _number(1) + b"(" + sides + b"t" + kind + b"\x89"
    return empty + state + _string(array.astype("<f4").tobytes()) + b"tb"
