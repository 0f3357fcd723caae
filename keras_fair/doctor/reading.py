"""Read an annotation file whatever it is, and say what is wrong with it."""

import json

from keras_fair import files
from keras_fair.data import annotations as checks
from keras_fair.data import exports, file_parts
from keras_fair.data import records as data_records
from keras_fair.doctor import findings as findings_lib

MAX_SHOWN = 60  # characters of a wrong value
# What other formats have at the top, to name them.
HINTS = {
    "shapes": "this looks like a file of LabelMe; convert it to COCO",
    "_via_img_metadata": "this looks like a project of VIA; export it as COCO",
    "regions": "this looks like a file of VIA; export it as COCO",
    "root": "these lists are inside of another key",
}


def show(value) -> str:
    """Return a value as text, cut short; a lone surrogate is escaped."""
    try:
        text = repr(value)
    except ValueError:  # an integer of too many digits to print
        text = "a number of thousands of digits"
    text = text.encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."


def read(
    path: str, findings: findings_lib.Findings
) -> data_records.Content | None:
    """Return COCO's three lists, or None where nothing can be read.

    Lists that are missing are empty then; what is in them is not checked, but
    ids that are strings become integers, as for training.

    Args:
        path: of the annotation file.
        findings: faults are added to it.
    """
    try:
        if files.is_remote(path) and not files.is_file(path):
            raise FileNotFoundError("there is no such file")
        raw = file_parts.read(path)
    except (OSError, ValueError) as error:
        findings.add("json-missing", f"{path}: {error}")
        return None
    if not raw.strip():
        findings.add("json-empty", path)
        return None
    lists = _lists(_parse(_text(raw, findings), findings), findings)
    if lists is None:
        return None
    _check_text_ids(lists, findings)
    return exports.with_integer_ids(data_records.Content(**lists))


def _check_text_ids(lists: dict, findings) -> None:
    for name, entries in lists.items():
        for key in ("id", "image_id", "category_id"):
            texts = [
                each[key]
                for each in entries
                if isinstance(each, dict) and isinstance(each.get(key), str)
            ]
            if texts:
                detail = f"{key} of {name}: {show(texts[0])}"
                findings.add("id-text", detail, count=len(texts))


def _text(raw: bytes, findings) -> str:
    """Decode the file, from whatever it is written in."""
    try:
        text = raw.decode("utf-8")
        if not text.startswith("\ufeff"):
            return text
        findings.add("json-encoding", "it begins with a byte order mark")
        return text[1:]
    except UnicodeDecodeError as error:
        encoding = json.detect_encoding(raw)
        findings.add("json-encoding", f"{error.reason} at byte {error.start}")
        return raw.decode(encoding, "replace")


def _parse(text: str, findings):
    repeated = []

    def as_dict(pairs: list) -> dict:
        result = dict(pairs)
        if len(result) < len(pairs):
            repeated.append(pairs)
        return result

    try:
        content = json.loads(text, object_pairs_hook=as_dict)
    except json.JSONDecodeError as error:
        is_cut = not text[error.pos :].strip() or _is_open_string(text, error)
        code = "json-truncated" if is_cut else "json-syntax"
        findings.add(code, str(error))
        return None
    except ValueError as error:  # an integer of thousands of digits
        findings.add("json-syntax", str(error))
        return None
    except RecursionError:
        findings.add("json-depth")
        return None
    for pairs in repeated:
        names = [name for name, _ in pairs]
        twice = sorted({name for name in names if names.count(name) > 1})
        findings.add("json-key-twice", f"{show(twice)} in {show(dict(pairs))}")
    return content


def _is_open_string(text: str, error: json.JSONDecodeError) -> bool:
    return error.msg.startswith("Unterminated string")


def _lists(content, findings) -> dict | None:
    if content is None:
        if not findings.counts:
            findings.add("not-coco", "the file holds null")
        return None
    if not isinstance(content, dict):
        findings.add("not-coco", _hint_of_list(content))
        return None
    hints = [HINTS[key] for key in HINTS if key in content]
    lists = {}
    for name in checks.LISTS:
        value = content.get(name)
        lists[name] = value if isinstance(value, list) else []
        if name not in content:
            hint = f"; {hints[0]}" if hints else ""
            findings.add("not-coco", f'there is no "{name}"{hint}')
        elif not isinstance(value, list):
            kind = type(value).__name__
            findings.add("not-coco", f'"{name}" is a {kind}, not a list')
        elif not value:
            _add_empty(name, findings)
    return lists


def _add_empty(name: str, findings) -> None:
    findings.add("empty-data", f'"{name}" is an empty list')


def _hint_of_list(content) -> str:
    is_list = isinstance(content, list)
    if is_list and content and isinstance(content[0], dict):
        if "score" in content[0]:
            return "a list of results (with scores), not a data set"
        return "a list of records, without images and categories"
    return f"the file holds a {type(content).__name__}"
