"""Cut fixed-size features out of a pyramid for each RoI.

RoIAlign: Mask R-CNN, section 3; the level of an RoI: FPN, Eq. 1. The exact
definition of where it samples is in roi_samples.py.

B images, R RoIs, P output side, C channels. Level k has stride 2 ** k.
"""

import keras
from keras import ops

from keras_fair.ops import boxes as box_ops
from keras_fair.ops import (
    compiled,
    roi_samples,
    roi_taps,
    tensorflow_kernels,
)

CANONICAL_SIZE = 224.0  # pixels; the ImageNet crop, FPN section 4.2
CANONICAL_LEVEL = 4  # the level such a box is pooled from
IMPLEMENTATIONS = ("auto", "xla", "sparse", "crop_and_resize")

_align_taps = compiled.compiled(roi_taps.align)


def assign_levels(boxes, min_level: int, max_level: int):
    """Pick the pyramid level each RoI is pooled from. FPN, Eq. 1.

    A 224-pixel box (the ImageNet crop size) is pooled from P4; halving
    the side moves one level finer.

    Args:
        boxes: float32 [B, R, 4], xyxy pixels. Empty boxes get `min_level`.
        min_level: finest level, 2 for P2.
        max_level: coarsest level, inclusive.

    Returns:
        int32 [B, R], values in [min_level, max_level].
    """
    area = box_ops.box_area(boxes)
    level = ops.full_like(area, min_level, dtype="int32")
    # Eq. 1 without its logarithm: XLA's log2 is not exact at powers of two,
    # where a box changes level. The bound of each level is a power of four.
    for coarser in range(min_level + 1, max_level + 1):
        side = CANONICAL_SIZE * 2.0 ** (coarser - CANONICAL_LEVEL)
        level = level + ops.cast(area >= side * side, "int32")
    return level


def roi_align(
    features: dict,
    boxes,
    output_size: int,
    sampling_ratio: int = 2,
    aligned: bool = True,
    implementation: str = "auto",
):
    """Pool P x P features for each RoI from its pyramid level.

    All implementations compute the same numbers, to rounding:
        "xla" sums weighted gathers, which XLA fuses; in TensorFlow outside
            XLA it is an island (compiled.py), in an exported graph it is
            plain operators that LiteRT has.
        "sparse" multiplies by a sparse matrix: TensorFlow outside XLA.
        "crop_and_resize" uses TensorFlow's kernel: outside XLA, and only
            for a fixed `sampling_ratio`.
        "auto" is "sparse" in TensorFlow on a CPU outside XLA: with its
            gradient the fastest there, deterministic, and not compiled anew
            for each shape. Otherwise it is "xla": on JAX, under
            `jit_compile`, on a GPU, and while exporting
            (`compiled.plain_graph`), where sparse matrices cannot go.

    Args:
        features: {"P2": float [B, H, W, C], ...}, consecutive levels, finest
            first; one entry (such as {"C4": ...}) pools all RoIs from it.
        boxes: float32 [B, R, 4], xyxy pixels of the network input, finite.
            They get no gradient (Mask R-CNN, appendix B). Padding gives
            features of no meaning, and no error.
        output_size: P.
        sampling_ratio: samples per bin and side; 0 takes one per cell of the
            RoI, rounded up (Detectron2's default): more work for large RoIs.
        aligned: True: a cell's value sits at its centre (Detectron2). False:
            at its corner, and RoIs are at least one cell wide (Detectron,
            torchvision's models).
        implementation: see above.

    Returns:
        [B, R, P, P, C] in the dtype of the features, summed in float32.

    Raises:
        ValueError: an unknown implementation or one that this backend lacks,
            a negative `sampling_ratio`, or levels with a gap.
    """
    numbers = roi_samples.level_numbers(features)
    levels = assign_levels(boxes, numbers[0], numbers[-1])
    return align_at_levels(
        features,
        boxes,
        levels,
        output_size,
        sampling_ratio,
        aligned,
        implementation,
    )


def align_at_levels(
    features: dict,
    boxes,
    levels,
    output_size: int,
    sampling_ratio: int,
    aligned: bool,
    implementation: str,
):
    """Do `roi_align` with the level of each RoI given, int32 [B, R]."""
    implementation = _choose(implementation, sampling_ratio)
    dtype = next(iter(features.values())).dtype
    boxes = ops.stop_gradient(ops.cast(boxes, "float32"))
    grid = roi_samples.locate(
        features, boxes, levels, output_size, sampling_ratio, aligned
    )
    if implementation == "crop_and_resize":
        index = levels - roi_samples.level_numbers(features)[0]
        pooled = tensorflow_kernels.align_crop_and_resize(
            features, grid, index, output_size
        )
    else:
        rows = roi_samples.flatten_pyramid(features)
        align = _align_taps
        if implementation == "sparse":
            align = tensorflow_kernels.align_sparse
        pooled = align(rows, grid, output_size)
    return ops.cast(pooled, dtype)


def _choose(implementation: str, sampling_ratio: int) -> str:
    """Check the two arguments and replace "auto"."""
    if implementation not in IMPLEMENTATIONS:
        raise ValueError(
            f"Expected implementation to be one of {IMPLEMENTATIONS}. "
            f"Received: {implementation!r}."
        )
    if sampling_ratio < 0:
        raise ValueError(
            "Expected sampling_ratio to be positive, or 0 for one sample per "
            f"cell. Received: {sampling_ratio}."
        )
    if implementation == "crop_and_resize" and sampling_ratio == 0:
        raise ValueError(
            "implementation='crop_and_resize' needs a fixed sampling_ratio. "
            "Received: 0. Use implementation='auto'."
        )
    tensorflow = keras.backend.backend() == "tensorflow"
    if implementation in ("sparse", "crop_and_resize") and not tensorflow:
        raise ValueError(
            f"implementation={implementation!r} is TensorFlow's. The backend "
            f"is {keras.backend.backend()}. Use implementation='auto'."
        )
    if implementation != "auto":
        return implementation
    if not tensorflow or compiled.in_plain_graph():
        return "xla"
    accelerated = compiled.inside_xla() or tensorflow_kernels.has_gpu()
    return "xla" if accelerated else "sparse"
