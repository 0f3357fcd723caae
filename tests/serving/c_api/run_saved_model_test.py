"""The exported model in C: the session loader that TensorFlow Serving has.

It misses the variables of what `tf.saved_model.save` writes of a Keras model,
which Python's loader reads.
"""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tests.serving import pictures, served

COMPILER = shutil.which("gcc") or shutil.which("cc")
SOURCE = pathlib.Path(__file__).with_suffix("").name.removesuffix("_test")
FOLDER = pathlib.Path(tf.sysconfig.get_lib())
LIBRARIES = ("libtensorflow_cc.so.2", "libtensorflow_framework.so.2")


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> str:
    """The compiled C program."""
    if COMPILER is None:
        pytest.skip("There is no C compiler here.")
    if sys.platform != "linux" or not (FOLDER / LIBRARIES[0]).exists():
        pytest.skip("TensorFlow's C library did not come with its wheel.")
    path = tmp_path_factory.mktemp("c_api") / SOURCE
    subprocess.run(
        [
            COMPILER,
            "-Wall",
            "-Werror",
            str(pathlib.Path(__file__).with_name(f"{SOURCE}.c")),
            f"-I{tf.sysconfig.get_include()}",
            f"-L{FOLDER}",
            *(f"-l:{name}" for name in LIBRARIES),
            f"-Wl,-rpath,{FOLDER}",
            "-o",
            str(path),
        ],
        check=True,
    )
    return str(path)


def signature_of(exported, name: str):
    """Return the names of the input and the outputs in the graph."""
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        graph = tf.compat.v1.saved_model.load(session, ["serve"], str(exported))
    signature = graph.signature_def[name]
    outputs = {k: info.name for k, info in signature.outputs.items()}
    return signature.inputs["images"].name, outputs


def run(program: str, exported, signature: str, folder, given: list) -> dict:
    """Return the outputs of one signature by their names."""
    source, outputs = signature_of(exported, signature)
    done = subprocess.run(
        [program, str(exported), source, *given, *outputs.values()],
        cwd=folder,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found = {}
    for number, (name, line) in enumerate(
        zip(outputs, done.stdout.splitlines(), strict=True)
    ):
        kind, *shape = map(int, line.split())
        dtype = tf.as_dtype(kind).as_numpy_dtype
        content = np.fromfile(folder / f"{number}.bin", dtype)
        found[name] = content.reshape(shape)
    return found


def test_c_finds_in_pictures_what_python_finds(
    program, exported, mask_rcnn, tmp_path
):
    images = np.stack([pictures.pixels(70, 30, seed) for seed in range(2)])
    images.tofile(tmp_path / "pixels")
    given = ["images", "2", "70", "30", "pixels"]
    found = run(program, exported, "serving_default", tmp_path, given)
    for row, image in enumerate(images):
        encoded = pictures.encode(image)
        wanted = served.expected(mask_rcnn, encoded, tmp_path)
        one = {name: value[row : row + 1] for name, value in found.items()}
        served.assert_equal(one, wanted)


def test_c_finds_in_files_what_python_finds(
    program, exported, mask_rcnn, tmp_path
):
    files = [pictures.JPEG, pictures.BAD["truncated JPEG"], pictures.PNG]
    for number, file in enumerate(files):
        (tmp_path / f"{number}").write_bytes(file)
    given = ["files", "3", "0", "1", "2"]
    found = run(program, exported, "serve_bytes", tmp_path, given)
    assert found["num_detections"][1] == -1
    for row in (0, 2):
        wanted = served.expected(mask_rcnn, files[row], tmp_path)
        one = {name: value[row : row + 1] for name, value in found.items()}
        served.assert_equal(one, wanted)
