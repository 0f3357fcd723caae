"""BUILD agrees with the tree, checked without Bazel.

The file is Python syntax, so it is executed with stubs for Bazel's rules.
"""

import re
import sys
from typing import NamedTuple

import pytest

from tests import imports

# Where the package is not called what it is imported as.
PACKAGES = {
    "PIL": "pillow",
    "absl": "absl_py",
    "grpc": "grpcio",
    "tensorflow_serving": "tensorflow_serving_api",
    "google": "protobuf",
    "pytriton": "nvidia_pytriton",
}
# Keras chooses one of them when it starts. A file that imports one inside a
# function or `if` runs without it, so that is no dependency.
BACKENDS = ("tensorflow", "jax")


class Target(NamedTuple):
    """One py_library, py_binary or py_test."""

    name: str
    srcs: list[str]
    deps: list[str]
    data: list[str]
    main: str


def read_targets(build: str, paths: list[str]) -> list[Target]:
    """Execute the text of a BUILD file over the files that `paths` names."""
    targets = []

    def rule(name, srcs, deps=(), data=(), main="", **unused):
        lists = map(list, (srcs, deps, data))
        targets.append(Target(name, *lists, main))

    def glob(patterns, exclude=()):
        wanted = _matching(patterns, paths)
        if not wanted:
            raise ValueError(f"BUILD: no file matches glob({patterns}).")
        return sorted(wanted - _matching(exclude, paths))

    rules = ("py_library", "py_binary", "py_test")
    ignored = ("load", "package", "licenses", "exports_files")
    names = dict.fromkeys(rules, rule) | {"glob": glob}
    names |= dict.fromkeys(ignored, lambda *args, **kwargs: None)
    exec(compile(build, "BUILD", "exec"), names)
    return targets


def _matching(patterns, paths: list[str]) -> set[str]:
    """Return the paths that a Bazel glob matches: * stays in its folder."""
    expressions = [
        re.escape(pattern)
        .replace(r"\*\*/", "(.*/)?")
        .replace(r"\*\*", ".*")
        .replace(r"\*", "[^/]*")
        for pattern in patterns
    ]
    return {p for p in paths for e in expressions if re.fullmatch(e, p)}


def errors(build: str, sources: dict[str, str]) -> list[str]:
    """Return, for each disagreement, the line to add or to remove."""
    targets = read_targets(build, list(sources))
    owners = {path: [] for path in sources}
    for target in targets:
        for path in target.srcs:
            names = owners.setdefault(path, [])
            if not (names and path == target.main):  # tests share their main
                names.append(target.name)
    found = [e for p in owners for e in _owner_errors(p, owners[p], sources)]
    homes = {path: f":{names[0]}" for path, names in owners.items() if names}
    for target in targets:
        found += _dep_errors(target, targets, homes, sources)
    return found + _cycle_errors(targets)


def _owner_errors(path: str, names: list[str], sources) -> list[str]:
    if path not in sources:
        return [f'BUILD, {names[0]}: remove "{path}" from srcs: no such file']
    if not names:
        return [f'BUILD: add "{path}" to the srcs of one target']
    if len(names) > 1:
        return [f'BUILD: keep "{path}" in one of {", ".join(names)}']
    return []


def _dep_errors(target: Target, targets, homes, sources) -> list[str]:
    needed = {}
    for path in target.srcs:
        for found in imports.read_imports(sources.get(path, "")):
            dep = _dep(found, homes)
            if dep not in ("", f":{target.name}"):
                reason = f"{path}:{found.line} imports {found.name}"
                needed.setdefault(dep, reason)
    labels = {f":{other.name}" for other in targets}
    start = f"BUILD, {target.name}:"
    return (
        [f'{start} add "{d}" to deps: {needed[d]}' for d in sorted(needed)
         if d not in target.deps]
        + [f'{start} remove "{d}" from deps: no such target'
           for d in target.deps if d.startswith(":") and d not in labels]
        + [f'{start} remove "{d}" from deps: no file of it imports that'
           for d in target.deps if d not in needed]
        + [f'{start} remove one of two "{d}" from deps'
           for d in sorted(set(target.deps)) if target.deps.count(d) > 1]
    )  # fmt: skip


def _cycle_errors(targets) -> list[str]:
    """Take away targets without deps until none is left or all have some."""
    left = {f":{target.name}": target.deps for target in targets}
    while free := [n for n, deps in left.items() if not left.keys() & deps]:
        left = {n: deps for n, deps in left.items() if n not in free}
    return [f"BUILD: cycle through {', '.join(left)}"] if left else []


def _dep(found: imports.Import, homes: dict[str, str]) -> str:
    """Return the label that an import needs, or "" for the standard library.

    Args:
        found: the import.
        homes: {path: label of its target}.
    """
    modules = {imports.module_of(path): label for path, label in homes.items()}
    parts = found.name.split(".")
    for length in range(len(parts), 0, -1):
        module = ".".join(parts[:length])
        if module in modules:
            return modules[module]
    top = parts[0]
    if top in sys.stdlib_module_names or found.deferred and top in BACKENDS:
        return ""
    return f"@pypi//{PACKAGES.get(top, top)}"


