"""Configs from and to files, and single values changed by name."""

import ast
import dataclasses
import importlib.util
import json
import pathlib
import types
import typing

from keras_fair import config as config_lib
from keras_fair import files


def _folders() -> list[pathlib.Path]:
    """Where named configs lie: in a wheel, then in the checkout."""
    package = pathlib.Path(__file__).parent
    return [package / "configs", package.parent / "configs"]


def load(name_or_path: str) -> config_lib.Experiment:
    """Run the experiment file of that path or name and return its config.

    Args:
        name_or_path: a path to a `.py` file, a `config.json` that a training
            run wrote, or a name such as "retinanet_r50_fpn_1x_coco".

    Raises:
        FileNotFoundError: there is no such file; the message lists the names.
        ValueError: the file is neither of the two, or holds no Experiment.
    """
    path = _find(name_or_path)
    if path.suffix == ".json":
        experiment = _read_json(path)
    elif path.suffix == ".py":
        experiment = _run(path)
    else:
        raise ValueError(f"Expected a .py or .json file. Received: {path}.")
    if not isinstance(experiment, config_lib.Experiment):
        raise ValueError(
            f"Expected an Experiment from {path}. Received: {experiment!r}."
        )
    return experiment


def _find(name_or_path: str) -> pathlib.Path:
    candidates = [pathlib.Path(name_or_path)]
    candidates += [f / f"{name_or_path}.py" for f in _folders()]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        names = sorted({p.stem for f in _folders() for p in f.glob("*.py")})
        raise FileNotFoundError(
            f"No config at {name_or_path!r} and none of that name. Give a "
            f"path or one of: {', '.join(names)}."
        )
    return path


def _read_json(path: pathlib.Path):
    try:
        return from_dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:  # json's own error is one, too
        raise ValueError(f"{path} is not a saved config: {error}") from error


def _run(path: pathlib.Path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not hasattr(module, "get_config"):
        raise ValueError(f"Expected a function get_config() in {path}.")
    return module.get_config()


def to_dict(config) -> dict:
    """Turn a config into plain JSON types, with each dataclass's name."""
    if dataclasses.is_dataclass(config):
        values = {
            field.name: to_dict(getattr(config, field.name))
            for field in dataclasses.fields(config)
        }
        return {"class": type(config).__name__, **values}
    if isinstance(config, tuple):
        return [to_dict(value) for value in config]
    return config


def from_dict(values: dict):
    """Undo `to_dict`.

    A missing field takes its default, so that a file outlives a new field.

    Raises:
        ValueError: an unknown class or field, or a value of another type.
    """
    if not isinstance(values, dict) or "class" not in values:
        raise ValueError(
            'Expected a dict with the key "class", as config.to_dict writes. '
            f"Received: {values!r}."
        )
    name = values["class"]
    config_class = getattr(config_lib, str(name), None)
    if not dataclasses.is_dataclass(config_class):
        raise ValueError(f"Unknown config class {name!r}.")
    hints = typing.get_type_hints(config_class)
    unknown = sorted(set(values) - set(hints) - {"class"})
    if unknown:
        raise ValueError(
            f"{name} has no field {', '.join(unknown)}. Its fields are: "
            f"{', '.join(hints)}."
        )
    fields = {k: v for k, v in values.items() if k != "class"}
    return config_class(
        **{k: _read(v, hints[k], f"{name}.{k}") for k, v in fields.items()}
    )


def _read(value, hint, name: str):
    read = _coerce(_build(value), hint)
    if read is None:
        raise ValueError(
            f"Expected {_describe(hint)} for {name}. Received: {value!r}."
        )
    return read


def _build(value):
    """Build the configs in a value, which may be a list of them."""
    if isinstance(value, list):
        return [_build(item) for item in value]
    return from_dict(value) if isinstance(value, dict) else value


def _describe(hint) -> str:
    return str(hint) if typing.get_args(hint) else hint.__name__


def override(config, assignment: str):
    """Return the config with one value changed.

    Example:
        >>> override(experiment, "train.batch_size=4").train.batch_size
        4

    Args:
        config: any config.
        assignment: "path.to.field=value"; the value is a Python literal, or
            a plain string where the field holds a string.

    Raises:
        ValueError: no such field, or a value of another type.
    """
    path, equals, text = assignment.partition("=")
    if not equals:
        raise ValueError(f"Expected field=value. Received: {assignment!r}.")
    return _replace(config, path.strip().split("."), text.strip(), assignment)


def _replace(config, names: list[str], text: str, assignment: str):
    name = names[0]
    hints = typing.get_type_hints(type(config))
    if name not in hints:
        raise ValueError(
            f"{type(config).__name__} has no field {name!r} (in "
            f"{assignment!r}). Its fields are: {', '.join(hints)}."
        )
    current = getattr(config, name)
    if len(names) > 1:
        if not dataclasses.is_dataclass(current):
            raise ValueError(f"{name!r} has no fields (in {assignment!r}).")
        value = _replace(current, names[1:], text, assignment)
    else:
        value = _parse(text, hints[name], assignment)
    return dataclasses.replace(config, **{name: value})


def _parse(text: str, hint, assignment: str):
    if dataclasses.is_dataclass(hint) or isinstance(hint, types.UnionType):
        raise ValueError(
            f"{assignment!r} names a group of fields; set one field of it."
        )
    if hint is str:
        return text.strip("'\"")
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    value = _coerce(value, hint)
    if value is None:
        raise ValueError(
            f"Expected {_describe(hint)}. Received: {assignment!r}."
        )
    return value


def _coerce(value, hint):
    """Return the value as the hint's type, or None where it does not fit."""
    if typing.get_origin(hint) is tuple:
        return _coerce_tuple(value, typing.get_args(hint))
    if isinstance(hint, types.UnionType):
        return value if isinstance(value, hint) else None
    if hint is float and type(value) is int:
        return float(value)
    return value if type(value) is hint else None


def _coerce_tuple(value, hints: tuple):
    """Read tuple[int, int] with its length, tuple[int, ...] with any."""
    if not isinstance(value, (tuple, list)):
        value = (value,)
    if hints[-1] is ...:
        hints = hints[:1] * len(value)
    if len(hints) != len(value):
        return None
    items = tuple(map(_coerce, value, hints))
    return None if None in items else items


def differences(old, new) -> dict[str, tuple]:
    """Return the old and the new value of each setting that differs.

    Args:
        old, new: configs.

    Returns:
        by path, such as "model.num_classes" or "data.train_sources.0.kind";
        what only one of the two has is None in the other.
    """
    old, new = _by_path(to_dict(old)), _by_path(to_dict(new))
    return {
        path: (old.get(path), new.get(path))
        for path in {**new, **old}
        if old.get(path) != new.get(path)
    }


def _by_path(value, path: str = "") -> dict:
    """Return a tree's values by path; a list of plain values is one."""
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list) and any(isinstance(v, dict) for v in value):
        items = enumerate(value)
    else:
        return {path.removeprefix("."): value}
    parts = [_by_path(item, f"{path}.{key}") for key, item in items]
    return {key: item for part in parts for key, item in part.items()}


def save(config, path: str) -> None:
    """Write the config as JSON, atomically."""
    files.write_json(path, to_dict(config), indent=2)
