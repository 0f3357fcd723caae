"""Blobs of Detectron's and seg_every_thing's models, made by rule.

Names and shapes are those of the published architecture, written down from
it and not from our tables. Widths are free.
"""

import zlib

import numpy as np

BLOCKS = {"R-50": (3, 4, 6, 3), "R-101": (3, 4, 23, 3)}


class Blobs(dict):
    """Names and shapes, in the order of the network."""

    def layer(self, name: str, *shape: int, outputs: int = 0) -> None:
        self[f"{name}_w"] = shape
        self[f"{name}_b"] = (outputs or shape[0],)

    def affine(self, name: str, *shape: int) -> None:
        self[f"{name}_w"] = shape
        self[f"{name}_bn_s"] = self[f"{name}_bn_b"] = (shape[0],)


def resnet(backbone: str, stem: int) -> Blobs:
    made = Blobs()
    made["conv1_w"] = (stem, 3, 7, 7)
    made["res_conv1_bn_s"] = made["res_conv1_bn_b"] = (stem,)
    inputs = stem
    for stage, blocks in enumerate(BLOCKS[backbone], 2):
        middle = stem * 2 ** (stage - 2)
        for block in range(blocks):
            name = f"res{stage}_{block}_branch"
            made.affine(f"{name}2a", middle, inputs, 1, 1)
            made.affine(f"{name}2b", middle, middle, 3, 3)
            made.affine(f"{name}2c", 4 * middle, middle, 1, 1)
            if block == 0:
                made.affine(f"{name}1", 4 * middle, inputs, 1, 1)
            inputs = 4 * middle
    return made


def pyramid(made: Blobs, backbone: str, first: int, sizes: dict) -> None:
    filters = sizes["filters"]
    for stage in range(5, first - 1, -1):
        name = f"res{stage}_{BLOCKS[backbone][stage - 2] - 1}_sum"
        inner = f"fpn_inner_{name}" + ("_lateral" if stage < 5 else "")
        channels = 4 * sizes["stem"] * 2 ** (stage - 2)
        made.layer(inner, filters, channels, 1, 1)
        made.layer(f"fpn_{name}", filters, filters, 3, 3)


def blobs(kind: str, backbone="R-50", num_classes=81, **sizes) -> Blobs:
    filters, units = sizes["filters"], sizes["units"]
    made = resnet(backbone, sizes["stem"])
    if kind == "retinanet":
        pyramid(made, backbone, 3, sizes)
        made.layer("fpn_6", filters, 32 * sizes["stem"], 3, 3)
        made.layer("fpn_7", filters, filters, 3, 3)
        for tower, outputs in (("cls", 9 * 80), ("bbox", 9 * 4)):
            for index in range(4):
                name = f"retnet_{tower}_conv_n{index}_fpn3"
                made.layer(name, filters, filters, 3, 3)
            made.layer(f"retnet_{tower}_pred_fpn3", outputs, filters, 3, 3)
        return made
    pyramid(made, backbone, 2, sizes)
    made.layer("conv_rpn_fpn2", filters, filters, 3, 3)
    made.layer("rpn_cls_logits_fpn2", 3, filters, 1, 1)
    made.layer("rpn_bbox_pred_fpn2", 12, filters, 1, 1)
    if kind == "rpn":
        return made
    made.layer("fc6", units, filters * 49)
    made.layer("fc7", units, units)
    made.layer("cls_score", num_classes, units)
    made.layer("bbox_pred", 4 * num_classes, units)
    if kind == "keypoint":
        for index in range(8):
            inputs = filters if index == 0 else 512
            made.layer(f"conv_fcn{index + 1}", 512, inputs, 3, 3)
        made.layer("kps_score_lowres", 512, 17, 4, 4, outputs=17)
    if kind.startswith("mask"):
        for index in range(4):
            made.layer(f"_[mask]_fcn{index + 1}", filters, filters, 3, 3)
        made.layer("conv5_mask", filters, filters, 2, 2)
    if kind == "mask":
        made.layer("mask_fcn_logits", num_classes, filters, 1, 1)
    if kind == "mask_agnostic":
        made.layer("mask_fcn_logits", 1, filters, 1, 1)
    if kind == "mask_x":
        made.layer("bbox2mask_mlp_l1", filters, 5 * units)
        made.layer("mask_fcn_logits_w_flat", filters, filters)
        made.layer("mask_mlp_logits_raw", 28 * 28, filters * 28 * 28)
    return made


def values(shapes: dict) -> dict:
    """Return an array for each name, made from the name."""
    return {
        name: np.random.default_rng(zlib.crc32(name.encode()))
        .standard_normal(shape)
        .astype("float32")
        / 8
        for name, shape in shapes.items()
    }
