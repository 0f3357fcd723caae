"""Files that appear whole or not at all, on any file system.

A path with a scheme, such as gs://bucket/run, is read and written by
TensorFlow's tf.io.gfile; any other needs no TensorFlow.
"""

import contextlib
import functools
import json
import os
import shutil
import tempfile
import types
import uuid
from collections.abc import Iterator

_LOCAL = types.SimpleNamespace(
    GFile=open,
    exists=os.path.exists,
    isdir=os.path.isdir,
    listdir=os.listdir,
    makedirs=functools.partial(os.makedirs, exist_ok=True),
    remove=os.remove,
)


def is_remote(path: str | os.PathLike) -> bool:
    """Say if a path has a scheme."""
    return "://" in os.fspath(path)


def system(path: str | os.PathLike):
    """Return the functions of a path's file system, named as tf.io.gfile's.

    Those are GFile, exists, isdir, listdir, makedirs and remove. What is
    missing is a FileNotFoundError locally, tf.errors.NotFoundError elsewhere.

    Raises:
        ModuleNotFoundError: a path with a scheme, and no TensorFlow.
        ValueError: a scheme that TensorFlow does not know.
    """
    if not is_remote(path):
        return _LOCAL
    try:
        import tensorflow as tf  # may be absent, and takes seconds
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            f"Expected a local path, or TensorFlow to reach {path}. Install "
            "it (the CPU build will do), or mount or copy the folder."
        ) from error
    known = tf.io.gfile.get_registered_schemes()
    scheme = os.fspath(path).partition("://")[0]
    if scheme not in known:
        names = ", ".join(f"{name}://" for name in sorted(known) if name)
        raise ValueError(
            f"Expected a local path, or one of {names}. Received: {path}. "
            "Download or mount it; nothing here does."
        )
    return tf.io.gfile


def is_file(path: str, listings: dict | None = None) -> bool:
    """Say if there is such a file.

    Args:
        path: of a file, not of a folder.
        listings: {} for many questions in a row; it keeps the names in each
            remote folder, which is then asked once, not for every file.
    """
    if not is_remote(path):
        return os.path.isfile(path)
    remote = system(path)
    if listings is None:
        return remote.exists(path) and not remote.isdir(path)
    folder, name = os.path.split(path)
    if folder not in listings:
        there = remote.listdir(folder) if remote.isdir(folder) else ()
        listings[folder] = frozenset(there)
    return name in listings[folder]


def remove(path: str | os.PathLike) -> None:
    """Remove a file, or find that somebody else has done so."""
    try:
        system(path).remove(path)
    except Exception:  # what TensorFlow raises is no OSError
        if system(path).exists(path):
            raise


def join(folder: str, path: str) -> str:
    """Return the path in a folder, itself where it is absolute or remote."""
    return path if is_remote(path) else os.path.join(folder, path)


@contextlib.contextmanager
def local_copy(path: str | os.PathLike) -> Iterator[str]:
    """Give a local name to read a file by, for readers that need one."""
    if not is_remote(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = os.path.join(folder, os.path.basename(path))
        system(path).copy(path, copy)
        yield copy


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Give a local name to write to; the file then takes the path's place.

    At once: when something fails, or the process is killed, what was there
    stays.

    Args:
        path: in an existing folder. The name lies beside it, or in a
            temporary folder for a path with a scheme, and ends as it does,
            since writers go by the suffix.
    """
    beside, name = os.path.split(os.fspath(path))
    # Processes of several hosts may have the same number.
    part = os.path.join(beside, f"part.{uuid.uuid4().hex}.{name}")
    if is_remote(path):
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, name)
            yield copy
            try:
                system(path).copy(copy, part, overwrite=True)
                system(path).rename(part, path, overwrite=True)
            finally:
                remove(part)
        return
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())  # or the renaming may overtake it
        os.replace(part, path)
    finally:
        remove(part)


def check_free(folder: str | os.PathLike, size: int) -> None:
    """Refuse to begin a file that a local folder has no room for.

    HDF5 reports a full disk for each object it holds, or crashes.

    Raises:
        OSError: less than so many bytes are free.
    """
    if is_remote(folder):
        return
    free = shutil.disk_usage(folder).free
    if free < size:
        raise OSError(
            f"Expected {size / 1e6:.1f} MB of free space in {folder}. "
            f"Received: {free / 1e6:.1f} MB. Make room and start again: what "
            "was there is whole."
        )


def write_json(path: str | os.PathLike, content, indent=None) -> None:
    """Write JSON values to a file, which is replaced at once."""
    with replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=indent)
        file.write("\n")
