"""The places that propose masks, as a model's config describes them.

FPN, section 6 and appendix A. B images, M ground-truth slots, A places of a
head and level.
"""

from typing import NamedTuple

from keras import ops

from keras_fair import contract
from keras_fair.config import MaskProposalsConfig
from keras_fair.ops import anchors, boxes, matching
from keras_fair.ops import mask_proposals as place_ops


class Group(NamedTuple):
    """The places of one level as one head sees them."""

    name: str  # "5x5_P2"
    head: int
    level: str
    stride: int  # pixels
    object_side: float  # pixels; the canonical scale
    size_range: tuple[float, float]  # of objects, pixels


def groups(config: MaskProposalsConfig) -> list[Group]:
    """Return every head on every level. FPN, figure 4 and appendix A.

    Raises:
        ValueError: not one side of objects per head, or equal ones.
    """
    if len(config.windows) != len(config.object_sides):
        raise ValueError(
            "Expected object_sides for each of windows. Received: "
            f"{config.object_sides} and {config.windows}."
        )
    levels = range(config.pyramid.min_level, config.pyramid.max_level + 1)
    places = [
        (head, level, side * 2**level)
        for head, side in enumerate(config.object_sides)
        for level in levels
    ]
    sides = [side for _, _, side in places]
    if len(set(sides)) < len(sides):
        raise ValueError(
            "Expected objects of another size for each head and level. "
            f"Received: object_sides={config.object_sides}, which on P"
            f"{levels[0]} to P{levels[-1]} are {sides} pixels."
        )
    return [
        Group(
            f"{config.windows[head]}x{config.windows[head]}_P{level}",
            head,
            f"P{level}",
            2**level,
            side,
            size_range,
        )
        for (head, level, side), size_range in zip(
            places, place_ops.size_ranges(sides), strict=True
        )
    ]


def region_boxes(features: dict, group: Group, padding: float):
    """Return what the mask of each place covers.

    Args:
        features: "P2" ... of [B, H, W, C].
        group: the head and level.
        padding: by which a region is larger than the group's objects.

    Returns:
        float32 [A, 4], xyxy pixels, in the order y, x.
    """
    grid = anchors.pyramid_anchors(
        [ops.shape(features[group.level])[1:3]],
        [group.stride],
        [(group.object_side * (1.0 + padding),)],
        (1.0,),
        offset=0.5,
    )
    return ops.convert_to_tensor(grid)


def is_inside(regions, group: Group, image_shape):
    """Tell which cells begin in the image's valid part.

    The cell that holds an object's centre always does.

    Args:
        regions: of `region_boxes`.
        group: the head and level.
        image_shape: int32 [B, 2].

    Returns:
        bool [B, A].
    """
    limit = ops.cast(image_shape, "float32") + 0.5 * group.stride
    centers = _centers(regions)
    down = centers[:, 1] < limit[:, :1]
    return ops.logical_and(down, centers[:, 0] < limit[:, 1:])


def label_group(group: Group, regions, inside, y):
    """Return the object that each place predicts, and whether it has one.

    Args:
        group: the head and level.
        regions, inside: of `region_boxes` and `is_inside`.
        y: ground truth, see contract.py.

    Returns:
        gt_index: int32 [B, A].
        label: int32 [B, A] of matching; IGNORE where the cell is outside.
    """
    gt_index, found = place_ops.label_places(
        _centers(regions),
        y["boxes"],
        y["labels"] != contract.PADDING_LABEL,
        size_range=group.size_range,
        reach=float(group.stride),
    )
    return gt_index, ops.where(inside, found, matching.IGNORE)


def _centers(regions):
    """Return the middle of each region: float32 [A, 2], x and y."""
    x1, y1, x2, y2 = boxes.corners(regions)
    return 0.5 * ops.stack([x1 + x2, y1 + y2], axis=-1)
