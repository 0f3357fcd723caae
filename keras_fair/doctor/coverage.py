"""What a config makes of the boxes: their anchors and pyramid levels.

N boxes, A anchors of one cell.
"""

import collections
from typing import NamedTuple

import numpy as np

from keras_fair.config import DataConfig, Experiment, ProposerConfig
from keras_fair.data import annotations as checks
from keras_fair.data import datasets, sizes
from keras_fair.doctor import boxes as box_checks
from keras_fair.doctor import examination
from keras_fair.doctor import survey as survey_lib
from keras_fair.models import pyramid_anchors
from keras_fair.ops import roi_align

COVERED = 0.5  # IoU of a box with its best anchor
CHUNK = 65_536  # boxes that are compared at a time


class Coverage(NamedTuple):
    """The boxes of one class, or of all."""

    name: str
    objects: int
    covered: float | None  # part with an anchor; None: the model has none
    levels: dict[str, int]  # objects by level, FPN's Eq. 1


def check(
    survey: survey_lib.Survey, experiment: Experiment, findings
) -> list[Coverage]:
    """Compare a data set with a config; return all, then each class.

    Boxes are taken as an evaluation shows them: at the largest short side,
    without augmentation.

    Args:
        survey: the data set.
        experiment: the config.
        findings: faults are added to it.
    """
    _check_counts(survey, experiment.data, findings)
    objects = [o for o in survey.trained() if survey.images[o.image].shape]
    boxes, canvases = _resized(objects, survey, experiment.data)
    is_homeless = (canvases == 0).any(1)
    for row in np.flatnonzero(is_homeless).tolist():
        name = survey.images[objects[row].image].name
        findings.add("config-canvas", image=name)
    keep = np.flatnonzero(~is_homeless)
    objects = [objects[row] for row in keep.tolist()]
    boxes, canvases = boxes[keep], canvases[keep]
    iou = best_iou(boxes, canvases, experiment.model)
    for row in np.argsort(iou).tolist() if iou is not None else ():
        if iou[row] < COVERED:
            each = objects[row]
            findings.add(
                "anchor-missed",
                f"IoU {iou[row]:.2f}",
                image=survey.images[each.image].name,
                annotation=each.annotation.get("id"),
            )
    names, all_levels = levels_of(boxes, experiment.model)
    rows = collections.defaultdict(list)  # of each category
    for row, each in enumerate(objects):
        rows[each.category].append(row)
    everything = list(range(len(objects)))
    return [_summary("all", everything, iou, names, all_levels)] + [
        _summary(survey.categories[n], rows[n], iou, names, all_levels)
        for n in sorted(survey.categories)
    ]


def _summary(
    name: str, chosen: list[int], iou, names, all_levels: list[str]
) -> Coverage:
    is_covered = None
    if iou is not None and chosen:
        is_covered = float((iou[chosen] >= COVERED).mean())
    counts = collections.Counter(names[chosen].tolist())
    levels = {level: counts[level] for level in all_levels}
    return Coverage(name, len(chosen), is_covered, levels)


def check_together(
    examinations: list[examination.Examination],
    experiment: Experiment,
    split: str = "",
) -> None:
    """Compare the data sets that a config unites with its model.

    Args:
        examinations: of the data sets; faults are added to each.
        experiment: the config.
        split: "train" or "val", where the data sets are the config's own.
    """
    model, names, has_masks = experiment.model, [], False
    for found in examinations:
        own = found.survey.categories.values()
        others = dict(found.source.class_map)
        try:
            checks.check_class_map(others, own, found.annotations)
        except ValueError as error:
            found.findings.add("source-refused", str(error))
        names += [others.get(name, name) for name in own]
        has_masks |= found.source.masks and any(
            each.has_mask for each in found.survey.trained()
        )
    is_union = len(examinations) > 1 or (
        bool(split) and datasets.is_union(experiment.data)
    )
    count = len(set(names) if is_union else names)
    fits = isinstance(model, ProposerConfig) or model.num_classes == count
    if split == "val" and is_union:  # which has the training's classes
        fits |= count < model.num_classes
    for found in examinations:
        if not fits:
            detail = f"{model.num_classes} classes, the data {count}"
            found.findings.add("config-classes", detail)
        if experiment.data.with_masks and not has_masks:
            found.findings.add("config-masks")


