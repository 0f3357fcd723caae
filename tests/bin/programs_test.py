"""The programs, run as a user runs them, on generated shapes."""

import json
import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_fair.data import synthetic

TINY = [
    "--config=tiny_synthetic",
    "--set=train.steps=4",
    "--set=train.checkpoint_steps=2",
    "--set=train.evaluate_steps=4",
    "--set=train.batch_size=2",
    "--set=model.pyramid.filters=8",
    "--set=model.head_filters=8",
    "--set=model.head_norm=",
    "--set=model.head_depth=1",
]


def run(program: str, *arguments: str, fails: bool = False) -> str:
    """Run a program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", f"keras_fair.bin.{program}", *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert (done.returncode != 0) == fails, done.stdout
    assert "Traceback" not in done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(
        str(folder), num_train=6, num_val=3, image_sizes=((128, 128),)
    )
    return str(folder)


@pytest.fixture(scope="module")
def workdir(shapes, tmp_path_factory):
    """A work directory that a training of four steps has filled."""
    folder = str(tmp_path_factory.mktemp("run"))
    output = run(
        "train", *TINY, f"--set=data.root={shapes}", f"--workdir={folder}"
    )
    assert "AP of each class" in output
    assert "Epoch 2/2" in output
    return folder


def test_training_writes_all_that_it_should(workdir):
    written = set(os.listdir(workdir))
    assert written == {
        "checkpoints",
        "config.json",
        "log.csv",
        "model",
        "tensorboard",
    }
    steps = sorted(os.listdir(os.path.join(workdir, "checkpoints")))
    assert steps == [f"step-{n:09d}.weights.h5" for n in (2, 4)]
    with open(os.path.join(workdir, "config.json"), encoding="utf-8") as file:
        config = json.load(file)
    assert config["model"]["class_names"] == ["circle", "square", "triangle"]
    assert config["train"]["batch_size"] == 2
    with open(os.path.join(workdir, "log.csv"), encoding="utf-8") as file:
        header, first, last = file.read().split()
    columns = header.split(",")
    assert first.split(",")[columns.index("val_AP")].lower() == "nan"
    assert 0 <= float(last.split(",")[columns.index("val_AP")]) <= 1


@pytest.mark.slow
def test_training_goes_on_from_the_last_checkpoint(shapes, workdir, tmp_path):
    arguments = [*TINY, f"--set=data.root={shapes}", f"--workdir={tmp_path}"]
    run(
        "train",
        *arguments,
        "--set=train.steps=2",
        "--set=train.evaluate_steps=2",
    )
    output = run("train", *arguments)
    assert "Resuming at step 2" in output
    assert "Epoch 2/2" in output and "Epoch 1/2" not in output


def test_evaluate_prints_the_table_and_writes_detections(workdir, tmp_path):
    path = tmp_path / "found.json"
    output = run("evaluate", f"--workdir={workdir}", f"--output={path}")
    assert "COCO evaluation: bbox, 3 images" in output
    assert isinstance(json.loads(path.read_text()), list)


def test_predict_draws_and_lists(shapes, workdir, tmp_path):
    output = run(
        "predict",
        f"--workdir={workdir}",
        f"--output={tmp_path}",
        "--score_threshold=0.01",
        os.path.join(shapes, "val"),
    )
    assert "3 drawings" in output
    drawings = sorted(tmp_path.glob("*.png"))
    # Three times as large, to be looked at.
    assert np.asarray(Image.open(drawings[0])).shape == (384, 384, 3)
    content = json.loads((tmp_path / "detections.json").read_text())
    assert [image["id"] for image in content["images"]] == [1, 2, 3]
    names = [category["name"] for category in content["categories"]]
    assert names == ["circle", "square", "triangle"]


def test_predict_names_a_file_that_is_no_image(workdir, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"not an image")
    output = run(
        "predict",
        f"--workdir={workdir}",
        f"--output={tmp_path / 'out'}",
        str(broken),
        fails=True,
    )
    assert "Expected an image in" in output and "broken.jpg" in output


def test_a_wrong_number_of_classes_says_what_to_set(shapes, tmp_path):
    output = run(
        "train",
        *TINY,
        "--set=model.num_classes=5",
        f"--set=data.root={shapes}",
        f"--workdir={tmp_path}",
        fails=True,
    )
    assert "--set model.num_classes=3" in output


@pytest.mark.parametrize(
    "program, folder", [("train", "workdir"), ("prepare", "data_dir")]
)
def test_a_second_value_of_set_is_refused(tmp_path, program, folder):
    output = run(
        program,
        *("--config=tiny_synthetic", f"--{folder}={tmp_path}"),
        *("--set", "train.steps=1", "train.batch_size=1"),
        fails=True,
    )
    assert "Received: train.batch_size=1. Each setting needs" in output


def test_a_missing_annotation_file_is_named(shapes, tmp_path):
    output = run(
        "train",
        *TINY,
        f"--set=data.root={shapes}",
        "--set=data.train_annotations=none.json",
        f"--workdir={tmp_path}",
        fails=True,
    )
    assert "No annotation file" in output and "none.json" in output
    assert "--verbosity=1" in output


def test_a_corrupt_image_is_named(shapes, workdir, tmp_path):
    broken = shutil.copytree(shapes, tmp_path / "broken")
    path = sorted((broken / "val").iterdir())[0]
    path.write_bytes(path.read_bytes()[:100])
    output = run(
        "evaluate",
        f"--workdir={workdir}",
        f"--set=data.root={broken}",
        fails=True,
    )
    assert "Corrupt image file" in output and str(path) in output
