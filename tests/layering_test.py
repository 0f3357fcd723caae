"""The import rules of the package, and that each of them can fail."""

import importlib.util
import os
import subprocess
import sys

import pytest

from tests import imports

# Who may import whom. A name means the module and all below it.
MAY_IMPORT = {
    "settings": (),
    "config": ("settings",),
    "files": (),
    "config_files": ("config", "files"),
    "contract": (),
    "losses": ("ops",),
    "optimizers": (),
    "presets": ("config_files", "files", "checkpoints"),
    "visualization": ("contract", "files", "visualization"),
    "ops": ("contract", "ops"),
    "layers": ("ops", "layers"),
    "models": (
        "config",
        "config_files",
        "contract",
        "files",
        "losses",
        "optimizers",
        "presets",
        "checkpoints",
        "ops",
        "layers",
        "models",
    ),
    # Below the models, whose from_preset reads the weights of peers.
    "checkpoints": ("config", "files", "checkpoints"),
    # Not ops: keras.ops inside tf.data would run on the active backend.
    "augmentation": ("config", "augmentation"),
    "data": ("augmentation", "config", "contract", "files", "data"),
    "evaluation": ("contract", "files", "data.coco", "evaluation"),
    "training": (
        "config",
        "contract",
        "files",
        "optimizers",
        "models",
        "evaluation",
        "training",
    ),
    # Reads what data reads, for what models and ops make of it.
    "doctor": (
        "checkpoints.coco_categories",
        "config",
        "data",
        "files",
        "models",
        "ops",
        "visualization",
        "doctor",
    ),
    "serving": (
        "config",
        "config_files",
        "contract",
        "files",
        "ops.compiled",
        "models",
        "data.transforms",
        "data.image_files",
        "serving",
    ),
}
MAY_IMPORT["bin"] = (*MAY_IMPORT, "bin")
MAY_IMPORT["export"] = (*MAY_IMPORT, "export")
MAY_IMPORT["configs"] = ("config",)
# keras_fair/__init__.py offers what users need; the rest is for programs.
MAY_IMPORT["__init__"] = tuple(
    part
    for part in MAY_IMPORT
    if part not in ("bin", "doctor", "export", "configs")
)

TENSORFLOW_FOLDERS = (
    "augmentation/",
    "data/",
    "doctor/",
    "serving/",
    "bin/",
    "export/",
)
# Annotation files and drawn shapes are NumPy, and evaluation reads them.
# data/__init__.py runs before either.
NO_TENSORFLOW = (
    "data/__init__.py",
    "data/class_splits.py",
    "data/coco.py",
    "data/coco_synsets.py",
    "data/datasets.py",
    "data/exports.py",
    "data/file_parts.py",
    "data/instances.py",
    "data/lvis.py",
    "data/prepared.py",
    "data/records.py",
    "data/repeat_factors.py",
    "data/tfrecords.py",
    "data/union.py",
    "data/voc.py",
    "data/visual_genome.py",
    "data/synthetic.py",
)
# Inside a function or `if` only: both run on JAX without TensorFlow.
DEFERRED_TENSORFLOW = (
    "files.py",
    "training/distribution.py",
    "training/jax_devices.py",
    "training/loop.py",
    "training/strategy.py",
    "ops/compiled.py",
    "ops/replicas.py",
    "ops/tensorflow_kernels.py",
)
BACKENDS = ("tensorflow", "jax", "jaxlib")


def errors(path: str, source: str) -> list[str]:
    """Return one line for each import that the rules forbid in that file."""
    checks = (_wrong_form, _wrong_part, _wrong_tensorflow)
    return [
        f"{path}:{found.line} imports {found.name}: {reason}"
        for found in imports.read_imports(source)
        for check in checks
        if (reason := check(path.removeprefix("keras_fair/"), found))
    ]


def _part(path: str) -> str:
    return path.split("/")[0].removesuffix(".py")


def _wrong_form(path: str, found: imports.Import) -> str:
    if found.name.startswith("."):
        return "write the absolute name"
    if found.name.endswith(".*"):
        return "name what is needed"
    if imports.starts_with(found.name, "keras.src"):
        return "keras.src is private; use what keras exports"
    if imports.starts_with(found.name, "torch"):
        return "torch is never needed; read checkpoints with NumPy"
    in_place = path in DEFERRED_TENSORFLOW or _part(path) == "__init__"
    if found.deferred and not in_place:
        return "move it to the top of the file"
    return ""


