"""The doctor, run as a user and a CI run it."""

import json
import os
import subprocess
import sys

import pytest

from tests import shared
from tests.doctor import broken_datasets, broken_voc


def run(*arguments: str) -> tuple[int, str]:
    """Return the exit status and what was printed."""
    done = subprocess.run(
        [sys.executable, "-m", "keras_fair.bin.doctor", *arguments],
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "PYTHONIOENCODING": "ascii",  # a poor terminal
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    return done.returncode, done.stdout


@pytest.fixture
def files(tmp_path):
    broken_datasets.write_images(tmp_path / "originals")
    return broken_datasets.Files(tmp_path, tmp_path / "originals")


def test_a_clean_data_set_ends_with_0_and_a_report(files, tmp_path):
    files.content["categories"][1]["name"] = "Kätzchen"
    annotations, images = files.write()
    status, output = run(
        f"--annotations={annotations}",
        f"--images={images}",
        "--config=tiny_synthetic",
        "--set=train.batch_size=2",
        f"--report={tmp_path / 'report'}",
    )
    assert status == 0, output
    assert "4/4" in output  # the progress bar
    assert "K\\xe4tzchen" in output
    assert "0 kinds of error" in output
    assert "a step of 2 images" in output
    with open(tmp_path / "report" / "doctor.json", encoding="utf-8") as file:
        report = json.load(file)
    assert report["coverage"][0]["objects"] == 5
    assert (tmp_path / "report" / "doctor.html").is_file()


def test_errors_end_with_1(files):
    broken_datasets.VARIANTS["box: too far right"].plant(files)
    broken_datasets.VARIANTS["image: half a character in a name"].plant(files)
    annotations, images = files.write()
    status, output = run(f"--annotations={annotations}", f"--images={images}")
    assert status == 1, output
    assert "ERROR box-outside (1)" in output
    assert "Traceback" not in output


def test_shards_that_are_not_there_are_an_error(tmp_path):
    status, output = run(
        "--config=tiny_synthetic", f"--set=data.prepared={tmp_path}"
    )
    assert status == 1, output
    assert "ERROR source-refused (1)" in output
    assert f"{tmp_path} (train): 0 images" in output


UNION = """
from keras_fair.config import (
    BackboneConfig,
    DataConfig,
    Experiment,
    RetinaNetConfig,
    SourceConfig,
)


def get_config():
    sources = (
        SourceConfig(annotations="instances.json", images="images"),
        SourceConfig("voc", annotations="voc", split="Main/train"),
    )
    return Experiment(
        model=RetinaNetConfig(
            num_classes=20, backbone=BackboneConfig(name="resnet18")
        ),
        data=DataConfig(train_sources=sources),
    )
"""


def test_each_source_of_a_union_has_a_report(files, tmp_path):
    files.write()
    broken_voc.Folder(tmp_path / "voc")
    (tmp_path / "union.py").write_text(UNION)
    arguments = (
        f"--config={tmp_path / 'union.py'}",
        f"--set=data.root={tmp_path}",
        f"--report={tmp_path / 'report'}",
    )
    status, output = run(*arguments)
    assert status == 0, output
    assert f"2 of 2: {tmp_path / 'voc'} (Main/train)" in output
    assert output.count("0 kinds of error") == 2
    for name in ("1-instances", "2-voc"):
        assert (tmp_path / "report" / name / "doctor.html").is_file()
    (tmp_path / "voc/Annotations/2007_000039.xml").unlink()
    status, output = run(*arguments)
    assert status == 1, output
    assert "ERROR xml-missing (1)" in output


def test_a_folder_of_voc_is_examined(tmp_path):
    broken_voc.Folder(tmp_path)
    status, output = run(str(tmp_path))
    assert status == 0, output
    assert f"{tmp_path}: 3 images, 4 objects, 20 categories; 0" in output


def test_a_folder_of_coco_is_examined():
    status, output = run(str(shared.coco_tiny()))
    assert status == 0, output
    assert "1 of 2: " in output
    assert "instances_val2017.json: 80 images, 815 objects" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--images=photos"],
        ["--no_such_flag"],
        [],
        ["instances.json"],
        ["one", "two"],
        ["one", "--annotations=two"],
        [".", "--images=photos"],
        ["/no/such/folder"],
        [".", "--set=data.root=/data"],
        ["--config=no_such_config"],
        ["--config=tiny_synthetic", "--set=data.no_such_field=1"],
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    status, output = run(*arguments)
    assert status == 2, output
    assert "Traceback" not in output


def test_a_report_where_a_file_is_is_refused_before_the_work(files):
    annotations, images = files.write()
    status, output = run(
        annotations, f"--images={images}", f"--report={annotations}"
    )
    assert status == 2, output
    assert f"Received: {annotations} (File exists)" in output
    assert "Traceback" not in output and "4/4" not in output
