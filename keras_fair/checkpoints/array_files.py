"""Arrays in safetensors, NumPy and HDF5 files, sizes checked first."""

import json
import math
import mmap
import zipfile

import h5py
import numpy as np

from keras_fair.checkpoints import pickled_arrays

SAFETENSORS_DTYPES = {
    "F64": "<f8",
    "F32": "<f4",
    "F16": "<f2",
    "BF16": "<u2",
    "I64": "<i8",
    "I32": "<i4",
    "I16": "<i2",
    "I8": "i1",
    "U64": "<u8",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "u1",
    "BOOL": "?",
    "C64": "<c8",
}
# Deflate cannot pack 1032 bytes of zeros into less than one byte.
MAX_COMPRESSION = 1032


def is_safetensors(head: bytes, size: int) -> bool:
    """Tell whether a file that begins so is a safetensors file.

    Args:
        head: at least the first 9 bytes, of which 8 are the header's length.
        size: of the file, in bytes.
    """
    length = int.from_bytes(head[:8], "little")
    return head[8:9] == b"{" and 2 <= length <= size - 8


def read_safetensors(mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """Return the arrays, as views; bfloat16 becomes float32, exactly."""
    length = int.from_bytes(mapped[:8], "little")
    header = json.loads(mapped[8 : 8 + length], object_pairs_hook=_unique)
    content = memoryview(mapped)[8 + length :]
    return {
        name: _safetensor(name, entry, content)
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _unique(pairs: list) -> dict:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("a name stands twice in the header")
    return result


def _safetensor(name: str, entry, content: memoryview) -> np.ndarray:
    if not isinstance(entry, dict) or not entry.keys() >= {
        "dtype",
        "shape",
        "data_offsets",
    }:
        raise ValueError(f"{name!r} lacks dtype, shape or data_offsets")
    code = entry["dtype"]
    if code not in SAFETENSORS_DTYPES:
        raise ValueError(f"{name!r} has the unknown dtype {code!r}")
    shape = pickled_arrays.checked_shape(entry["shape"])
    offsets = pickled_arrays.checked_shape(entry["data_offsets"])
    dtype = np.dtype(SAFETENSORS_DTYPES[code])
    start, end = offsets if len(offsets) == 2 else (0, -1)
    needed = math.prod(shape) * dtype.itemsize
    if end - start != needed or end > len(content):
        raise ValueError(
            f"{name!r} needs {needed} bytes and has {list(offsets)} of "
            f"{len(content)}"
        )
    array = np.ndarray(shape, dtype, content[start:end])
    if code == "BF16":
        return (array.astype(np.uint32) << 16).view(np.float32)
    return array


def read_npz(path: str, archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """Return the arrays; pickled objects are refused."""
    for info in archive.infolist():
        compressed = info.compress_type != zipfile.ZIP_STORED
        limit = info.compress_size * (MAX_COMPRESSION if compressed else 1)
        with archive.open(info) as member:
            needed = _npy_size(member)
        if info.file_size > limit or needed > info.file_size:
            raise ValueError(
                f"{info.filename!r} needs {needed} bytes and has "
                f"{min(limit, info.file_size)}"
            )
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _npy_size(member) -> int:
    """Return how many bytes the array takes, by its header."""
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return math.prod(shape) * dtype.itemsize


def read_hdf5(path: str) -> dict[str, np.ndarray]:
    """Return every data set by its path in the file, as Keras writes them."""
    arrays = {}

    def add(name, item):
        if isinstance(item, h5py.Dataset):
            arrays[name] = _dataset(name, item)

    with h5py.File(path, "r") as file:
        file.visititems(add)
    return arrays


def _dataset(name: str, dataset: h5py.Dataset) -> np.ndarray:
    if dataset.external or dataset.is_virtual:
        raise ValueError(f"refused {name!r}: its numbers lie in another file")
    if dataset.dtype.kind not in "biufc":
        raise ValueError(f"refused {name!r} of dtype {dataset.dtype}")
    if dataset.nbytes > MAX_COMPRESSION * dataset.id.get_storage_size():
        raise ValueError(f"{name!r} needs {dataset.nbytes} bytes, has fewer")
    return dataset[()]