def _check_counts(survey, data: DataConfig, findings) -> None:
    images = [each.image for each in survey.trained()]
    numbers, counts = np.unique(np.array(images, np.int64), return_counts=True)
    for number in numbers[counts > data.max_objects].tolist():
        name = survey.images[number].name
        detail = f"{counts[numbers == number].item()} objects"
        findings.add("config-objects", detail, image=name)


def _resized(objects: list, survey, data: DataConfig):
    """Return float [N, 4] boxes in network pixels and int [N, 2] canvases.

    The canvas of an image that fits none is zero.
    """
    if not objects:
        return np.zeros((0, 4)), np.zeros((0, 2), np.int64)
    shapes = np.array([survey.images[each.image].shape for each in objects])
    resized = sizes.resized_shapes(
        shapes, max(data.short_sides), data.max_long_side, data.resize
    )
    scale = (resized / shapes)[:, [1, 0, 1, 0]]
    boxes = np.array([each.box for each in objects]) * scale
    canvas = sizes.choose_canvas(resized, data.canvases)
    canvases = np.array([*data.canvases, (0, 0)])[canvas]
    return boxes, canvases


def best_iou(boxes, canvases, model):
    """Return the IoU of each box with its best anchor.

    Of all anchors of one shape and level, the one whose centre is nearest
    overlaps a box most; so only that one is compared. Every level has its
    own stride, 2^n, whatever `anchor_stride` says.

    Args:
        boxes: float [N, 4], xyxy network pixels.
        canvases: int [N, 2], height and width of their images' canvases.
        model: the config.

    Returns:
        float [N], or None where the model has no anchors.
    """
    config = getattr(model, "proposals", model)
    if not hasattr(config, "anchor_sizes"):
        return None
    levels = range(model.pyramid.min_level, model.pyramid.max_level + 1)
    # One cell of each level; its anchors have the same centre.
    cells = pyramid_anchors.anchor_boxes(
        {f"P{n}": np.zeros((1, 1, 1, 1)) for n in levels}, config
    )
    best = np.zeros(len(boxes))
    for start in range(0, len(boxes), CHUNK):
        part = slice(start, start + CHUNK)
        for level, cell in zip(levels, cells.values()):
            found = _level_iou(
                boxes[part],
                canvases[part],
                np.asarray(cell),
                2**level,
                config.anchor_offset,
            )
            best[part] = np.maximum(best[part], found)
    return best


def _level_iou(boxes, canvases, cell, stride: int, offset: float):
    """Return the best IoU with the anchors of one level, float [N]."""
    sides = cell[:, 2:] - cell[:, :2]  # [A, 2]
    last = -(-canvases[:, ::-1] // stride) - 1  # [N, 2], x and y
    middle = (boxes[:, :2] + boxes[:, 2:]) / 2
    index = np.clip(np.round(middle / stride - offset), 0, last)
    centres = ((index + offset) * stride)[:, None]  # [N, 1, 2]
    anchors = np.concatenate([centres - sides / 2, centres + sides / 2], -1)
    repeated = np.repeat(boxes, len(cell), 0)
    iou = box_checks.overlap(repeated, anchors.reshape(-1, 4))
    return iou.reshape(len(boxes), len(cell)).max(1)


def levels_of(boxes, model):
    """Return the name of each box's level by FPN's Eq. 1, and of all levels.

    Args:
        boxes: float [N, 4], xyxy network pixels.
        model: the config; where it pools no regions, its levels are the
            pyramid's.

    Returns:
        object [N], such as "P3", and the list of names, finest first.
    """
    pyramid = model.pyramid
    coarsest = getattr(model, "roi_max_level", pyramid.max_level)
    levels = roi_align.assign_levels(
        np.asarray(boxes, np.float32)[None], pyramid.min_level, coarsest
    )
    names = [f"P{level}" for level in np.asarray(levels)[0].tolist()]
    all_names = [f"P{n}" for n in range(pyramid.min_level, coarsest + 1)]
    return np.array(names, object), all_names
