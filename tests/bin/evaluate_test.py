import json
import os
import subprocess
import sys

import numpy as np
import pytest
from absl import app
from absl.testing import flagsaver

from keras_fair.bin import evaluate
from keras_fair.checkpoints import coco_categories
from keras_fair.config import BackboneConfig, DataConfig
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.models import build_model
from tests import shared
from tests.models import tiny


@pytest.fixture(autouse=True)
def known_flags():
    evaluate.flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield


def test_short_sides_are_numbers():
    evaluate.flags.FLAGS.short_sides = ["400", "500"]

    assert evaluate.sides(DataConfig()) == [400, 500]


def test_the_default_is_the_size_of_plain_evaluation():
    assert evaluate.sides(DataConfig(short_sides=(640, 800))) == [800]


def test_a_short_side_that_is_no_number_is_an_error():
    evaluate.flags.FLAGS.short_sides = ["400", "big"]

    with pytest.raises(app.UsageError, match="Received: 400,big"):
        evaluate.sides(DataConfig())


def run(*arguments: str) -> str:
    """Run the program in a process of its own and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "keras_fair.bin.evaluate", *arguments],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.slow
def test_real_images_are_evaluated_in_several_views(tmp_path):
    config = tiny.mask_rcnn_config(
        num_classes=80,
        class_names=coco_categories.NAMES,
        category_ids=coco_categories.IDS,
        backbone=BackboneConfig(
            name="resnet18", stem_filters=8, norm="batch", frozen_stages=0
        ),
        score_threshold=0.0,  # of random weights
        max_detections=10,
    )
    build_model(config).save_to_preset(tmp_path / "model")

    output = run(
        "--config=mask_rcnn_r18_coco_tiny",
        f"--set=data.root={shared.coco_tiny()}",
        "--set=data.max_images=3",
        "--set=train.batch_size=2",
        f"--model={tmp_path / 'model'}",
        "--short_sides=64,96",
        "--flip",
        f"--output={tmp_path / 'found.json'}",
    )

    # Three images at two sizes, plain and mirrored, for boxes and for masks.
    assert "24/24" in output
    assert "COCO evaluation: bbox, 3 images" in output
    assert "COCO evaluation: segm, 3 images" in output
    records = json.loads((tmp_path / "found.json").read_text())
    assert len(records) == 3 * 10
    assert len({record["image_id"] for record in records}) == 3
    for record in records:
        assert set(record) == {"image_id", "category_id", "bbox", "score"}
    masks = json.loads((tmp_path / "found.segm.json").read_text())
    assert len(masks) == len(records)
    assert "segmentation" in masks[0] and "bbox" not in masks[0]
    for path in ("found.json", "found.segm.json"):
        assert f"Detections are in {tmp_path / path}." in output


def test_each_iou_type_has_a_file(tmp_path):
    evaluator = CocoEvaluator(
        {
            "images": [{"id": 1, "height": 32, "width": 64}],
            "annotations": [],
            "categories": [{"id": 1, "name": "cat"}],
        }
    )
    found = {
        "boxes": np.float32([[[4, 4, 20, 20]]]),
        "scores": np.float32([[0.5]]),
        "labels": np.int32([[0]]),
        "num_detections": np.int32([1]),
        "masks": np.ones((1, 1, 4, 4), "float32"),
    }
    shape = np.array([[32, 64]])
    evaluator.update(found, np.array([1]), shape, shape)

    paths = evaluate.save(evaluator, str(tmp_path / "found.json"))

    names = [os.path.basename(path) for path in paths]
    assert names == ["found.json", "found.segm.json"]
    (box,), (mask,) = (
        json.loads((tmp_path / name).read_text()) for name in names
    )
    assert box["bbox"] == [4, 4, 16, 16]
    assert mask["segmentation"]["size"] == [32, 64]