def _wrong_part(path: str, found: imports.Import) -> str:
    top = found.name.split(".")[0]
    if top in ("configs", "export", "tests", "benchmarks"):
        return "such folders are run by path, never imported"
    part = _part(path)
    if top == "keras_fair":
        allowed = [f"keras_fair.{name}" for name in MAY_IMPORT[part]]
        if not any(imports.starts_with(found.name, name) for name in allowed):
            return f"{part} may import {', '.join(allowed) or 'none of ours'}"
    elif part == "configs":
        return "an experiment imports keras_fair.config and nothing else"
    return ""


def _wrong_tensorflow(path: str, found: imports.Import) -> str:
    if found.name.split(".")[0] not in BACKENDS:
        return ""
    if path in DEFERRED_TENSORFLOW:
        return "" if found.deferred else "import it where it is needed"
    if path.startswith(TENSORFLOW_FOLDERS) and path not in NO_TENSORFLOW:
        return ""
    return f"only {', '.join(TENSORFLOW_FOLDERS)} may; use keras.ops"


def product_files() -> dict[str, str]:
    return {
        path: source
        for path, source in imports.source_files().items()
        if path.startswith(("keras_fair/", "configs/", "export/"))
    }


def tensorflow_errors(start: str, sources: dict[str, str]) -> list[str]:
    """Return each way in which importing one file imports a backend."""
    return [
        f"importing {start} runs {path}, which line {found.line} makes import "
        f"{found.name} (reached from {importer})"
        for path, importer in imports.reached_at_import(start, sources).items()
        for found in imports.read_imports(sources[path])
        if found.name.split(".")[0] in BACKENDS and not found.deferred
    ]


@pytest.mark.parametrize("path", product_files())
def test_file_imports_only_what_its_part_may(path):
    assert not errors(path, product_files()[path])


@pytest.mark.parametrize("part", MAY_IMPORT)
def test_the_rules_name_only_parts_that_the_rules_cover(part):
    assert {name.split(".")[0] for name in MAY_IMPORT[part]} <= set(MAY_IMPORT)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("keras_fair/ops/a.py", "from keras_fair import losses"),
        ("keras_fair/ops/a.py", "import keras_fair"),
        ("keras_fair/ops/a.py", "from keras_fair import config"),
        ("keras_fair/contract.py", "import keras_fair.config"),
        ("keras_fair/layers/a.py", "from keras_fair.models import roi"),
        ("keras_fair/layers/a.py", "from keras_fair.config import A"),
        ("keras_fair/models/a.py", "from keras_fair.data import coco"),
        ("keras_fair/models/a.py", "from keras_fair.training import train"),
        ("keras_fair/augmentation/a.py", "from keras_fair.data import rle"),
        ("keras_fair/data/a.py", "from keras_fair.models import rpn"),
        ("keras_fair/data/a.py", "from keras_fair.ops import boxes"),
        ("keras_fair/evaluation/a.py", "from keras_fair.data import pipeline"),
        ("keras_fair/evaluation/a.py", "from keras_fair.data.cocoon import A"),
        ("keras_fair/training/a.py", "from keras_fair.data import pipeline"),
        ("keras_fair/serving/a.py", "from keras_fair.data import pipeline"),
        ("keras_fair/checkpoints/a.py", "from keras_fair.ops import boxes"),
        ("keras_fair/models/a.py", "from keras_fair.bin import train"),
        ("keras_fair/__init__.py", "from keras_fair.bin import train"),
        ("keras_fair/bin/a.py", "from configs import tiny_synthetic"),
        ("keras_fair/ops/a.py", "from tests import reference"),
        ("configs/a.py", "from keras_fair import models"),
        ("configs/a.py", "import numpy"),
    ],
)
def test_import_of_a_part_above_or_beside_is_an_error(path, source):
    assert errors(path, source)