def test_build_agrees_with_the_tree():
    build = (imports.REPOSITORY / "BUILD").read_text("utf-8")

    found = errors(build, imports.source_files())

    assert not found, "\n" + "\n".join(found)


def test_names_of_targets_are_unique():
    build = (imports.REPOSITORY / "BUILD").read_text("utf-8")

    targets = read_targets(build, list(imports.source_files()))

    names = [target.name for target in targets]
    assert len(set(names)) == len(names)


def test_what_targets_need_beside_srcs_exists():
    build = (imports.REPOSITORY / "BUILD").read_text("utf-8")

    targets = read_targets(build, list(imports.source_files()))

    labels = {f":{target.name}" for target in targets}
    wanted = {path for target in targets for path in target.data} - labels
    assert not [p for p in wanted if not (imports.REPOSITORY / p).is_file()]


SOURCES = {
    "keras_fair/config.py": "import json",
    "keras_fair/ops/boxes.py": "import numpy as np\nfrom keras import ops",
    "keras_fair/ops/nms.py": "from keras_fair.ops import boxes",
    "keras_fair/models/rpn.py": "from keras_fair import config\n"
    "from keras_fair.ops import boxes, nms\nfrom PIL import Image",
}
BUILD = """
load("@rules_python//python:defs.bzl", "py_library")
py_library(name = "config", srcs = ["keras_fair/config.py"])
py_library(
    name = "ops",
    srcs = glob(["keras_fair/ops/*.py"]),
    deps = ["@pypi//keras", "@pypi//numpy"],
)
py_library(
    name = "models",
    srcs = ["keras_fair/models/rpn.py"],
    deps = [":config", ":ops", "@pypi//pillow"],
)
"""


def test_a_right_build_file_has_no_errors():
    assert errors(BUILD, SOURCES) == []


@pytest.mark.parametrize(
    ("old", "new", "error"),
    [
        (
            '[":config", ":ops", ',
            '[":config", ',
            'BUILD, models: add ":ops" to deps: keras_fair/models/rpn.py:2 '
            "imports keras_fair.ops.boxes",
        ),
        (
            ', "@pypi//numpy"',
            "",
            'BUILD, ops: add "@pypi//numpy" to deps: keras_fair/ops/boxes.py:1 '
            "imports numpy",
        ),
        (
            '"@pypi//keras", ',
            '"@pypi//keras", ":config", ',
            'BUILD, ops: remove ":config" from deps: no file of it imports '
            "that",
        ),
        (
            '"@pypi//numpy"',
            '"@pypi//numpy", "@pypi//numpy"',
            'BUILD, ops: remove one of two "@pypi//numpy" from deps',
        ),
        (
            '":ops", ',
            '":ops", ":losses", ',
            'BUILD, models: remove ":losses" from deps: no such target',
        ),
        (
            "keras_fair/ops/*.py",
            "keras_fair/ops/b*.py",
            'BUILD: add "keras_fair/ops/nms.py" to the srcs of one target',
        ),
        (
            "keras_fair/ops/*.py",
            "keras_fair/**/*xes.py",
            'BUILD: add "keras_fair/ops/nms.py" to the srcs of one target',
        ),
        (
            '["keras_fair/models/rpn.py"]',
            '["keras_fair/models/rpn.py", "keras_fair/config.py"]',
            'BUILD: keep "keras_fair/config.py" in one of config, models',
        ),
        (
            '["keras_fair/models/rpn.py"]',
            '["keras_fair/models/rpn.py", "keras_fair/models/roi.py"]',
            'BUILD, models: remove "keras_fair/models/roi.py" from srcs: no '
            "such file",
        ),
    ],
)
def test_a_wrong_build_file_names_the_line_to_change(old, new, error):
    assert old in BUILD

    assert error in errors(BUILD.replace(old, new), SOURCES)


def test_a_cycle_of_targets_is_an_error():
    build = BUILD.replace('deps = ["@pypi', 'deps = [":models", "@pypi')

    assert "BUILD: cycle through :ops, :models" in errors(build, SOURCES)


def test_tests_may_share_their_main():
    targets = """
py_test(name = "a", srcs = ["tests/a.py", "tests/m.py"], main = "tests/m.py")
py_test(name = "b", srcs = ["tests/b.py", "tests/m.py"], main = "tests/m.py")
"""
    sources = dict.fromkeys(["tests/a.py", "tests/b.py", "tests/m.py"], "")

    assert errors(targets, sources) == []


def test_a_glob_without_files_is_an_error():
    with pytest.raises(ValueError, match="no file matches"):
        read_targets('glob(["keras_fair/layers/*.py"])', list(SOURCES))


@pytest.mark.parametrize(
    ("source", "dep"),
    [
        ("import tensorflow as tf", "@pypi//tensorflow"),
        ("def f():\n import tensorflow as tf", ""),
        ("def f():\n import numpy", "@pypi//numpy"),
        ("from absl import app", "@pypi//absl_py"),
        ("import os.path", ""),
    ],
)
def test_an_import_of_another_package_needs_its_label(source, dep):
    (found,) = imports.read_imports(source)

    assert _dep(found, homes={}) == dep
