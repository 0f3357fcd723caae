"""Golden values and real images that lie beside a developer's checkout.

The repository ships neither; a test that wants one is skipped without it.
"""

import math
import os
import pathlib

import numpy as np
import pytest

FOLDER = pathlib.Path(
    os.environ.get("KERAS_FAIR_SHARED")
    or pathlib.Path(__file__).parents[2] / "shared"
)


def fixture(name: str):
    """Open the golden values of that name, or skip the test."""
    return np.load(_existing(FOLDER / "fixtures" / name))


def state_dict_sizes(name: str) -> dict[str, int]:
    """Return a peer's names and how many numbers each has, or skip."""
    path = _existing(FOLDER / "fixtures" / name)
    lines = [line.split(" ") for line in path.read_text().splitlines()]
    return {
        name: math.prod(map(int, filter(None, shape.split("x"))))
        for name, shape in lines
    }


def coco_tiny() -> pathlib.Path:
    """Return the folder of 160 real COCO images, or skip the test."""
    return _existing(FOLDER / "data" / "coco_tiny")


def _existing(path: pathlib.Path) -> pathlib.Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not here; set KERAS_FAIR_SHARED")
    return path
