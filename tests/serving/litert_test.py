"""LiteRT files, run where there is neither TensorFlow nor Keras."""

import json
import subprocess
import sys

import numpy as np
import pytest

from keras_fair import contract
from keras_fair.serving import litert
from tests import reference
from tests.models import tiny
from tests.serving import pictures

pytest.importorskip("ai_edge_litert")
SIZE = (64, 96)

PROGRAM = """
import sys
for name in ("tensorflow", "keras", "keras_fair"):
    sys.modules[name] = None  # not to be imported
import numpy as np
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1]).get_signature_runner("serving_default")
for path in sys.argv[2:]:
    np.savez(path, **run(**np.load(path)))
"""


def run(path, inputs: list[dict]) -> list[dict]:
    """Return what a file finds, in a process without TensorFlow."""
    files = [f"{path}.{number}.npz" for number in range(len(inputs))]
    for file, x in zip(files, inputs):
        np.savez(file, **x)
    subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(path), *files],
        check=True,
        timeout=300,
    )
    return [dict(np.load(file)) for file in files]


def operators(path) -> set[str]:
    """Return the names of the operators; custom ones with their own."""
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated")
    numbers = vars(schema.BuiltinOperator)
    names = {value: name for name, value in numbers.items()}
    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    return {
        f"custom {code.customCode}"
        if code.builtinCode == schema.BuiltinOperator.CUSTOM
        else names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        for code in model.operatorCodes
    }


def batch() -> list[dict]:
    """Return two inputs, the second smaller than the canvas."""
    x, _ = tiny.batch()
    return [
        {name: value[row : row + 1] for name, value in x.items()}
        for row in range(2)
    ]


def assert_equal_in_float32(model, path) -> None:
    """Compare the file with the model.

    The same arithmetic in another order. Boxes are differences of numbers up
    to 100 pixels, of which float32 resolves 1e-5, after some ten layers.
    """
    for x, found in zip(batch(), run(path, batch()), strict=True):
        contract.check_detections(found)
        wanted = model.predict_on_batch(x)
        assert sorted(found) == sorted(wanted)
        assert wanted["num_detections"][0] > 3
        np.testing.assert_array_equal(found["labels"], wanted["labels"])
        np.testing.assert_allclose(found["boxes"], wanted["boxes"], atol=1e-3)
        for name in {"scores", "masks"} & set(found):
            np.testing.assert_allclose(found[name], wanted[name], atol=1e-4)
        if "keypoints" in found:
            np.testing.assert_allclose(
                found["keypoints"], wanted["keypoints"], atol=1e-3
            )
    names = operators(path)
    assert "CONV_2D" in names
    assert not any("custom" in name or "FLEX" in name for name in names)


@pytest.fixture(scope="module")
def trained():
    """A RetinaNet that knows the two images of `batch` by heart."""
    import keras

    model = tiny.retinanet(weight_decay=0.0)
    x, y = tiny.batch()
    model.compile(optimizer=keras.optimizers.Adam(5e-3))

    def batches():
        while True:
            yield x, y

    model.fit(batches(), steps_per_epoch=150, epochs=1, verbose=0)
    return model


def test_a_retinanet_is_equal(trained, tmp_path):
    litert.export_litert(
        trained,
        str(tmp_path / "a.tflite"),
        SIZE,
        images=[x["images"][0] for x in batch()],
    )
    assert_equal_in_float32(trained, tmp_path / "a.tflite")
    described = json.loads((tmp_path / "a.tflite.json").read_text("utf-8"))
    assert "uint8 [1, 64, 96, 3]" in described["inputs"]["images"]
    assert described["quantisation"] == "float32"
    certified = json.loads((tmp_path / "a.tflite.parity.json").read_text())
    assert certified["sure_objects_found"] >= 3
    assert certified["quantisation"] == "float32"
    assert len(list(tmp_path.iterdir())) == 3 + len(batch())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "faster_rcnn",
        "mask_rcnn",
        "mask_x_rcnn",
        "keypoint_rcnn",
        "rpn",
        "mask_proposals",
    ],
)
def test_every_model_is_equal(name, tmp_path):
    model = getattr(tiny, name)()
    litert.export_litert(model, str(tmp_path / "a.tflite"), SIZE)
    assert_equal_in_float32(model, tmp_path / "a.tflite")


@pytest.mark.parametrize("quantisation", ["float16", "dynamic", "int8"])
def test_a_quantised_detector_finds_the_objects(
    trained, tmp_path, quantisation
):
    path, images = tmp_path / "a.tflite", []
    if quantisation == "int8":
        pytest.importorskip("ai_edge_quantizer")
        images = list(tiny.batch(size=4)[0]["images"])
    litert.export_litert(trained, str(path), SIZE, quantisation, images)
    _, y = tiny.batch()
    for row, found in enumerate(run(path, batch())):
        contract.check_detections(found)
        count = (y["labels"][row] >= 0).sum()
        iou = reference.pairwise_iou(
            y["boxes"][row, :count], found["boxes"][0, :10]
        )
        same = y["labels"][row, :count, None] == found["labels"][0, :10]
        assert (np.where(same, iou, 0).max(1) > 0.6).all()
    names = operators(path)
    assert not any("custom" in name for name in names)
    if quantisation == "int8":
        # Around the convolutions alone.
        assert {"QUANTIZE", "DEQUANTIZE"} <= names


def test_an_image_is_fitted_into_the_corner():
    x = litert.network_input(pictures.pixels(50, 100), (64, 96))
    contract.check_inputs(x)
    assert x["image_shape"].tolist() == [[48, 96]]
    assert x["images"][0, :48].any() and not x["images"][0, 48:].any()
    thin = litert.network_input(pictures.pixels(300, 1), (64, 96))
    assert thin["image_shape"].tolist() == [[64, 1]]


@pytest.mark.parametrize(
    ("size", "quantisation", "message"),
    [
        (SIZE, "int4", "one of float32, float16, dynamic, int8"),
        ((0, 96), "float32", "from 1 on. Received: .0, 96"),
        (SIZE, "int8", "Expected images to calibrate.*Received none"),
    ],
)
def test_a_wrong_argument_is_named(size, quantisation, message):
    with pytest.raises(ValueError, match=message):
        litert.export_litert(None, "unused", size, quantisation)
