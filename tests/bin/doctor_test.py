"""The doctor, run as a user and a CI run it."""

import json
import os
import subprocess
import sys

import pytest

from tests.doctor import broken_datasets


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


@pytest.mark.parametrize(
    "arguments",
    [
        ["--images=photos"],
        ["--no_such_flag"],
        ["--config=tiny_synthetic", "--set=data.prepared=shards"],
    ],
)
def test_wrong_usage_ends_with_2(arguments):
    status, output = run(*arguments)
    assert status == 2, output
    assert "Traceback" not in output
