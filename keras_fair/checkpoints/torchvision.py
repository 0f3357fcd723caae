"""Names and rows of torchvision's detectors and classifiers.

A table says, for each layer of ours, which module holds its weights: a
pattern of our layer's path, and a function of the numbers in it.

A class is a "slot" there. The detectors of COCO have 91: background, and one
for each id from 1 to 90, of which ten are of no category.
"""

import re

from keras_fair.checkpoints import coco_categories, layouts
from keras_fair.config import FasterRCNNConfig, ModelConfig, RetinaNetConfig

VARIABLES = layouts.TORCH_VARIABLES
NUM_SLOTS = 91
UNUSED_SLOTS = coco_categories.UNUSED_IDS
COCO_SLOTS = coco_categories.IDS
# A logit that no softmax and no sigmoid sees; half precision holds it.
NEVER = -1e4

IGNORED = (
    r"(.*\.)?num_batches_tracked",  # a counter that no inference reads
)
IGNORED_BACKBONE = (*IGNORED, r"fc\.(weight|bias)")  # the classifier

CLASS_LOGITS = "roi_heads.box_predictor.cls_score"
BOX_DELTAS = "roi_heads.box_predictor.bbox_pred"
MASK_LOGITS = "roi_heads.mask_predictor.mask_fcn_logits"
RETINANET_LOGITS = "head.classification_head.cls_logits"
# The published files have the names of torchvision 0.12 and before.
OLDER_NAMES = (
    (
        r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d+)\.(weight|bias)",
        lambda m: f"{m[1]}.0.{m[2]}",
    ),
    (r"(rpn\.head\.conv)\.(weight|bias)", lambda m: f"{m[1]}.0.0.{m[2]}"),
    (
        r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)",
        lambda m: f"roi_heads.mask_head.{int(m[1]) - 1}.0.{m[2]}",
    ),
    # Each convolution was followed by its ReLU.
    (
        r"(head\.\w+_head\.conv)\.(\d)\.(weight|bias)",
        lambda m: f"{m[1]}.{int(m[2]) // 2}.0.{m[3]}",
    ),
)


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


def table(config: ModelConfig) -> tuple:
    """Return the table of torchvision's detector with that config."""
    shared = (
        *backbone_table("backbone.body."),
        *_pyramid_table(config.pyramid.min_level),
    )
    if isinstance(config, RetinaNetConfig):
        return (*shared, *_retinanet_table())
    if isinstance(config, FasterRCNNConfig):
        return (*shared, *_proposal_table(), *_roi_table(config))
    return (*shared, *_proposal_table())


def _retinanet_table() -> tuple:
    classes, boxes = "head.classification_head", "head.regression_head"
    return (
        (r"head/class_conv_(\d)", lambda n: f"{classes}.conv.{n}.0"),
        (r"head/class_norm_(\d)", lambda n: f"{classes}.conv.{n}.1"),
        (r"head/class_logits", lambda: RETINANET_LOGITS),
        (r"head/box_conv_(\d)", lambda n: f"{boxes}.conv.{n}.0"),
        (r"head/box_norm_(\d)", lambda n: f"{boxes}.conv.{n}.1"),
        (r"head/box_deltas", lambda: f"{boxes}.bbox_reg"),
    )


def _proposal_table() -> tuple:
    return (
        (r"rpn_head/convolution_(\d)", lambda n: f"rpn.head.conv.{n}.0"),
        (r"rpn_head/objectness", lambda: "rpn.head.cls_logits"),
        (r"rpn_head/box_deltas", lambda: "rpn.head.bbox_pred"),
    )


def _roi_table(config: FasterRCNNConfig) -> tuple:
    box, mask = "roi_heads.box_head", "roi_heads.mask_head"
    predictor = "roi_heads.mask_predictor"
    keypoint = "roi_heads.keypoint_head"
    return (
        (r"box_head/convolution_(\d)", lambda n: f"{box}.{n}.0"),
        (r"box_head/convolution_norm_(\d)", lambda n: f"{box}.{n}.1"),
        (r"box_head/dense_(\d)", lambda n: _dense(config, n)),
        (r"box_head/class_logits", lambda: CLASS_LOGITS),
        (r"box_head/box_deltas", lambda: BOX_DELTAS),
        (r"mask_head/convolution_(\d)", lambda n: f"{mask}.{n}.0"),
        (r"mask_head/convolution_norm_(\d)", lambda n: f"{mask}.{n}.1"),
        (r"mask_head/upsampling", lambda: f"{predictor}.conv5_mask"),
        (r"mask_head/mask_logits", lambda: MASK_LOGITS),
        # Between two convolutions its ReLU counts.
        (r"keypoint_head/convolution_(\d)", lambda n: f"{keypoint}.{2 * n}"),
        (
            r"keypoint_head/keypoint_logits",
            lambda: "roi_heads.keypoint_predictor.kps_score_lowres",
        ),
    )


