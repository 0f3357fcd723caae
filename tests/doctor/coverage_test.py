"""Anchors of a config against all anchors there are, one by one."""

import dataclasses

import numpy as np
import pytest
from keras import ops

from keras_fair.config import (
    DataConfig,
    Experiment,
    FasterRCNNConfig,
    MaskProposalsConfig,
    MaskRCNNConfig,
    ProposalConfig,
    RetinaNetConfig,
    RPNConfig,
    SourceConfig,
)
from keras_fair.doctor import coverage, examination
from keras_fair.models import pyramid_anchors
from keras_fair.ops import boxes as box_ops

CANVAS = (96, 160)
DATA = DataConfig(
    short_sides=(40,), max_long_side=60, canvases=((64, 64),), max_objects=2
)
MODELS = {
    "retinanet": RetinaNetConfig(),
    "offset": RetinaNetConfig(anchor_offset=0.5),
    "rpn": RPNConfig(),
    "faster_rcnn": FasterRCNNConfig(
        proposals=ProposalConfig(anchor_rounding="box")
    ),
    "detectron": FasterRCNNConfig(
        proposals=ProposalConfig(anchor_rounding="cell", anchor_offset=0.5)
    ),
}


def every_anchor(model):
    """Return all anchors of the canvas, float32 [A, 4]."""
    config = getattr(model, "proposals", model)
    levels = range(model.pyramid.min_level, model.pyramid.max_level + 1)
    features = {
        f"P{n}": np.zeros((1, *(-(-side // 2**n) for side in CANVAS), 1))
        for n in levels
    }
    found = pyramid_anchors.anchor_boxes(features, config).values()
    return np.concatenate([np.asarray(each) for each in found])


@pytest.mark.parametrize("name", MODELS)
def test_the_best_iou_is_the_best_of_all_anchors(name):
    rng = np.random.default_rng(0)
    start = rng.uniform(0, 0.8, (60, 2)) * CANVAS[::-1]
    sides = rng.uniform(0.02, 1, (60, 2)) * (CANVAS[::-1] - start)
    boxes = np.concatenate([start, start + sides], -1)
    canvases = np.full((60, 2), CANVAS)
    found = coverage.best_iou(boxes, canvases, MODELS[name])
    anchors = every_anchor(MODELS[name])
    iou = box_ops.pairwise_iou(boxes.astype("float32"), anchors)
    expected = ops.convert_to_numpy(ops.max(iou, -1))
    # float32 against float64.
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_model_without_anchors_has_no_coverage():
    boxes = np.array([[0.0, 0, 8, 8]])
    canvases = np.array([CANVAS])
    assert coverage.best_iou(boxes, canvases, MaskProposalsConfig()) is None


def check(examined, model=None, **changes):
    experiment = Experiment(
        model=model or RetinaNetConfig(num_classes=3),
        data=dataclasses.replace(DATA, **changes),
    )
    coverage.check_together([examined], experiment)
    rows = coverage.check(examined.survey, experiment, examined.findings)
    return rows, examined.findings.counts


def test_each_class_has_its_objects_on_levels(examined):
    model = MaskRCNNConfig(num_classes=3)
    rows, counts = check(examined, model)
    assert [(row.name, row.objects) for row in rows] == [
        ("all", 5),
        ("cat", 2),
        ("dog", 2),
        ("bird", 1),
    ]
    # Far below 112 pixels; the regions are pooled from P2 to P5.
    assert rows[0].levels == {"P2": 5, "P3": 0, "P4": 0, "P5": 0}
    assert not {"config-classes", "config-canvas"} & set(counts)


def test_a_box_of_224_network_pixels_is_on_p4(examined):
    large = {
        "short_sides": (448,),  # from 40: 11.2 times
        "max_long_side": 999,
        "canvases": ((448, 672),),
    }
    rows, _ = check(examined, MaskRCNNConfig(num_classes=3), **large)
    # 20 x 20 pixels become 224 x 224; the bird of 20 x 30 is larger.
    examined.survey.objects[0].box = (10, 5, 30, 25)
    rows, _ = check(examined, MaskRCNNConfig(num_classes=3), **large)
    assert rows[0].levels["P4"] == 3


def test_small_anchors_cover_small_boxes(examined):
    rows, counts = check(examined)
    assert counts["anchor-missed"] == 5 * (1 - rows[0].covered) > 0
    small = RetinaNetConfig(
        num_classes=3,
        anchor_sizes=tuple((8.0 * 2**n, 12.0 * 2**n) for n in range(5)),
    )
    assert check(examined, small)[0][0].covered > rows[0].covered


def test_another_number_of_classes_is_an_error(examined):
    assert check(examined, RetinaNetConfig())[1]["config-classes"] == 1


def test_proposals_have_any_number_of_classes(examined):
    assert not check(examined, RPNConfig())[1]["config-classes"]


def test_an_image_that_fits_no_canvas_is_an_error(examined):
    _, counts = check(examined, canvases=((32, 64),))
    assert counts["config-canvas"] == 5


def test_too_many_objects_are_an_error(examined):
    assert not check(examined)[1]["config-objects"]
    assert check(examined, max_objects=1)[1]["config-objects"] == 1


def test_masks_to_train_have_to_be_there(examined):
    assert not check(examined, with_masks=True)[1]["config-masks"]
    for each in examined.survey.objects:
        each.has_mask = False
    assert check(examined, with_masks=True)[1]["config-masks"] == 1


def two_sources(examined, files, masks: bool):
    """Return the good data set and one of other classes, without masks."""
    for category in files.content["categories"]:
        category["name"] += "fish"
    for each in files.content["annotations"]:
        each["segmentation"] = None
    other = examination.examine(*files.write())
    other.source = dataclasses.replace(
        other.source, class_map=(("catfish", "cat"), ("dogfish", "dog"))
    )
    examined.source = dataclasses.replace(examined.source, masks=masks)
    return [examined, other]


@pytest.mark.parametrize("masks", [True, False])
def test_sources_together_have_classes_and_masks(examined, files, masks):
    model = RetinaNetConfig(num_classes=4)  # the fourth is the birdfish
    data = dataclasses.replace(DATA, with_masks=True)
    united = two_sources(examined, files, masks)
    coverage.check_together(united, Experiment(model=model, data=data))
    for found in united:
        assert not found.findings.counts["config-classes"]
        assert found.findings.counts["config-masks"] == (not masks)


UNION = dataclasses.replace(DATA, train_sources=(SourceConfig(),))


def count_of_classes_fits(found, num_classes, data, split):
    model = RetinaNetConfig(num_classes=num_classes)
    experiment = Experiment(model=model, data=data)
    coverage.check_together([found], experiment, split)
    return not found.findings.counts["config-classes"]


def test_one_source_of_a_union_joins_its_classes(examined):
    examined.source = dataclasses.replace(
        examined.source, class_map=(("cat", "pet"), ("dog", "pet"))
    )
    assert count_of_classes_fits(examined, 2, UNION, "train")
    assert not count_of_classes_fits(examined, 2, DATA, "train")


def test_a_union_s_evaluation_may_lack_classes(examined):
    assert count_of_classes_fits(examined, 4, UNION, "val")
    assert not count_of_classes_fits(examined, 4, UNION, "train")


@pytest.mark.parametrize("data, count", [(DATA, 4), (UNION, 2)])
def test_evaluation_has_no_class_that_the_training_lacks(examined, data, count):
    assert not count_of_classes_fits(examined, count, data, "val")


def test_a_class_map_of_no_class_is_an_error(examined):
    examined.source = dataclasses.replace(
        examined.source, class_map=(("cow", "cattle"),)
    )
    assert check(examined)[1]["source-refused"] == 1


def test_a_data_set_without_objects_is_covered_by_nothing(examined):
    examined.survey.objects.clear()
    rows, _ = check(examined)
    assert rows[0].objects == 0
    assert rows[0].covered is None
