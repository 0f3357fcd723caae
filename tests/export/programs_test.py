"""The export programs, run by path as a user of the repository does."""

import json
import os
import subprocess
import sys

import pytest

from keras_fair.config import BackboneConfig, PixelConfig
from keras_fair.models import build_model
from tests import imports
from tests.models import tiny
from tests.serving import pictures


@pytest.fixture(scope="module")
def preset(tmp_path_factory) -> str:
    """The folder of a model with a backbone of this package."""
    config = tiny.config(
        backbone=BackboneConfig(name="resnet18", stem_filters=8),
        pixels=PixelConfig(short_side=64, max_long_side=96),
        class_names=("cat", "dog", "fox"),
    )
    folder = str(tmp_path_factory.mktemp("preset") / "model")
    build_model(config).save_to_preset(folder)
    return folder


def run(program: str, *arguments: str, fails: bool = False) -> str:
    """Run a program in a process of its own and return what it printed."""
    done = subprocess.run(
        [
            sys.executable,
            str(imports.REPOSITORY / "export" / program),
            *arguments,
        ],
        env={
            **os.environ,
            "TF_CPP_MIN_LOG_LEVEL": "2",
            "PYTHONPATH": os.pathsep.join(
                [str(imports.REPOSITORY), os.environ.get("PYTHONPATH", "")]
            ),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
    )
    assert (done.returncode != 0) == fails, done.stdout
    return done.stdout


@pytest.mark.slow
def test_a_saved_model_is_written_from_a_preset(preset, tmp_path):
    output = tmp_path / "served"
    printed = run(
        "saved_model.py",
        f"--model={preset}",
        f"--output={output}",
        "--version=3",
        "--warmup=1x30x40,2x40x30",
    )
    assert f"The SavedModel is in {output}/3." in printed
    assert "saved_model.pb" in os.listdir(output / "3")
    extra = output / "3" / "assets.extra"
    assert (extra / "class_names.txt").read_text() == "cat\ndog\nfox\n"
    assert "tf_serving_warmup_requests" in os.listdir(extra)


def test_a_warm_up_of_another_form_is_refused(preset, tmp_path):
    printed = run(
        "saved_model.py",
        f"--model={preset}",
        f"--output={tmp_path}",
        "--warmup=480x640",
        fails=True,
    )
    assert "such as 1x480x640. Received: 480x640" in printed


def test_a_litert_file_is_calibrated_on_images(preset, tmp_path):
    pytest.importorskip("ai_edge_quantizer")
    (tmp_path / "images").mkdir()
    for seed in range(2):
        encoded = pictures.encode(pictures.pixels(50, 70, seed))
        (tmp_path / "images" / f"{seed}.png").write_bytes(encoded)
    output = tmp_path / "detector.tflite"
    printed = run(
        "tflite.py",
        f"--model={preset}",
        f"--output={output}",
        "--height=64",
        "--width=96",
        "--quantisation=int8",
        str(tmp_path / "images"),
    )
    assert f"{output} has {output.stat().st_size} bytes" in printed
    described = json.loads((tmp_path / "detector.tflite.json").read_text())
    assert described["class_names"] == ["cat", "dog", "fox"]
    assert described["quantisation"] == "int8"


def test_a_size_must_be_given(preset, tmp_path):
    arguments = (f"--model={preset}", f"--output={tmp_path / 'a'}")
    printed = run("tflite.py", *arguments, "--height=64", fails=True)
    assert "--width" in printed