@pytest.mark.parametrize(
    ("path", "source", "reason"),
    [
        ("keras_fair/ops/a.py", "from . import boxes", "absolute"),
        ("keras_fair/ops/a.py", "from .boxes import f", "absolute"),
        ("keras_fair/ops/a.py", "from numpy import *", "name what"),
        ("keras_fair/ops/a.py", "from keras.src import ops", "private"),
        ("keras_fair/ops/a.py", "import keras.src.ops", "private"),
        ("keras_fair/ops/a.py", "import torch.nn", "torch is never"),
        ("keras_fair/ops/a.py", "def f():\n import json", "to the top"),
        ("keras_fair/ops/a.py", "if a:\n import json", "to the top"),
        ("keras_fair/ops/a.py", "try:\n import torch\nfinally: pass", "never"),
    ],
)
def test_import_of_a_wrong_form_is_an_error(path, source, reason):
    (error,) = errors(path, source)

    assert reason in error
    assert error.startswith(f"{path}:")


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("keras_fair/models/a.py", "import tensorflow as tf"),
        ("keras_fair/models/a.py", "import jax.numpy as jnp"),
        ("keras_fair/layers/a.py", "from tensorflow import nn"),
        ("keras_fair/data/coco.py", "import tensorflow as tf"),
        ("keras_fair/data/synthetic.py", "import tensorflow as tf"),
        ("keras_fair/data/__init__.py", "import tensorflow as tf"),
        ("keras_fair/evaluation/a.py", "import tensorflow as tf"),
        ("keras_fair/training/train.py", "import tensorflow as tf"),
        ("keras_fair/training/strategy.py", "import tensorflow as tf"),
        ("keras_fair/ops/compiled.py", "import tensorflow as tf"),
        ("keras_fair/__init__.py", "import tensorflow as tf"),
    ],
)
def test_tensorflow_in_the_core_is_an_error(path, source):
    assert errors(path, source)


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("keras_fair/ops/a.py", "from keras_fair.ops import boxes"),
        ("keras_fair/ops/a.py", "import numpy as np\nfrom keras import ops"),
        ("keras_fair/models/a.py", "from keras_fair import config, contract"),
        ("keras_fair/evaluation/a.py", "from keras_fair.data import coco"),
        ("keras_fair/evaluation/a.py", "from keras_fair.data.coco import A"),
        ("keras_fair/data/pipeline.py", "import tensorflow as tf"),
        ("keras_fair/serving/a.py", "import tensorflow as tf"),
        ("keras_fair/bin/a.py", "from keras_fair.data import pipeline"),
        ("keras_fair/ops/compiled.py", "def f():\n import tensorflow as tf"),
        ("keras_fair/ops/compiled.py", "if a:\n import tensorflow as tf"),
        ("export/a.py", "from keras_fair.serving import saved_model"),
        ("configs/a.py", "from keras_fair import config"),
    ],
)
def test_import_that_the_rules_allow_is_no_error(path, source):
    assert not errors(path, source)


def test_importing_the_package_reaches_no_tensorflow():
    assert not tensorflow_errors("keras_fair/__init__.py", product_files())


def test_tensorflow_behind_two_imports_is_an_error():
    sources = {
        "keras_fair/__init__.py": "from keras_fair.evaluation import score",
        "keras_fair/evaluation/score.py": "from keras_fair.data import coco",
        "keras_fair/data/__init__.py": "from keras_fair.data import pipeline",
        "keras_fair/data/coco.py": "",
        "keras_fair/data/pipeline.py": "import tensorflow as tf",
    }

    (error,) = tensorflow_errors("keras_fair/__init__.py", sources)

    assert "keras_fair/data/pipeline.py" in error


@pytest.mark.parametrize("guard", ["def f():", "if backend == 'tensorflow':"])
def test_deferred_tensorflow_is_not_reached(guard):
    sources = {"keras_fair/__init__.py": f"{guard}\n import tensorflow"}

    assert not tensorflow_errors("keras_fair/__init__.py", sources)


BLOCKED = """
import sys

class NoTensorFlow:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("tensorflow", "torch"):
            raise ModuleNotFoundError(f"blocked: {name}", name=name)

sys.meta_path.insert(0, NoTensorFlow())
import keras_fair
"""


def run_without_tensorflow(code: str) -> subprocess.CompletedProcess:
    if importlib.util.find_spec("jax") is None:
        pytest.skip("Keras needs JAX where TensorFlow is hidden")
    return subprocess.run(
        [sys.executable, "-c", BLOCKED + code],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        cwd=imports.REPOSITORY,
        capture_output=True,
        text=True,
    )


def test_the_package_imports_where_there_is_no_tensorflow():
    result = run_without_tensorflow(
        "import keras\n"
        "assert keras.backend.backend() == 'jax'\n"
        "for name in dir(keras_fair):\n"
        "    if name not in ('data', 'serving'):\n"
        "        getattr(keras_fair, name)\n"
    )

    assert result.returncode == 0, result.stderr


def test_the_block_on_tensorflow_holds():
    result = run_without_tensorflow("import tensorflow\n")

    assert "blocked: tensorflow" in result.stderr
