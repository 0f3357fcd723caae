"""What programs share, called directly on generated shapes."""

import dataclasses
import json
import math
import os
import sys

import numpy as np
import pytest
import tensorflow as tf
from absl.testing import flagsaver

from keras_fair import config as config_lib
from keras_fair import config_files
from keras_fair.bin import experiments
from keras_fair.data import synthetic
from keras_fair.data.coco import CocoDataset
from keras_fair.evaluation import scoring
from tests.models import tiny


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Return small images, in batches of two."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(
        str(folder), num_train=1, num_val=3, image_sizes=((96, 96), (64, 96))
    )
    loaded = config_files.load("mask_rcnn_tiny_synthetic")
    data = dataclasses.replace(
        loaded.data,
        root=str(folder),
        short_sides=(64,),
        max_long_side=96,
        canvases=((64, 96),),
    )
    train = dataclasses.replace(loaded.train, batch_size=2)
    return dataclasses.replace(loaded, data=data, train=train)


def test_test_time_augmentation_scores_every_image(experiment, monkeypatch):
    monkeypatch.setattr(experiments, "IMAGES_OF_PART", 2)  # and then one
    dataset = CocoDataset.from_config(experiment.data, "val")

    report, evaluator = experiments.evaluate_augmented(
        # Scores of random weights stay near the prior.
        tiny.retinanet(prior=0.2),
        dataset,
        experiment,
        short_sides=[64, 96],
        flip=True,
    )

    assert report["num_images"] == 3
    assert evaluator.results()


def test_an_image_without_canvas_is_found_before_the_work(experiment):
    data = dataclasses.replace(experiment.data, canvases=((64, 64),))
    experiment = dataclasses.replace(experiment, data=data)
    dataset = CocoDataset.from_config(data, "val")

    with pytest.raises(ValueError, match="fit none of the canvases"):
        experiments.evaluate_augmented(
            tiny.retinanet(), dataset, experiment, short_sides=[64], flip=True
        )


def evaluate_at_once(model, dataset, experiment):
    return experiments.evaluate_augmented(
        model, dataset, experiment, short_sides=[64], flip=False
    )


@pytest.mark.parametrize(
    "evaluate", [experiments.evaluate_coco, evaluate_at_once]
)
def test_an_evaluation_resizes_as_the_model_says(experiment, evaluate):
    dataset = CocoDataset.from_config(experiment.data, "val")
    data = dataclasses.replace(experiment.data, resize="ignored")
    experiment = dataclasses.replace(experiment, data=data)

    def model(rule):
        return tiny.retinanet(pixels=config_lib.PixelConfig(resize=rule))

    report, _ = evaluate(model("floor"), dataset, experiment)

    assert report["num_images"] == 3
    with pytest.raises(ValueError, match="Expected resize as one of"):
        evaluate(model("unknown"), dataset, experiment)


def test_a_trained_model_keeps_the_rule_of_resizing(experiment):
    dataset = CocoDataset.from_config(experiment.data, "val")
    data = dataclasses.replace(experiment.data, resize="antialias")
    config = experiments.complete_model_config(tiny.config(), dataset, data)
    assert config.pixels.resize == "antialias"


def test_masks_are_evaluated_by_the_models_rule(experiment):
    dataset = CocoDataset.from_config(experiment.data, "val")
    found = {}
    for paste in ("sampled", "integer"):
        model = tiny.mask_rcnn(score_threshold=0.0, paste=paste)
        _, evaluator = experiments.evaluate_coco(model, dataset, experiment)
        found[paste] = evaluator.results("segm")

    sampled, integer = found["sampled"], found["integer"]
    assert [r["score"] for r in sampled] == [r["score"] for r in integer]
    assert sampled != integer


@pytest.fixture
def with_keypoints(experiment, tmp_path):
    """Return the experiment with keypoints in three corners of each box."""
    data = experiment.data
    with open(os.path.join(data.root, data.val_annotations)) as file:
        content = json.load(file)
    for category in content["categories"]:
        category["keypoints"] = ["left_top", "right_top", "corner"]
    for each in content["annotations"]:
        x, y, width, height = each["bbox"]
        x2, y2 = x + width - 1, y + height - 1
        each["keypoints"] = [x, y, 2, x2, y, 2, x2, y2, 2]
    path = tmp_path / "keypoints.json"
    path.write_text(json.dumps(content))
    data = dataclasses.replace(
        data,
        val_annotations=str(path),
        with_masks=False,
        with_keypoints=True,
        keypoint_sigmas=(0.1, 0.1, 0.1),
    )
    return dataclasses.replace(experiment, data=data)


