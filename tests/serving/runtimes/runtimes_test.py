"""Detectors of one fixed size in onnxruntime and OpenVINO.

Their packages live in an environment of their own:

    python3.11 -m venv /tmp/runtimes
    /tmp/runtimes/bin/pip install tf2onnx onnxruntime openvino \
        ai-edge-litert tensorflow-cpu==2.21.0
    KERAS_FAIR_RUNTIMES_PYTHON=/tmp/runtimes/bin/python \
        python -m pytest -m slow tests/serving/runtimes
"""

import os
import pathlib
import subprocess

import numpy as np
import pytest

from keras_fair.serving import comparison, litert, saved_model
from tests.serving import litert_test, parity_table_test

PROGRAM = pathlib.Path(__file__).with_name("run.py")
PYTHON = os.environ.get("KERAS_FAIR_RUNTIMES_PYTHON", "")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not PYTHON,
        reason="KERAS_FAIR_RUNTIMES_PYTHON names no Python with onnxruntime",
    ),
]


def run(runtime: str, path, x: dict, folder) -> subprocess.CompletedProcess:
    """Run a file in a runtime; what it finds is in outputs.npz."""
    np.savez(folder / "inputs.npz", **x)
    files = path, folder / "inputs.npz", folder / "outputs.npz"
    return subprocess.run(
        [PYTHON, PROGRAM, runtime, *map(str, files)],
        capture_output=True,
        text=True,
        timeout=600,
    )


def write(name: str, kind: str, folder):
    """Return a model and the file of it in one size."""
    model = parity_table_test.model_of(name)
    path = folder / kind
    if kind == "detector.tflite":
        litert.export_litert(model, str(path), litert_test.SIZE)
    else:
        endpoint = litert.fixed_endpoint(model, litert_test.SIZE)
        signatures = {litert.SIGNATURE: endpoint}
        saved_model.write_graphs(model, signatures, str(path))
    return model, path


@pytest.mark.parametrize(
    ("runtime", "name", "kind"),
    [
        ("onnxruntime", "retinanet", "saved_model"),
        ("onnxruntime", "mask_rcnn", "saved_model"),
        ("openvino", "retinanet", "saved_model"),
        ("openvino", "retinanet", "detector.tflite"),
        ("openvino", "mask_rcnn", "detector.tflite"),
    ],
)
def test_a_runtime_finds_what_predict_finds(
    runtime, name, kind, tmp_path, capsys
):
    model, path = write(name, kind, tmp_path)
    x = litert_test.batch()[0]

    done = run(runtime, path, x, tmp_path)

    assert done.returncode == 0, done.stderr
    found = dict(np.load(tmp_path / "outputs.npz"))
    if runtime == "onnxruntime":
        # What tf2onnx made has NaN there.
        found["scores"][0, found["num_detections"][0] :] = 0
    wanted = model.predict_on_batch(x)
    compared = comparison.compare(wanted, found, max(litert_test.SIZE))
    with capsys.disabled():
        print(f"\n{runtime}, {name}, {kind}: {compared.largest}")
    assert compared.num_rows > 1 and not compared.num_differing


def test_openvino_reads_no_mask_rcnn_from_a_saved_model(tmp_path):
    # When this fails, OpenVINO has learnt it: docs/serving.md says it fails.
    _, path = write("mask_rcnn", "saved_model", tmp_path)
    x = litert_test.batch()[0]
    done = run("openvino", path, x, tmp_path)
    assert done.returncode and "not consistent" in done.stderr
