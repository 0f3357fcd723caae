"""What each source file imports, read from its text and never by running."""

import ast
import pathlib
from typing import NamedTuple

REPOSITORY = pathlib.Path(__file__).parents[1]
FOLDERS = ("keras_fair", "configs", "export", "tests", "benchmarks")


class Import(NamedTuple):
    """One imported module, or name of a module, as a full dotted name."""

    name: str  # "keras_fair.ops.boxes"; a relative one keeps its dots
    line: int
    deferred: bool  # inside a function or an `if`: it may never run


def read_imports(source: str) -> list[Import]:
    """Return the imports of a Python source in the order of the file.

    Example:
        >>> read_imports("from keras_fair.ops import boxes, nms")
        [Import("keras_fair.ops.boxes", 1, False), Import(...nms...)]
    """
    return _visit(ast.parse(source), deferred=False)


def _visit(node, deferred: bool) -> list[Import]:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        start = "." * node.level + (node.module or "")
        names = [f"{start}.{alias.name}" for alias in node.names]
    else:
        deferring = (ast.FunctionDef, ast.AsyncFunctionDef, ast.If)
        deferred = deferred or isinstance(node, deferring)
        children = ast.iter_child_nodes(node)
        return [found for c in children for found in _visit(c, deferred)]
    return [Import(name, node.lineno, deferred) for name in names]


def source_files() -> dict[str, str]:
    """Return the text of every Python file of the checkout by its path."""
    paths = sorted(
        path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*")
    )
    return {
        path.relative_to(REPOSITORY).as_posix(): path.read_text("utf-8")
        for path in paths
        if path.suffix == ".py"
    }


def module_of(path: str) -> str:
    """Return the module that a path holds, a package for `__init__.py`."""
    parts = path.removesuffix(".py").split("/")
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def starts_with(name: str, module: str) -> bool:
    """Tell whether the dotted name is the module or lies in it."""
    return f"{name}.".startswith(f"{module}.")


def reached_at_import(path: str, sources: dict[str, str]) -> dict[str, str]:
    """Return the files that importing one file runs, and from where.

    Deferred imports do not count. Importing a.b.c runs a/__init__.py and
    a/b/__init__.py, too.

    Returns:
        {reached path: the path that imports it}, with `path` itself.
    """
    by_module = {module_of(p): p for p in sources}
    reached, queue = {path: path}, [path]
    while queue:
        importer = queue.pop()
        for found in read_imports(sources[importer]):
            parts = found.name.split(".")
            names = [".".join(parts[:n]) for n in range(1, len(parts) + 1)]
            files = [by_module[n] for n in names if n in by_module]
            for file in files if not found.deferred else []:
                if file not in reached:
                    reached[file] = importer
                    queue.append(file)
    return reached