def _dense(config: FasterRCNNConfig, index: int) -> str:
    """Name a hidden layer of the box head.

    Behind convolutions it counts on from them: a module that flattens, the
    layer, its ReLU, the next layer.
    """
    if config.box_head_convolutions:
        first = config.box_head_convolutions + 1
        return f"roi_heads.box_head.{first + 2 * index}"
    return f"roi_heads.box_head.fc{index + 6}"


def to_our_rows(arrays: dict, config: ModelConfig) -> dict:
    """Rename what has an older name and reorder classes and features.

    Nothing is checked: what does not fit stays as it is, to be reported.
    """
    result = {_newer_name(name): array for name, array in arrays.items()}
    if isinstance(config, FasterRCNNConfig):
        name = f"{_dense(config, 0)}.weight"
        if name in result:
            filters = config.pyramid.filters
            result[name] = layouts.channels_last(result[name], filters)
    bias = result.get(f"{_logits(config)}.bias")
    num_slots = 0 if bias is None else len(bias) // _num_anchors(config)
    slots = _slots(config, num_slots)
    for layer, (chosen, size) in _class_layers(config, slots).items():
        for variable in ("weight", "bias"):
            name = f"{layer}.{variable}"
            rows = len(result.get(name, ()))
            if rows and rows % (num_slots * size) == 0:
                result[name] = layouts.take_slots(
                    result[name], num_slots, chosen, size
                )
    return result


def to_their_rows(arrays: dict, config: ModelConfig) -> dict:
    """Undo `to_our_rows`.

    Slots that the model lacks (COCO's gaps; background's boxes and masks) get
    zeros, and a bias that keeps their probability at zero.
    """
    result = dict(arrays)
    if isinstance(config, FasterRCNNConfig):
        name = f"{_dense(config, 0)}.weight"
        filters = config.pyramid.filters
        result[name] = layouts.channels_first(arrays[name], filters)
    num_slots = _num_slots(config)
    slots = _slots(config, num_slots)
    for layer, (chosen, size) in _class_layers(config, slots).items():
        for variable in ("weight", "bias"):
            name = f"{layer}.{variable}"
            never = layer == _logits(config) and variable == "bias"
            result[name] = layouts.put_slots(
                arrays[name], num_slots, chosen, size, NEVER if never else 0.0
            )
    return result


def to_our_backbone(arrays: dict) -> dict:
    """Return a classifier's arrays; nothing differs but the layout."""
    return arrays


def _newer_name(name: str) -> str:
    for pattern, newer in OLDER_NAMES:
        match = re.fullmatch(pattern, name)
        if match:
            return newer(match)
    return name


def _logits(config: ModelConfig) -> str:
    return (
        CLASS_LOGITS
        if isinstance(config, FasterRCNNConfig)
        else RETINANET_LOGITS
    )


def _num_anchors(config: ModelConfig) -> int:
    """Return how often the class logits repeat: once for each anchor."""
    if not isinstance(config, RetinaNetConfig):
        return 1
    return len(config.anchor_sizes[0]) * len(config.anchor_ratios)


def _num_slots(config: ModelConfig) -> int:
    """Return how many slots a model of that config has in torchvision."""
    if config.category_ids == COCO_SLOTS:
        return NUM_SLOTS
    if isinstance(config, RetinaNetConfig):
        return config.num_classes
    return config.num_classes + 1 + config.unused_logits


def _slots(config: ModelConfig, num_slots: int) -> tuple[int, ...] | None:
    """Return the slot of each class, or None where the numbers do not fit."""
    if isinstance(config, RetinaNetConfig) and config.num_classes == num_slots:
        return tuple(range(num_slots))  # it needs no background
    if config.num_classes == len(COCO_SLOTS) and num_slots == NUM_SLOTS:
        return COCO_SLOTS
    if config.num_classes + 1 == num_slots:
        return tuple(range(1, num_slots))
    return None


def _class_layers(config: ModelConfig, slots) -> dict:
    """Return the layers by class: the slots to take, and rows of each."""
    if slots is None:
        return {}
    if isinstance(config, RetinaNetConfig):
        return {RETINANET_LOGITS: (slots, 1)}
    if not isinstance(config, FasterRCNNConfig):
        return {}
    unused = UNUSED_SLOTS[: config.unused_logits] if slots == COCO_SLOTS else ()
    layers = {CLASS_LOGITS: ((*slots, 0, *unused), 1)}
    if not config.class_agnostic_boxes:
        layers[BOX_DELTAS] = (slots, 4)
    if getattr(config, "masks", None) == "class":
        layers[MASK_LOGITS] = (slots, 1)
    return layers
