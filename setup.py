"""Build keras-fair: `pip install .`, `pip install -e .` or a wheel."""

import pathlib
import re

import setuptools

HERE = pathlib.Path(__file__).parent


def read_version() -> str:
    """Return the version that keras_fair/__init__.py states."""
    text = (HERE / "keras_fair" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


# Folders of files, not packages, in the repository; a wheel carries them
# inside keras_fair. Git drops one that is empty.
FOLDERS = [name for name in ("configs", "export") if (HERE / name).is_dir()]
PROGRAMS = (
    "annotate",
    "benchmark",
    "convert",
    "demo",
    "doctor",
    "evaluate",
    "predict",
    "prepare",
    "train",
)

setuptools.setup(
    name="keras-fair",
    version=read_version(),
    description="FPN, RetinaNet, Mask R-CNN and Mask^X R-CNN for Keras 3",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    python_requires=">=3.11",
    packages=[
        *setuptools.find_packages(include=["keras_fair", "keras_fair.*"]),
        *(f"keras_fair.{name}" for name in FOLDERS),
    ],
    package_dir={f"keras_fair.{name}": name for name in FOLDERS},
    install_requires=[
        # From the version whose trainer the models were built and tested
        # on, up to the next major one: a tighter limit would fight with the
        # Keras of whoever installs this beside another package.
        "keras>=3.15,<4",
        "numpy>=2.0",
        "absl-py>=2.0",
        "h5py>=3.11",
        "pillow>=10.0",
        "pycocotools>=2.0.8",  # the first built for NumPy 2
    ],
    extras_require={
        "tensorflow": ["tensorflow>=2.21,<3", "tensorboard>=2.19"],
        "tensorflow-cpu": ["tensorflow-cpu>=2.21,<3", "tensorboard>=2.19"],
        "jax": ["jax>=0.10"],
        "tfds": ["tensorflow-datasets>=4.9.10,<5"],  # for keras-fair-prepare
        "int8": ["ai-edge-litert>=2.1", "ai-edge-quantizer>=0.10", "scipy"],
        # Nothing here may require TensorFlow: the JAX tests run without it.
        "test": [
            "ai-edge-litert>=2.1",
            "hypothesis>=6.100",
            "pytest>=8.3",
            "pytest-xdist>=3.6",
            "ruff>=0.17,<0.18",  # the format changes between minor versions
            "setuptools>=70.1",  # the first that builds a wheel by itself
            "tensorflow-datasets>=4.9.10,<5",
        ],
    },
    entry_points={
        "console_scripts": [
            f"keras-fair-{name} = keras_fair.bin.{name}:run"
            for name in PROGRAMS
        ]
    },
    # Not "build": that is the file BUILD where names ignore case. And what
    # an earlier build left there must not be swept into a wheel.
    options={"build": {"build_base": ".build"}},
)
