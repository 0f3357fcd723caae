"""What labelling tools write in COCO's shape, and COCO itself does not.

Ids that are strings, and image files that are named from another place or
another system. Needs no TensorFlow.
"""

import os
from collections.abc import Callable

from keras_fair import files
from keras_fair.data import records


def with_integer_ids(content: records.Content) -> records.Content:
    """Return the content with an integer for each id that is a string.

    "17" becomes 17 where all of a list's strings are such numbers, and
    different ones; otherwise its strings are numbered in their order, from
    above its integers. What refers to them follows, whether it says 17 or
    "17". A record that changes keeps its own id as "source", which is what
    messages call it.

    Args:
        content: as read; what is no dict or has no id stays as it is.
    """
    images = _numbers(content.images)
    categories = _numbers(content.categories)
    changes = {"id": _numbers(content.annotations)}
    if images or _has_string(content.annotations, "image_id"):
        changes["image_id"] = images or _own(content.images)
    if categories or _has_string(content.annotations, "category_id"):
        changes["category_id"] = categories or _own(content.categories)
    return content._replace(
        images=_renumber(content.images, {"id": images}),
        categories=_renumber(content.categories, {"id": categories}),
        annotations=_renumber(content.annotations, changes),
    )


def find_image(
    folder: str,
    file_name: str,
    is_file: Callable[[str], bool] = files.is_file,
) -> str:
    """Return the path of an image file.

    It lies in the folder under its name. Where it does not, backslashes are
    taken for slashes, and leading folders are dropped if the last of them is
    called as the folder: "images/a.jpg" and "D:\\\\set\\\\images\\\\a.jpg" are
    the a.jpg of a folder "images".

    Args:
        folder: of the images.
        file_name: of the annotations; an absolute path may lie elsewhere.
        is_file: says of a path if it is there.

    Raises:
        FileNotFoundError: there is no such file.
    """
    path = files.join(folder, file_name)
    if is_file(path):
        return path
    parts = file_name.replace("\\", "/").split("/")
    own_name = os.path.basename(os.path.normpath(folder))
    starts = [i + 1 for i, part in enumerate(parts) if part == own_name]
    for start in (0, *starts):
        other = os.path.join(folder, *parts[start:])
        if is_file(other):
            return other
    raise FileNotFoundError(f"no image file {path}")


def _ids(entries: list, key: str = "id") -> list:
    return [each.get(key) for each in entries if isinstance(each, dict)]


def _has_string(entries: list, key: str) -> bool:
    return any(isinstance(each, str) for each in _ids(entries, key))


def _own(entries: list) -> dict:
    """Return the integers among the ids, by themselves and by their text."""
    own = {each: each for each in _ids(entries) if type(each) is int}
    return {**{str(each): each for each in own}, **own}


def _numbers(entries: list) -> dict:
    """Return the integer of each id; {} if all are integers."""
    names = [each for each in _ids(entries) if isinstance(each, str)]
    names = list(dict.fromkeys(names))
    if not names:
        return {}
    own = _own(entries)
    # Of more digits than that it is no number of 63 bits.
    numbers = [int(n) for n in names if n.isdecimal() and len(n) < 19]
    if len(set(numbers)) < len(names):
        first = max(own.values(), default=0) + 1
        numbers = range(first, first + len(names))
    return {**own, **dict(zip(names, numbers))}


def _renumber(entries: list, changes: dict[str, dict]) -> list:
    """Return the entries with other values of some keys.

    Args:
        entries: dicts; others stay.
        changes: {key: {old value or its text: new value}}.
    """
    changes = {key: numbers for key, numbers in changes.items() if numbers}
    if not changes:
        return entries
    return [
        _changed(each, changes) if isinstance(each, dict) else each
        for each in entries
    ]


def _changed(entry: dict, changes: dict[str, dict]) -> dict:
    # What is unknown becomes text, so that it cannot meet another's number.
    new = {
        key: numbers.get(value, numbers.get(str(value), str(value)))
        for key, numbers in changes.items()
        if type(value := entry.get(key)) in (int, str)
    }
    if "id" in new:
        new["source"] = entry["id"]
    return {**entry, **new}
