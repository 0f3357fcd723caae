"""NumPy arrays inside pickles, of Python 2 and 3, NumPy 1 and 2.

Python 2 wrote bytes as `str`; `pickletools` hands those over as text in
which each character is one byte (latin-1). An array is described first and
made last, so that sizes are checked before memory is taken.
"""

import math
import re
import reprlib

import numpy as np

from keras_fair.checkpoints.unpickler import Buildable

NUMBER = re.compile(r"[<>=|]?(b1|[iu][1248]|f[248]|c8|c16)")
MAX_RANK = 64  # NumPy's own
NDARRAY = object()  # marks numpy.ndarray as the type to reconstruct


class PickledDtype(Buildable):
    """Stands in for numpy.dtype; numbers only, never objects or records."""

    def __init__(self, name: str, align=False, copy=True):
        if not isinstance(name, str) or not NUMBER.fullmatch(name):
            raise ValueError(f"refused an array of dtype {reprlib.repr(name)}")
        self.dtype = np.dtype(name)

    def set_state(self, state) -> None:
        """Take the byte order; (version, order, subarray, fields, ...)."""
        plain = isinstance(state, tuple) and len(state) >= 5
        if not plain or any(part is not None for part in state[2:5]):
            raise ValueError("refused a dtype that is not a plain number")
        if state[1] not in ("<", ">", "=", "|"):
            raise ValueError(f"refused the byte order {reprlib.repr(state[1])}")
        self.dtype = self.dtype.newbyteorder(state[1])


class PickledArray(Buildable):
    """An array that a pickle describes; `array()` makes it."""

    def __init__(self):
        self.shape, self.dtype, self._order, self._raw = (0,), None, "C", b""
        self.axes = None  # of the described array, in the order of the result

    def set_state(self, state) -> None:
        """Take (version, shape, dtype, is_fortran, raw bytes)."""
        if not isinstance(state, tuple) or len(state) != 5:
            raise ValueError("damaged pickle: the state of an array")
        _, shape, dtype, is_fortran, raw = state
        self.describe(shape, dtype, "F" if is_fortran else "C", raw)

    def describe(self, shape, dtype, order: str, raw) -> None:
        """Take the parts; raise ValueError where they do not fit."""
        if not isinstance(dtype, PickledDtype):
            raise ValueError("damaged pickle: an array without a dtype")
        if not isinstance(raw, (bytes, bytearray, str)):
            raise ValueError(f"refused an array of {type(raw).__name__}s")
        self.shape, self.dtype = checked_shape(shape), dtype.dtype
        self._order, self._raw = order, raw
        if self.nbytes != len(raw):
            raise ValueError(
                f"an array of shape {self.shape} and dtype {self.dtype} needs "
                f"{self.nbytes} bytes and has {len(raw)}"
            )

    @property
    def nbytes(self) -> int:
        """Bytes of the array; 0 before its state is known."""
        return math.prod(self.shape) * (
            self.dtype.itemsize if self.dtype else 0
        )

    def array(self) -> np.ndarray:
        """Make the array, without a copy where the file held bytes."""
        if self.dtype is None:
            raise ValueError("damaged pickle: an array without a state")
        raw = self._raw
        raw = raw.encode("latin-1") if isinstance(raw, str) else raw
        array = np.ndarray(self.shape, self.dtype, raw, order=self._order)
        return array if self.axes is None else array.transpose(self.axes)


def checked_shape(shape) -> tuple[int, ...]:
    """Return the shape, or raise ValueError where it is none."""
    listed = isinstance(shape, (tuple, list)) and len(shape) <= MAX_RANK
    if not listed or not all(type(s) is int and s >= 0 for s in shape):
        raise ValueError(f"expected a shape, found {reprlib.repr(shape)}")
    return tuple(shape)


def _reconstruct(subtype, shape, typecode) -> PickledArray:
    if subtype is not NDARRAY:
        raise ValueError("refused a subclass of numpy.ndarray")
    return PickledArray()


def _from_buffer(raw, dtype, shape, order, axes=None) -> PickledArray:
    if order not in ("C", "F") and (order != "K" or axes is None):
        raise ValueError(
            f"expected the order C or F, found {reprlib.repr(order)}"
        )
    result = PickledArray()
    result.describe(shape, dtype, "F" if order == "F" else "C", raw)
    result.axes = None if order != "K" else checked_shape(axes)
    return result


def _scalar(dtype, raw) -> PickledArray:
    return _from_buffer(raw, dtype, (), "C")


def _no_bytes() -> str:
    """Stand in for bytes(): Python 3 writes b"" so in protocol 2."""
    return ""


def _encoded(text, encoding) -> str:
    """Leave the bytes as text; see the head of the file."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise ValueError("refused _codecs.encode other than to latin1")
    return text


BUILDERS = {
    "numpy ndarray": NDARRAY,
    "numpy dtype": PickledDtype,
    "_codecs encode": _encoded,
    "__builtin__ bytes": _no_bytes,
}
for _package in ("numpy.core", "numpy._core"):
    BUILDERS[f"{_package}.multiarray _reconstruct"] = _reconstruct
    BUILDERS[f"{_package}.multiarray scalar"] = _scalar
    BUILDERS[f"{_package}.numeric _frombuffer"] = _from_buffer
