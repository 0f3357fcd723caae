"""The table of timings, on generated shapes."""

import math
import os

import pytest

from keras_fair import models
from keras_fair.bin import latency
from keras_fair.config import BackboneConfig, PixelConfig
from keras_fair.data import synthetic
from keras_fair.serving import litert
from tests.bin import programs_test
from tests.models import tiny

CHANGES = {
    "backbone": BackboneConfig(name="resnet18", stem_filters=8),
    "pixels": PixelConfig(short_side=96, max_long_side=96),
}


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The annotations and the folder of three images."""
    folder = str(tmp_path_factory.mktemp("data") / "shapes")
    synthetic.write_shapes(
        folder, num_train=1, num_val=3, image_sizes=((128, 128),)
    )
    return f"{folder}/annotations/instances_val.json", f"{folder}/val"


@pytest.mark.slow
def test_each_artefact_gets_a_row(shapes, tmp_path):
    model = models.build_model(tiny.config(**CHANGES))
    model.save_to_preset(str(tmp_path / "model"))
    path = str(tmp_path / "detector.tflite")
    litert.export_litert(model, path, (96, 96))
    output = programs_test.run(
        "benchmark",
        f"--model={tmp_path / 'model'}",
        f"--annotations={shapes[0]}",
        f"--images={shapes[1]}",
        "--artifact=graph",
        f"--artifact={path}",
    )
    # Among warnings of TensorFlow's.
    rows = [line for line in output.splitlines() if line.strip()]
    assert any(row.split()[:2] == ["median", "ms"] for row in rows)
    assert "graph: 3 of 3 images" in output
    graph, file = (
        next(row for row in rows if row.split()[0] == name)
        for name in ("graph", path)
    )
    for row in (graph, file):
        median, p95, first, peak, size, _ = map(float, row.split()[1:])
        assert 0 < median <= p95 and first > 0 and peak > 100
        assert size > 0
    assert float(file.split()[5]) == pytest.approx(
        os.path.getsize(path) / 1e6, abs=1e-3
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("rpn", ["box AR100"]),
        ("mask_proposals", ["box AR100", "mask AR100"]),
        ("faster_rcnn", ["box AP"]),
        ("mask_rcnn", ["box AP", "mask AP"]),
    ],
)
def test_each_model_gets_the_scores_of_its_kind(
    shapes, tmp_path, capfd, name, columns
):
    config = getattr(tiny, f"{name}_config")(**CHANGES)
    models.build_model(config).save_to_preset(str(tmp_path))

    row = latency.measure(("eager", str(tmp_path), *shapes, 2))

    assert list(row)[5:] == columns
    assert all(math.isfinite(value) for value in row.values())
    assert capfd.readouterr().err.endswith("eager: 2 of 2 images\n")
