"""Names of torchvision's detectors and classifiers.

A table says, for each layer of ours, which module holds its weights: a
pattern of our layer's path, and a function of the numbers in it.
"""

from keras_fair.config import RetinaNetConfig

# COCO's category ids, 1 to 90, leave gaps; torchvision's detectors have a
# logit for each id and for 0, the background.
NUM_SLOTS = 91
UNUSED_SLOTS = (0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83)
COCO_SLOTS = tuple(s for s in range(NUM_SLOTS) if s not in UNUSED_SLOTS)

IGNORED = (
    r"(.*\.)?num_batches_tracked",  # a counter that no inference reads
)
IGNORED_BACKBONE = (*IGNORED, r"fc\.(weight|bias)")  # the classifier


def backbone_table(prefix: str = "") -> tuple:
    """Return the table of a ResNet.

    Args:
        prefix: "" in ImageNet's files, "backbone.body." within a detector.
    """

    def block(stage: int, index: int) -> str:
        return f"{prefix}layer{stage - 1}.{index}"

    return (
        (r"stem_conv", lambda: f"{prefix}conv1"),
        (r"stem_norm", lambda: f"{prefix}bn1"),
        (r"res(\d)_(\d+)_conv(\d)", lambda s, i, n: f"{block(s, i)}.conv{n}"),
        (r"res(\d)_(\d+)_norm(\d)", lambda s, i, n: f"{block(s, i)}.bn{n}"),
        (r"res(\d)_(\d+)_shortcut", lambda s, i: f"{block(s, i)}.downsample.0"),
        (
            r"res(\d)_(\d+)_shortcut_norm",
            lambda s, i: f"{block(s, i)}.downsample.1",
        ),
    )


def _pyramid_table(min_level: int) -> tuple:
    """Return the table of a pyramid; torchvision counts from its finest."""
    fpn = "backbone.fpn"

    def nth(level: int) -> int:
        return level - min_level

    return (
        (r"pyramid/lateral_(\d)", lambda n: f"{fpn}.inner_blocks.{nth(n)}.0"),
        (
            r"pyramid/lateral_norm_(\d)",
            lambda n: f"{fpn}.inner_blocks.{nth(n)}.1",
        ),
        (r"pyramid/output_(\d)", lambda n: f"{fpn}.layer_blocks.{nth(n)}.0"),
        (
            r"pyramid/output_norm_(\d)",
            lambda n: f"{fpn}.layer_blocks.{nth(n)}.1",
        ),
        (r"pyramid/coarse_(\d)", lambda n: f"{fpn}.extra_blocks.p{n}"),
    )


def table(config: RetinaNetConfig) -> tuple:
    """Return the table of retinanet_resnet50_fpn, or of its second version."""
    classes, boxes = "head.classification_head", "head.regression_head"
    return (
        *backbone_table("backbone.body."),
        *_pyramid_table(config.pyramid.min_level),
        (r"head/class_conv_(\d)", lambda n: f"{classes}.conv.{n}.0"),
        (r"head/class_norm_(\d)", lambda n: f"{classes}.conv.{n}.1"),
        (r"head/class_logits", lambda: f"{classes}.cls_logits"),
        (r"head/box_conv_(\d)", lambda n: f"{boxes}.conv.{n}.0"),
        (r"head/box_norm_(\d)", lambda n: f"{boxes}.conv.{n}.1"),
        (r"head/box_deltas", lambda: f"{boxes}.bbox_reg"),
    )


def class_slots(config: RetinaNetConfig) -> tuple[int, ...] | None:
    """Return which logits of theirs are ours, or None where all are.

    A model of COCO's 80 classes takes those of the categories that exist.
    """
    return COCO_SLOTS if config.num_classes == len(COCO_SLOTS) else None