def test_keypoints_are_evaluated_and_their_names_known(with_keypoints):
    dataset = CocoDataset.from_config(with_keypoints.data, "val")
    config = experiments.complete_model_config(
        tiny.keypoint_rcnn_config(), dataset, with_keypoints.data
    )
    assert config.keypoint_names == ("left_top", "right_top", "corner")

    report, evaluator = experiments.evaluate_coco(
        tiny.keypoint_rcnn(), dataset, with_keypoints
    )

    assert report["keypoints"]["iou_type"] == "keypoints"
    assert not math.isnan(report["keypoints"]["AP"])
    assert len(evaluator.results("keypoints")) == len(evaluator.results())


def test_classes_without_masks_are_evaluated_apart(experiment):
    data = dataclasses.replace(
        experiment.data, mask_classes=("circle", "triangle")
    )
    experiment = dataclasses.replace(experiment, data=data)
    report, _ = experiments.evaluate_coco(
        tiny.mask_rcnn(score_threshold=0.0),
        CocoDataset.from_config(data, "val"),
        experiment,
    )
    for part in (report, report["masks"]):
        assert list(part["subsets"]) == list(scoring.MASK_SUBSETS)
        without = part["subsets"]["classes without"]
        np.testing.assert_equal(without["AP"], part["per_class"]["square"])


@pytest.mark.parametrize("make", [tiny.rpn, tiny.mask_proposals])
def test_proposals_are_scored_by_recall(experiment, make):
    dataset = CocoDataset.from_config(experiment.data, "val")

    report, evaluator = experiments.evaluate_coco(make(), dataset, experiment)

    assert set(scoring.PROPOSAL_METRICS) <= set(report)
    assert 0.0 <= report["AR100"] <= 1.0
    has_masks = make is tiny.mask_proposals
    assert ("masks" in report) == has_masks
    text = scoring.format_report(report)
    assert text.startswith("Recall of proposals: bbox, 3 images")
    assert ("Recall of proposals: segm, 3 images" in text) == has_masks
    assert "AP" not in text


def test_proposals_are_of_objects_whatever_the_classes(experiment):
    dataset = CocoDataset.from_config(experiment.data, "val")
    assert len(dataset.class_names) == 3

    config = experiments.complete_model_config(
        tiny.rpn_config(), dataset, experiment.data
    )

    assert (config.class_names, config.category_ids) == (("object",), (1,))
    assert config.pixels.short_side == 64
    # And another data set may have other classes.
    assert experiments.data_classes(config) == ()


def test_a_detector_of_other_classes_is_refused(experiment):
    dataset = CocoDataset.from_config(experiment.data, "val")
    with pytest.raises(ValueError, match="--set model.num_classes=3"):
        experiments.complete_model_config(
            tiny.config(num_classes=4), dataset, experiment.data
        )
    config = experiments.complete_model_config(
        tiny.config(), dataset, experiment.data
    )
    assert experiments.data_classes(config) == tuple(dataset.class_names)


def start(monkeypatch, error, *arguments: str):
    """Start a program that raises the error; return how it ended."""

    def main(_):
        raise error

    monkeypatch.setattr(sys, "argv", ["program", *arguments])
    with flagsaver.flagsaver(), pytest.raises(BaseException) as ended:
        experiments.run(main)
    return ended.value


@pytest.mark.parametrize(
    "error",
    [
        ValueError("Expected one."),
        FileNotFoundError("No file one."),
        RuntimeError("Could not write one."),
        FloatingPointError("Not finite: one."),
        tf.errors.InvalidArgumentError(None, None, "Corrupt image file one."),
    ],
)
def test_an_error_of_the_user_ends_with_its_message(monkeypatch, error):
    ended = start(monkeypatch, error)
    assert isinstance(ended, SystemExit)
    assert ended.code.startswith(str(error)) and "--verbosity=1" in ended.code
    assert start(monkeypatch, error, "--verbosity=1") is error


def test_a_fault_of_the_program_has_its_trace(monkeypatch):
    error = AttributeError("no such thing")
    assert start(monkeypatch, error) is error


def test_an_interrupted_program_says_so(monkeypatch, capsys):
    ended = start(monkeypatch, KeyboardInterrupt())
    assert isinstance(ended, SystemExit) and ended.code == 130
    assert capsys.readouterr().err == "Interrupted.\n"
