"""Parts of files, such as an image in a shard, under names of their own.

A name stands wherever the path of an image file does: "a.tfrecord#bytes=9-20"
are the bytes 9 to 19 of a.tfrecord. Needs no TensorFlow for local files.
"""

import re

from keras_fair import files

PATTERN = r"(?s).*#bytes=\d+-\d+"  # of a whole name; TensorFlow knows it, too


def name_of(path: str, part: slice) -> str:
    """Return the name of a part of a file."""
    return f"{path}#bytes={part.start}-{part.stop}"


def read(name: str | bytes) -> bytes:
    """Read a file, or the part of one that the name says.

    Raises:
        OSError: there is none, or the file is too short. Of a remote file
            that is missing, tf.errors.NotFoundError.
    """
    path = name.decode("utf-8") if isinstance(name, bytes) else name
    first, last = 0, None
    if re.fullmatch(PATTERN, path):
        path, _, numbers = path.rpartition("#bytes=")
        first, last = map(int, numbers.split("-"))
    with files.system(path).GFile(path, "rb") as file:
        file.seek(first)
        content = file.read() if last is None else file.read(last - first)
    if last is not None and len(content) < last - first:
        raise OSError(f"The file {path} ends before byte {last}.")
    return content
