"""Names of Detectron2's detectors; see torchvision.py for the tables."""

from keras_fair.config import RetinaNetConfig

IGNORED = (
    r"pixel_mean",  # the config's
    r"pixel_std",
    r"(.*\.)?anchor_generator\..*",  # computed
    r"(.*\.)?num_batches_tracked",
)
IGNORED_BACKBONE = (*IGNORED, r"(stem\.)?fc(1000)?[._].*")


def backbone_table(prefix: str = "") -> tuple:
    """Return the table of a ResNet.

    Args:
        prefix: "backbone.bottom_up." within a detector.
    """

    def convolution(stage: int, index: int, name: str) -> str:
        return f"{prefix}res{stage}.{index}.{name}"

    return (
        (r"stem_conv", lambda: f"{prefix}stem.conv1"),
        (r"stem_norm", lambda: f"{prefix}stem.conv1.norm"),
        (
            r"res(\d)_(\d+)_conv(\d)",
            lambda s, i, n: convolution(s, i, f"conv{n}"),
        ),
        (
            r"res(\d)_(\d+)_norm(\d)",
            lambda s, i, n: convolution(s, i, f"conv{n}.norm"),
        ),
        (r"res(\d)_(\d+)_shortcut", lambda s, i: convolution(s, i, "shortcut")),
        (
            r"res(\d)_(\d+)_shortcut_norm",
            lambda s, i: convolution(s, i, "shortcut.norm"),
        ),
    )


def _pyramid_table() -> tuple:
    return (
        (r"pyramid/lateral_(\d)", lambda n: f"backbone.fpn_lateral{n}"),
        (
            r"pyramid/lateral_norm_(\d)",
            lambda n: f"backbone.fpn_lateral{n}.norm",
        ),
        (r"pyramid/output_(\d)", lambda n: f"backbone.fpn_output{n}"),
        (
            r"pyramid/output_norm_(\d)",
            lambda n: f"backbone.fpn_output{n}.norm",
        ),
        (r"pyramid/coarse_(\d)", lambda n: f"backbone.top_block.p{n}"),
    )


def table(config: RetinaNetConfig) -> tuple:
    """Return the table of retinanet_R_50_FPN and its relatives."""
    # Its towers count every module: convolution, (normalisation,) ReLU.
    stride = 3 if config.head_norm else 2
    return (
        *backbone_table("backbone.bottom_up."),
        *_pyramid_table(),
        (r"head/class_conv_(\d)", lambda n: f"head.cls_subnet.{stride * n}"),
        (
            r"head/class_norm_(\d)",
            lambda n: f"head.cls_subnet.{stride * n + 1}",
        ),
        (r"head/class_logits", lambda: "head.cls_score"),
        (r"head/box_conv_(\d)", lambda n: f"head.bbox_subnet.{stride * n}"),
        (r"head/box_norm_(\d)", lambda n: f"head.bbox_subnet.{stride * n + 1}"),
        (r"head/box_deltas", lambda: "head.bbox_pred"),
    )


def class_slots(config: RetinaNetConfig) -> None:
    """Return None: its classes are ours, 0 to K - 1 without background."""
