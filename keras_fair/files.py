"""Files that appear whole or not at all."""

import contextlib
import json
import os
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike) -> Iterator[str]:
    """Give a name to write to; the file then takes the path's place at once.

    When something fails, or the process is killed, what was there stays.

    Args:
        path: in an existing folder. The name lies beside it and ends as it
            does, since writers go by the suffix.
    """
    folder, name = os.path.split(os.fspath(path))
    part = os.path.join(folder, f"part.{os.getpid()}.{name}")
    try:
        yield part
        with open(part, "rb") as file:
            os.fsync(file.fileno())  # or the renaming may overtake it
        os.replace(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def write_json(path: str | os.PathLike, content, indent=None) -> None:
    """Write JSON values to a file, which is replaced at once."""
    with replacing(path) as part, open(part, "w", encoding="utf-8") as file:
        json.dump(content, file, indent=indent)
        file.write("\n")
