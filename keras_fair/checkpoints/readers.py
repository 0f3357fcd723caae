"""Files of weights of any library -> {name: array}, by what is in them.

Nothing in a file is run or imported and no torch is needed; see
unpickler.py. Sizes are checked against the file before memory is taken.
"""

import mmap
import struct
import tarfile
import zipfile
import zlib

import numpy as np

from keras_fair.checkpoints import (
    array_files,
    pickled_arrays,
    torch_files,
    torch_tar,
    torch_tensors,
    unpickler,
)

# Under which a training program keeps the weights beside its other state:
# Detectron2 and torchvision, others, pycls, Detectron.
WRAPPERS = ("model", "state_dict", "model_state", "blobs")
# Protocol 2 and later, 0, 1, and an OrderedDict in protocol 0.
PICKLED_DICTIONARIES = (b"\x80", b"(d", b"}q", b"ccollections")
# Tied weights are counted once for each name; no real file comes near.
MAX_EXPANSION = 8
DAMAGES = (
    ValueError,
    EOFError,
    KeyError,  # h5py's
    MemoryError,
    NotImplementedError,
    OSError,
    OverflowError,
    TypeError,
    RecursionError,
    RuntimeError,
    struct.error,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def read(path: str) -> dict[str, np.ndarray]:
    """Return the named arrays of a file of weights.

    Knows torch.save's files (zip, the older stream, tar), pickles of
    Detectron2 and Detectron, safetensors, NumPy's .npz and Keras's .h5. Of a
    training checkpoint, the weights are taken and the optimizer is left.

    Args:
        path: any name; the content decides.

    Returns:
        Name -> array as in the file, in the machine's byte order; bfloat16 as
        float32. Arrays may be read-only views of the mapped file: do not
        write to the file while they live.

    Raises:
        ValueError: an unknown format, a damaged file, or a pickle that asks
            for more than arrays and plain containers; names the file.
        OSError: the file cannot be opened.
    """
    path = str(path)
    with open(path, "rb") as file:
        size = file.seek(0, 2)
        if not size:
            raise ValueError(f"Cannot read weights from {path}: it is empty.")
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    try:
        return _read(path, mapped, size)
    except DAMAGES as error:
        # Of a KeyError or MemoryError, the message alone says little.
        known = isinstance(error, ValueError)
        reason = str(error) if known else f"{type(error).__name__} {error}"
        raise ValueError(
            f"Cannot read weights from {path}: {reason}."
        ) from error


def _read(path: str, mapped: mmap.mmap, size: int) -> dict[str, np.ndarray]:
    head = mapped[:512]
    if head.startswith(b"PK\x03\x04"):
        with zipfile.ZipFile(path) as archive:
            if all(name.endswith(".npy") for name in archive.namelist()):
                return array_files.read_npz(path, archive)
            content = torch_files.read_zip(mapped, archive)
    elif head.startswith(b"\x89HDF\r\n\x1a\n"):
        return array_files.read_hdf5(path)
    elif head[257:262] == b"ustar":
        with tarfile.open(path, "r:") as archive:
            content = torch_tar.read(mapped, archive)
    elif array_files.is_safetensors(head, size):
        return array_files.read_safetensors(mapped)
    elif torch_files.is_legacy(head):
        content = torch_files.read_legacy(mapped)
    elif head.startswith(PICKLED_DICTIONARIES):
        machine = unpickler.Unpickler(
            unpickler.CONTAINERS | pickled_arrays.BUILDERS
        )
        content = machine.load(mapped)
    else:
        raise ValueError(
            "expected a file of torch.save, a pickle, safetensors, .npz or "
            f".h5, found one that begins with {head[:16]!r}"
        )
    return _arrays(content, size)


def _arrays(content, size: int) -> dict[str, np.ndarray]:
    """Make the arrays of the state dict in what a pickle held."""
    if not isinstance(content, dict):
        raise ValueError(
            f"expected a dictionary of weights, found {type(content).__name__}"
        )
    for wrapper in WRAPPERS:
        if isinstance(content.get(wrapper), dict):
            content = content[wrapper]
            break
    makers = (torch_tensors.Tensor, pickled_arrays.PickledArray)
    found = {k: v for k, v in content.items() if isinstance(v, makers)}
    if not found:
        keys = ", ".join(repr(key) for key in list(content)[:8])
        raise ValueError(f"expected named arrays, found the keys {keys}")
    needed = sum(value.nbytes for value in found.values())
    if needed > MAX_EXPANSION * size:
        raise ValueError(f"its arrays need {needed} bytes, it has {size}")
    return {str(name): _native(v.array()) for name, v in found.items()}


def _native(array: np.ndarray) -> np.ndarray:
    native = array.dtype.newbyteorder("=")
    return array.astype(native, copy=False)
