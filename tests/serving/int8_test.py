"""Bytes instead of floats, and what they cost."""

import itertools

import numpy as np
import pytest

from keras_fair.evaluation import coco_eval
from keras_fair.serving import int8, litert
from tests.models import tiny


def test_without_the_quantizer_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(int8, "quantizer", None)
    with pytest.raises(ImportError, match="pip install 'keras-fair.int8.'"):
        int8.quantise(b"", [], "serving_default")


@pytest.fixture(scope="module")
def images() -> dict:
    """Twelve images, their objects as COCO's annotations."""
    x, y = tiny.batch(size=12)
    annotations = []
    for row, column in np.argwhere(y["labels"] >= 0).tolist():
        left, top, right, bottom = y["boxes"][row, column].tolist()
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": row,
                "category_id": int(y["labels"][row, column]),
                "bbox": [left, top, right - left, bottom - top],
                "area": (right - left) * (bottom - top),
                "iscrowd": 0,
            }
        )
    truth = {
        "images": [
            {"id": row, "height": height, "width": width}
            for row, (height, width) in enumerate(x["image_shape"].tolist())
        ],
        "categories": [{"id": n, "name": f"{n}"} for n in range(3)],
        "annotations": annotations,
    }
    return {"x": x, "y": y, "truth": truth}


def average_precision(path, images: dict) -> float:
    """Return the COCO AP of a LiteRT file, 0 to 100."""
    run = litert.Interpreter(str(path)).get_signature_runner(litert.SIGNATURE)
    evaluator = coco_eval.CocoEvaluator(images["truth"], [0, 1, 2])
    for row in range(12):
        x = {k: values[row : row + 1] for k, values in images["x"].items()}
        shape = x["image_shape"]
        evaluator.update(run(**x), [row], shape, shape)
    return 100 * evaluator.summarize()["AP"]


@pytest.mark.slow
def test_bytes_cost_less_than_two_points_of_ap(images, tmp_path, capsys):
    pytest.importorskip("ai_edge_quantizer")
    import keras

    model = tiny.retinanet(weight_decay=0.0)
    model.compile(optimizer=keras.optimizers.Adam(5e-3))
    for rate in (5e-3, 1e-3):
        model.optimizer.learning_rate = rate
        steps = ((images["x"], images["y"]) for _ in itertools.count())
        model.fit(steps, steps_per_epoch=200, epochs=1, verbose=0)
    found = {}
    for name in ("float32", "int8"):
        path = str(tmp_path / name)
        litert.export_litert(
            model, path, (64, 96), name, list(images["x"]["images"])
        )
        found[name] = average_precision(path, images)
    with capsys.disabled():
        print(f"\nAP {found['float32']:.1f} in float32, {found['int8']:.1f}")
    assert found["float32"] > 70
    assert found["int8"] > found["float32"] - 2
