"""TFRecord files of tf.train.Example, read in place.

Needs TensorFlow only for a path with a scheme.

A file is a row of records: the length of the content in 8 bytes, its checksum
in 4, the content, and its checksum in 4. The content is a protocol buffer.
What is large, such as an image, is not read but located, so that one look
through a data set costs its annotations and not its pixels. Checksums are not
computed for the same reason.
"""

import mmap
import os
import struct
from collections.abc import Iterator

import numpy as np

from keras_fair import files

HEADER, FOOTER = 12, 4  # bytes
BYTES_LIST, FLOAT_LIST, INT64_LIST = 1, 2, 3  # fields of a tf.train.Feature
LENGTH_DELIMITED = 2  # a wire type


def map_file(path: str):
    """Return the bytes of a file, read where they are looked at if local.

    A remote file is read whole: one long transfer, not one for each example.
    """
    if files.is_remote(path):
        with files.system(path).GFile(path, "rb") as file:
            return file.read()
    if not os.path.getsize(path):
        return b""
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_examples(content) -> Iterator[dict]:
    """Yield the features of each example, in their order.

    Args:
        content: of a file, as `map_file` gives it.

    Yields:
        {name: value}. Numbers are arrays, float32 [n] or int64 [n]; of bytes
        it is a list of slices of `content`. A feature without a value may be
        absent.

    Raises:
        ValueError: the file is cut off or no such file.
    """
    position = 0
    while position < len(content):
        first = position + HEADER
        if first > len(content):
            raise ValueError(f"the file is cut off at byte {position}")
        (length,) = struct.unpack_from("<Q", content, position)
        if first + length + FOOTER > len(content):
            raise ValueError(
                f"the file is cut off in the record at byte {position}"
            )
        yield _read_features(content, first, first + length)
        position = first + length + FOOTER


def _read_features(content, first: int, last: int) -> dict:
    """Read an Example, whose only field is a map from names to features."""
    features = {}
    for _, start, end in _fields(content, first, last):
        for _, start_of_entry, end_of_entry in _fields(content, start, end):
            name, value = "", None
            for field, low, high in _fields(
                content, start_of_entry, end_of_entry
            ):
                if field == 1:
                    name = bytes(content[low:high]).decode("utf-8")
                else:
                    value = _read_feature(content, low, high)
            if value is not None:
                features[name] = value
    return features


def _read_feature(content, first: int, last: int):
    """Read a Feature: a list of bytes, floats or integers."""
    for kind, start, end in _fields(content, first, last):
        values = list(_fields(content, start, end))
        if kind == BYTES_LIST:
            return [slice(low, high) for _, low, high in values]
        packed = b"".join(content[low:high] for _, low, high in values)
        if kind == FLOAT_LIST:
            return np.frombuffer(packed, "<f4")
        if kind == INT64_LIST:
            return np.array(_unpack_integers(packed), np.int64)
    return None


def _unpack_integers(packed: bytes) -> list[int]:
    values, position = [], 0
    while position < len(packed):
        value, position = _read_varint(packed, position)
        values.append(value - (value >> 63 << 64))  # two's complement
    return values


def _fields(content, first: int, last: int) -> Iterator[tuple[int, int, int]]:
    """Yield the number, first and last byte of each field of a message."""
    while first < last:
        key, first = _read_varint(content, first)
        if key & 7 != LENGTH_DELIMITED:
            raise ValueError(
                "expected a tf.train.Example with packed lists, as "
                f"TensorFlow writes: wire type {key & 7}"
            )
        length, first = _read_varint(content, first)
        if first + length > last:
            raise ValueError("a record is no tf.train.Example")
        yield key >> 3, first, first + length
        first += length


def _read_varint(content, position: int) -> tuple[int, int]:
    """Read a number of 7 bits a byte; return it and where it ends."""
    value = shift = 0
    while position < len(content) and shift < 70:
        byte = content[position]
        value |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return value, position
    raise ValueError("a record is no tf.train.Example")
