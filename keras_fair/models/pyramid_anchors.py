"""The anchors of a model's pyramid, as its config describes them.

FPN, section 4.1; RetinaNet, section 4. The config is a RetinaNetConfig or a
ProposalConfig, whose anchor_ fields are alike.
"""

import functools

from keras import ops

from keras_fair.ops import anchors


def anchor_boxes(features: dict, config) -> dict:
    """Return each level's anchors.

    Args:
        features: "P3" ... of [B, H, W, C].
        config: with anchor_sizes, anchor_ratios and the other anchor_ fields.

    Returns:
        by level float32 [A, 4], xyxy pixels, in the order y, x, anchor.
    """
    result = {}
    for name, sizes in zip(features, config.anchor_sizes, strict=True):
        grid = anchors.pyramid_anchors(
            [ops.shape(features[name])[1:3]],
            [_stride(features, name, config.anchor_stride)],
            [sizes],
            config.anchor_ratios,
            offset=config.anchor_offset,
            cell=_cell(name, config.anchor_rounding),
        )
        result[name] = ops.convert_to_tensor(grid)
    return result


def _cell(name: str, rounding: str):
    """Return the function that makes the anchors of a level's cell."""
    if rounding == "cell":
        stride = 2 ** int(name[1:])
        return functools.partial(anchors.quantized_cell_anchors, stride=stride)
    return anchors.rounded_cell_anchors if rounding else anchors.cell_anchors


def _stride(features: dict, name: str, rule: str):
    """Return a level's stride in pixels, vertical and horizontal.

    "fitted" is torchvision's: the canvas divided by the level's cells,
    rounded down. Where a coarse level was rounded up, that is less than 2^n.
    """
    if rule == "level":
        return 2 ** int(name[1:])
    finest = next(iter(features))
    sides = zip(ops.shape(features[finest])[1:3], ops.shape(features[name])[1:])
    return tuple(2 ** int(finest[1:]) * all_ // own for all_, own in sides)


def check_levels(pyramid, config) -> None:
    """Check that the config has anchor sizes for every pyramid level."""
    if config.anchor_stride not in ("level", "fitted"):
        raise ValueError(
            'Expected anchor_stride "level" or "fitted". Received: '
            f"{config.anchor_stride!r}."
        )
    if config.anchor_rounding not in ("", "box", "cell"):
        raise ValueError(
            'Expected anchor_rounding "", "box" or "cell". Received: '
            f"{config.anchor_rounding!r}."
        )
    levels = range(pyramid.min_level, pyramid.max_level + 1)
    if len(config.anchor_sizes) != len(levels):
        names = ", ".join(f"P{level}" for level in levels)
        raise ValueError(
            f"Expected anchor_sizes for each of {names}. Received: "
            f"{len(config.anchor_sizes)} tuples of sizes."
        )
