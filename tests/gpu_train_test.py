"""The comparison with torchvision runs small, and says when it fails."""

import json
import os
import subprocess
import sys

import keras
import numpy as np
import pytest

from benchmarks import gpu_data
from tests import imports, shared

CANVAS = (64, 96)
SMALL = ("--size=64,96", "--batch=1", "--policy=float32", "--images=2")


def run(*arguments: str, backend: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_train", *SMALL, *arguments],
        cwd=imports.REPOSITORY,
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )


def test_a_perfect_detector_has_an_ap_of_one():
    examples = [gpu_data.draw_shapes(seed, CANVAS) for seed in range(3)]
    right = [(e.boxes, np.ones(len(e.boxes)), e.labels) for e in examples]
    wrong = [(e.boxes, np.ones(len(e.boxes)), e.labels + 3) for e in examples]
    none = [(e.boxes[:0], np.ones(0), e.labels[:0]) for e in examples]
    assert gpu_data.average_precision(examples, right)["AP"] == 1.0
    assert gpu_data.average_precision(examples, wrong)["AP"] == 0.0
    assert gpu_data.average_precision(examples, none)["AP"] == 0.0


def test_both_libraries_get_the_same_shapes():
    example = gpu_data.draw_shapes(0, CANVAS)
    padded = gpu_data.pad(example, 10)
    assert example.image.shape == (64, 96, 3)
    np.testing.assert_array_equal(padded["boxes"][:8], example.boxes)
    assert padded["labels"].tolist() == [*example.labels, -1, -1]
    assert padded["masks"][:8].mean() > 0.98  # their edges are blurred
    assert not padded["masks"][8:].any()
    assert padded["has_mask"].tolist() == [True] * 8 + [False] * 2
    for (x1, y1, x2, y2), mask in zip(example.boxes, example.masks):
        assert mask.sum() == (x2 - x1) * (y2 - y1)


def test_coco_fits_the_canvas():
    examples = gpu_data.read_coco(str(shared.coco_tiny()), CANVAS)
    assert len(examples) == 80
    boxes = np.concatenate([each.boxes for each in examples])
    assert boxes.min() >= 0 and (boxes <= [97, 65, 97, 65]).all()
    labels = np.concatenate([each.labels for each in examples])
    assert labels.min() == 0 and labels.max() == 79
    for each in examples:
        for box, mask in zip(each.boxes, each.masks):
            x1, y1, x2, y2 = np.int32(box)
            mask = mask.copy()
            # A pixel more on each side: both were rounded.
            mask[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2] = 0
            assert not mask.any()


def test_processes_that_fail_fail_the_program_in_the_end():
    done = run("--models=retinanet", "--torch_python=false", backend="nothing")
    assert done.returncode == 1
    failures = [
        f"--one={library},retinanet,1 failed with status 1."
        for library in ("ours", "torchvision")
    ]
    assert done.stdout.splitlines() == failures
    assert done.stderr.splitlines()[-2:] == failures


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["retinanet", "mask_rcnn"])
def test_ours_runs_small(kind):
    options = ("--steps=2", "--fit=2", f"--one=ours,{kind},1")
    done = run(*options, backend=keras.backend.backend())
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout.splitlines()[-1])
    assert set(report) == {
        *("library", "step_ms", "images_per_s", "image_ms"),
        *("first_loss", "last_loss", "AP", "AP50"),
    }
    assert np.isfinite(report["last_loss"]) and 0 <= report["AP"] <= 1
