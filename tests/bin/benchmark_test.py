"""The table of timings, on generated shapes."""

import os

import pytest

from keras_fair import models
from keras_fair.config import BackboneConfig, PixelConfig
from keras_fair.data import synthetic
from keras_fair.serving import litert
from tests.bin import programs_test
from tests.models import tiny


@pytest.mark.slow
def test_each_artefact_gets_a_row(tmp_path):
    shapes = str(tmp_path / "shapes")
    synthetic.write_shapes(
        shapes, num_train=1, num_val=3, image_sizes=((128, 128),)
    )
    model = models.build_model(
        tiny.config(
            backbone=BackboneConfig(name="resnet18", stem_filters=8),
            pixels=PixelConfig(short_side=96, max_long_side=96),
        )
    )
    model.save_to_preset(str(tmp_path / "model"))
    path = str(tmp_path / "detector.tflite")
    litert.export_litert(model, path, (96, 96))
    output = programs_test.run(
        "benchmark",
        f"--model={tmp_path / 'model'}",
        f"--annotations={shapes}/annotations/instances_val.json",
        f"--images={shapes}/val",
        "--artifact=graph",
        f"--artifact={path}",
    )
    # Among warnings of TensorFlow's.
    rows = [line for line in output.splitlines() if line.strip()]
    assert any(row.split()[:2] == ["median", "ms"] for row in rows)
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
