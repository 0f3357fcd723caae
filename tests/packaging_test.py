"""A wheel and an editable install, each put into an empty environment.

Nothing is downloaded: the package is installed without what it requires, and
the environment then borrows that from the one that runs the tests.
"""

import configparser
import importlib.metadata
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile

import pytest

from tests import imports

ROOT_FILES = (
    "setup.py",
    "pyproject.toml",
    "MANIFEST.in",
    "README.md",
    "LICENSE",
)
# What a distribution is imported as, where that is not its name.
MODULES = {"pillow": "PIL", "absl-py": "absl"}


def builds_wheels() -> bool:
    """Tell whether a wheel can be built here without a download."""
    setuptools = importlib.metadata.version("setuptools")
    version = tuple(int(part) for part in setuptools.split(".")[:2])
    found = {d.name for d in importlib.metadata.distributions()}
    return version >= (70, 1) or "wheel" in found


needs_setuptools = pytest.mark.skipif(
    not builds_wheels(), reason="setuptools 70.1 or wheel is not installed"
)


def run(*command, cwd) -> str:
    """Run a command outside the checkout and return what it printed."""
    hidden = ("PYTHONPATH", "PYTHONHOME")
    result = subprocess.run(
        command,
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k not in hidden},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    # absl's --help exits with 1.
    assert result.returncode == 0 or "--help" in command, result.stdout
    return result.stdout


def copy_of_checkout(folder: pathlib.Path) -> pathlib.Path:
    """Copy what a build reads, so that it leaves nothing in the checkout."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("keras_fair", "configs", "export"):
        source = imports.REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignored)
    for name in ROOT_FILES:
        shutil.copy(imports.REPOSITORY / name, folder / name)
    return folder


class Environment:
    """An empty virtual environment without pip."""

    def __init__(self, folder: pathlib.Path):
        venv.create(folder, with_pip=False, symlinks=True)
        self.scripts = folder / "bin"
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        self.packages = folder / "lib" / version / "site-packages"

    def install(self, *arguments) -> None:
        pip = (sys.executable, "-m", "pip")
        options = ("--quiet", "--no-deps", "--no-index", "--ignore-installed")
        python = ("--python", str(self.scripts / "python"))
        run(*pip, *python, "install", *options, *arguments, cwd=self.packages)

    def borrow(self) -> None:
        """See, after its own packages, those that run the tests."""
        outer = sysconfig.get_path("purelib")
        (self.packages / "zz_borrowed.pth").write_text(f"{outer}\n")

    def python(self, code: str, cwd) -> str:
        return run(self.scripts / "python", "-c", code, cwd=cwd)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> pathlib.Path:
    checkout = copy_of_checkout(tmp_path_factory.mktemp("checkout"))
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps")
    options = ("--no-build-isolation", "--wheel-dir", str(folder))
    run(*pip, *options, str(checkout), cwd=folder)
    (path,) = folder.iterdir()
    return path


@pytest.fixture(scope="module")
def from_wheel(wheel, tmp_path_factory) -> Environment:
    environment = Environment(tmp_path_factory.mktemp("from_wheel"))
    environment.install(str(wheel))
    return environment


@pytest.fixture(scope="module")
def editable(tmp_path_factory) -> Environment:
    checkout = copy_of_checkout(tmp_path_factory.mktemp("checkout"))
    environment = Environment(tmp_path_factory.mktemp("editable"))
    environment.borrow()
    environment.install("--no-build-isolation", "--editable", str(checkout))
    return environment


@needs_setuptools
def test_wheel_holds_every_source_file_and_nothing_else(wheel):
    expected = {
        path if path.startswith("keras_fair/") else f"keras_fair/{path}"
        for path in imports.source_files()
        if path.startswith(("keras_fair/", "configs/", "export/"))
    }

    names = zipfile.ZipFile(wheel).namelist()

    assert {n for n in names if ".dist-info/" not in n} == expected
    assert wheel.name.endswith("-py3-none-any.whl")
    assert any(name.endswith("/LICENSE") for name in names)


@needs_setuptools
def test_wheel_installs_one_top_level_name(from_wheel):
    names = {path.name.split("-")[0] for path in from_wheel.packages.iterdir()}

    assert names - {"zz_borrowed.pth"} == {"keras_fair"}


READ_ALL = """
import json, pathlib
from keras_fair import config_files
folders = [f for f in config_files._folders() if f.is_dir()]
names = [p.stem for f in folders for p in f.glob("*.py")]
steps = {name: config_files.load(name).train.steps for name in names}
print("RESULT", json.dumps([config_files.__file__, steps]))
"""


@needs_setuptools
@pytest.mark.parametrize("kind", ["from_wheel", "editable"])
def test_configs_load_by_name_from_any_folder(kind, request, tmp_path):
    environment = request.getfixturevalue(kind)
    environment.borrow()

    printed = environment.python(READ_ALL, cwd=tmp_path)

    file, steps = json.loads(printed.split("RESULT")[1])
    assert not file.startswith(str(imports.REPOSITORY))
    configs = (imports.REPOSITORY / "configs").glob("*.py")
    assert set(steps) == {path.stem for path in configs}


@needs_setuptools
@pytest.mark.parametrize("kind", ["from_wheel", "editable"])
def test_console_script_explains_itself(kind, request, tmp_path):
    environment = request.getfixturevalue(kind)
    environment.borrow()

    script = environment.scripts / "keras-fair-train"
    printed = run(script, "--help", cwd=tmp_path)

    assert "--workdir" in printed
    assert "Traceback" not in printed


@needs_setuptools
def test_every_console_script_names_a_function(from_wheel):
    (info,) = from_wheel.packages.glob("*.dist-info")
    entries = configparser.ConfigParser()
    entries.read(info / "entry_points.txt")

    for target in entries["console_scripts"].values():
        module, function = target.split(":")
        path = imports.REPOSITORY / (module.replace(".", "/") + ".py")
        assert f"def {function}(" in path.read_text("utf-8"), target


def requirements(extra: str = "") -> set[str]:
    """Return the names that setup.py requires, read from its text."""
    text = (imports.REPOSITORY / "setup.py").read_text("utf-8")
    key = f'"{extra}": ' if extra else "install_requires="
    (listed,) = re.findall(re.escape(key) + r"\[(.*?)\]", text, re.DOTALL)
    return set(re.findall(r'"([A-Za-z0-9-]+)[>=]', listed))


def third_party_imports(folders: tuple[str, ...]) -> set[str]:
    return {
        found.name.split(".")[0]
        for path, source in imports.source_files().items()
        if path.startswith(folders)
        for found in imports.read_imports(source)
    } - {*sys.stdlib_module_names, "keras_fair"}


def test_the_package_requires_what_it_imports_and_no_more():
    required = {MODULES.get(n, n) for n in requirements()}

    optional = {
        "tensorflow",
        "jax",
        *(n.replace("-", "_") for n in requirements("int8")),
        *(n.replace("-", "_") for n in requirements("tfds")),
    }

    imported = third_party_imports(("keras_fair/", "configs/", "export/"))

    assert imported - optional == required


def test_extras_name_the_backends():
    assert requirements("tensorflow") == {"tensorflow", "tensorboard"}
    assert requirements("tensorflow-cpu") == {"tensorflow-cpu", "tensorboard"}
    assert requirements("jax") == {"jax"}


def test_the_test_extra_leaves_the_backend_open():
    assert not requirements("test") & {"tensorflow", "tensorflow-cpu", "jax"}
    assert {"pytest", "hypothesis", "ruff"} <= requirements("test")
