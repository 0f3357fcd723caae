"""Quantised LiteRT files of the models with two stages, and of proposals.

`litert_test` has RetinaNet's. The models are untrained, but their classes are
drawn so that they are sure of something.
"""

import json

import pytest

from keras_fair.serving import litert
from tests.serving import litert_test, parity_table_test

MODELS = ("faster_rcnn", "mask_rcnn", "mask_x_rcnn", "mask_proposals")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("quantisation", ["float16", "dynamic", "int8"])
def test_a_quantised_file_finds_what_the_model_is_sure_of(
    tmp_path, capsys, name, quantisation
):
    if quantisation == "int8":
        pytest.importorskip("ai_edge_quantizer")
    path = tmp_path / "a.tflite"
    images = [x["images"][0] for x in litert_test.batch()]

    litert.export_litert(
        parity_table_test.model_of(name),
        str(path),
        litert_test.SIZE,
        quantisation,
        images,
    )

    certified = json.loads((tmp_path / "a.tflite.parity.json").read_text())
    with capsys.disabled():
        sure, found = certified["sure_objects"], certified["sure_objects_found"]
        print(
            f"\n{name}, {quantisation}: {found} of {sure} found, mean IoU "
            f"{certified['sure_objects_mean_iou']}"
        )
    assert certified["sure_objects"] >= 2
    names = litert_test.operators(path)
    assert "CONV_2D" in names
    assert not any("custom" in each or "FLEX" in each for each in names)
