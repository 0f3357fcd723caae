"""Tensors as the pickles of torch.save describe them, made as NumPy views."""

import dataclasses
import math
from collections.abc import Mapping

import numpy as np

from keras_fair.checkpoints import pickled_arrays, unpickler


@dataclasses.dataclass(frozen=True)
class StorageType:
    """A storage class of torch: how its numbers lie in the file."""

    dtype: np.dtype
    is_bfloat16: bool = False


@dataclasses.dataclass
class Storage:
    """`size` numbers from `start` on in the bytes called `key`."""

    kind: StorageType
    key: str
    size: int
    buffers: Mapping
    start: int = 0


@dataclasses.dataclass
class Tensor:
    """A tensor that a pickle describes; `array()` makes it."""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in numbers, not bytes

    @property
    def nbytes(self) -> int:
        """Bytes of the array to come."""
        kind = self.storage.kind
        width = 4 if kind.is_bfloat16 else kind.dtype.itemsize
        return math.prod(self.shape) * width

    def array(self) -> np.ndarray:
        """View the mapped file; bfloat16 becomes float32, which is exact."""
        storage, kind = self.storage, self.storage.kind
        width = kind.dtype.itemsize
        start, size = storage.start * width, storage.size * width
        buffer = storage.buffers[storage.key][start : start + size]
        if len(buffer) != size:
            raise ValueError(
                f"storage {storage.key} is too short for {storage.size} numbers"
            )
        # NumPy checks that no number lies outside the buffer.
        array = np.ndarray(
            self.shape,
            kind.dtype,
            buffer,
            self.offset * width,
            [stride * width for stride in self.strides],
        )
        if kind.is_bfloat16:
            return (array.astype(np.uint32) << 16).view(np.float32)
        return array


def rebuild_tensor(storage, offset, shape, strides, *_) -> Tensor:
    """Take _rebuild_tensor_v2's arguments; gradients and hooks are dropped."""
    shape = pickled_arrays.checked_shape(shape)
    strides = pickled_arrays.checked_shape(strides)
    (offset,) = pickled_arrays.checked_shape((offset,))
    if not isinstance(storage, Storage) or len(shape) != len(strides):
        raise ValueError("damaged pickle: a tensor without storage or strides")
    return Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise ValueError("damaged pickle: a parameter that is no tensor")
    return tensor


def _size(sides=()) -> tuple:
    return pickled_arrays.checked_shape(sides)


BUILDERS = {
    **unpickler.CONTAINERS,
    **pickled_arrays.BUILDERS,
    "torch._utils _rebuild_tensor": rebuild_tensor,
    "torch._utils _rebuild_tensor_v2": rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    "torch Size": _size,
}
STORAGE_TYPES = {
    "Double": "f8",
    "Float": "f4",
    "Half": "f2",
    "Long": "i8",
    "Int": "i4",
    "Short": "i2",
    "Char": "i1",
    "Byte": "u1",
    "Bool": "?",
    "ComplexFloat": "c8",
    "ComplexDouble": "c16",
}


def builders(byte_order: str) -> dict:
    """Return what a torch pickle may name, with numbers of that byte order.

    Args:
        byte_order: "<" or ">".
    """
    kinds = {
        name: StorageType(np.dtype(code).newbyteorder(byte_order))
        for name, code in STORAGE_TYPES.items()
    }
    halves = np.dtype("u2").newbyteorder(byte_order)
    kinds["BFloat16"] = StorageType(halves, is_bfloat16=True)
    return BUILDERS | {
        f"{module} {name}Storage": kind
        for module in ("torch", "torch.cuda")
        for name, kind in kinds.items()
    }


def storage(identity, buffers: Mapping) -> Storage:
    """Return the storage that a persistent id means.

    Args:
        identity: ("storage", type, key, device, size) and, before 1.6, also
            None or (key of the view, start, size of the view).
        buffers: key -> the bytes.
    """
    if not isinstance(identity, tuple) or len(identity) not in (5, 6):
        raise ValueError("damaged pickle: expected the id of a storage")
    word, kind, key, _, size = identity[:5]
    view = identity[5] if len(identity) == 6 else None
    _, start, size = view if view is not None else ("", 0, size)
    start, size = pickled_arrays.checked_shape((start, size))
    if word != "storage" or not isinstance(kind, StorageType):
        raise ValueError("damaged pickle: expected the id of a storage")
    return Storage(kind, checked_key(key), size, buffers, start)


def checked_key(key) -> str:
    """Return the key of a storage or tensor as text, or raise ValueError."""
    if not isinstance(key, (str, int)):
        raise ValueError(f"refused a {type(key).__name__} as the key")
    return str(key)
