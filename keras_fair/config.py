"""Every hyper-parameter of the package, once, with its unit and its source.

A config is a tree of frozen dataclasses. An experiment file holds a
function `get_config()` that returns an `Experiment`; programs read it by
path or by name and change single values with `--set train.batch_size=4`.

FPN is Lin et al., CVPR 2017; RetinaNet is Lin et al., ICCV 2017. "Detectron"
marks a value that the papers leave open and their released code fixes.
"""

import dataclasses

from keras_fair.settings import DataConfig, TrainConfig
from keras_fair.settings import SourceConfig as SourceConfig


@dataclasses.dataclass(frozen=True)
class BackboneConfig:
    """The bottom-up network. FPN, section 3."""

    name: str = "resnet50"  # a key of models.backbones.BACKBONES
    stem_filters: int = 64  # the other widths follow; 32 is a quarter's work
    stride_in: str = "1x1"  # "1x1" (MSRA) or "3x3" (v1.5): which convolution
    norm: str = "frozen"  # "frozen", "batch" or "sync" batch normalisation
    norm_epsilon: float = 1.001e-5  # keras.applications; Detectron2 1e-5
    frozen_stages: int = 2  # stem and res2 (Detectron); 0 trains everything


@dataclasses.dataclass(frozen=True)
class PixelConfig:
    """How uint8 RGB becomes the network's input: order, then (x - mean) / std.

    The default is what keras.applications' ResNet was trained with.
    """

    channel_order: str = "bgr"  # "rgb" or "bgr"
    mean: tuple[float, ...] = (103.939, 116.779, 123.68)  # in channel_order
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    # How images are resized for a trained model; bin.train copies it from
    # DataConfig.
    short_side: int = 800  # pixels
    max_long_side: int = 1333  # pixels
    resize: str = "bilinear"  # or "antialias" or "floor"; see data.transforms


@dataclasses.dataclass(frozen=True)
class PyramidConfig:
    """The feature pyramid. FPN, section 3; RetinaNet, section 4."""

    filters: int = 256
    min_level: int = 3  # P3; the R-CNNs start at P2
    max_level: int = 7
    coarse: str = "conv"  # P6, P7: "conv" (RetinaNet) or "pool" (FPN)
    coarse_input: str = "c5"  # "c5" (RetinaNet, footnote 2) or "p5"
    norm: str = ""  # "" or "batch": torchvision's v2 models


def _octave_sizes() -> tuple[tuple[float, ...], ...]:
    """Areas 32^2 to 512^2 on P3 to P7, three per octave. RetinaNet, sec. 4."""
    return tuple(
        tuple(32.0 * 2**level * 2 ** (third / 3) for third in range(3))
        for level in range(5)
    )


@dataclasses.dataclass(frozen=True)
class RetinaNetConfig:
    """RetinaNet as in the paper; what it leaves open is Detectron's."""

    num_classes: int = 80
    class_names: tuple[str, ...] = ()  # index = label; travels with weights
    category_ids: tuple[int, ...] = ()  # the data set's own id of each label
    backbone: BackboneConfig = BackboneConfig()
    pixels: PixelConfig = PixelConfig()
    pyramid: PyramidConfig = PyramidConfig()
    head_depth: int = 4  # convolutions in each tower, section 4
    head_filters: int = 256
    head_norm: str = ""  # "" or "group": torchvision's v2 model
    anchor_sizes: tuple[tuple[float, ...], ...] = _octave_sizes()  # pixels
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    anchor_offset: float = 0.0  # of a cell; Detectron2 0, Detectron 0.5
    # To whole pixels: "", "box" (torchvision) or "cell" (Detectron).
    anchor_rounding: str = ""
    anchor_stride: str = "level"  # "level": 2^n; "fitted" (torchvision)
    positive_iou: float = 0.5  # section 4
    negative_iou: float = 0.4  # below is background; between is ignored
    force_best_match: bool = True  # RPN's rule, Faster R-CNN section 3.1.2
    prior: float = 0.01  # foreground probability at the start, section 4.1
    focal_alpha: float = 0.25  # table 1b
    focal_gamma: float = 2.0
    box_loss: str = "smooth_l1"  # "smooth_l1" or "giou"
    box_loss_beta: float = 0.11  # Detectron; 0 is L1 (Detectron2)
    # Of the losses: positives of the "batch"; their average over steps "ema"
    # (Detectron2); of each "image" (torchvision).
    normalizer: str = "batch"
    normalizer_momentum: float = 0.9  # Detectron2
    normalizer_start: float = 100.0  # Detectron2
    weight_decay: float = 1e-4  # as a loss, 0.5 * decay * sum(w ** 2)
    score_threshold: float = 0.05  # section 4.1
    candidates_per_level: int = 1000  # section 4.1
    nms_iou: float = 0.5  # section 4.1
    clip_before_nms: bool = True  # False: only what is left (Detectron2)
    max_detections: int = 100  # COCO's limit


@dataclasses.dataclass(frozen=True)
class ProposalConfig:
    """The region proposal network on a pyramid. FPN, section 4.1."""

    anchor_sizes: tuple[tuple[float, ...], ...] = (
        (32.0,),  # P2, pixels; one scale per level
        (64.0,),
        (128.0,),
        (256.0,),
        (512.0,),  # P6
    )
    anchor_ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    anchor_offset: float = 0.0  # of a cell; see RetinaNetConfig
    # To whole pixels: "", "box" (torchvision) or "cell" (Detectron).
    anchor_rounding: str = ""
    anchor_stride: str = "level"  # "level": 2^n; "fitted" (torchvision)
    head_depth: int = 1  # 3x3 convolutions; torchvision's v2 models 2
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    num_samples: int = 256  # anchors per image that count in the loss
    positive_fraction: float = 0.5
    box_loss_beta: float = 1 / 9  # Detectron; 0 is L1 (Detectron2)
    # The losses are divided by "num_samples", asked for (Detectron), or by
    # those "sampled", as many as there are (torchvision).
    normalizer: str = "num_samples"
    candidates_per_level_training: int = 2000  # before NMS (Detectron)
    candidates_per_level: int = 1000
    min_side: float = 0.0  # pixels; smaller boxes are dropped before NMS
    nms_iou: float = 0.7
    max_proposals_training: int = 2000  # section 5.2; Detectron2 1000
    max_proposals: int = 1000


def _rcnn_pyramid() -> PyramidConfig:
    return PyramidConfig(min_level=2, max_level=6, coarse="pool")


@dataclasses.dataclass(frozen=True)
class RPNConfig:
    """A region proposal network alone: class-agnostic boxes."""

    num_classes: int = 1  # every proposal has label 0
    class_names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    backbone: BackboneConfig = BackboneConfig()
    pixels: PixelConfig = PixelConfig()
    pyramid: PyramidConfig = _rcnn_pyramid()
    proposals: ProposalConfig = ProposalConfig()
    weight_decay: float = 1e-4


@dataclasses.dataclass(frozen=True)
class FasterRCNNConfig:
    """Faster R-CNN on a pyramid. FPN, section 4.2 and 5.2."""

    num_classes: int = 80
    class_names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    backbone: BackboneConfig = BackboneConfig()
    pixels: PixelConfig = PixelConfig()
    pyramid: PyramidConfig = _rcnn_pyramid()
    proposals: ProposalConfig = ProposalConfig()
    roi_max_level: int = 5  # RoIs are pooled from P2 to P5, equation 1
    roi_size: int = 7
    roi_sampling_ratio: int = 2  # Mask R-CNN, section 3; 0 as Detectron2
    roi_aligned: bool = True  # half a pixel; torchvision and Detectron False
    # Pixels less at the right and lower edge when pooled: 1 in Detectron,
    # whose boxes end with their last pixel.
    roi_trim: float = 0.0
    box_head_convolutions: int = 0  # 4 in torchvision's v2 models
    box_head_norm: str = ""  # "" or "batch", of the convolutions
    box_head_units: tuple[int, ...] = (1024, 1024)
    class_agnostic_boxes: bool = False
    unused_logits: int = 0  # in the softmax, of no class: torchvision's gaps
    positive_iou: float = 0.5  # of a RoI; below is background
    num_samples: int = 512  # RoIs per image
    positive_fraction: float = 0.25
    hard_examples: int = 0  # OHEM: keep so many RoIs of largest loss; 0 off
    box_weights: tuple[float, float, float, float] = (10.0, 10.0, 5.0, 5.0)
    box_loss: str = "smooth_l1"  # "smooth_l1" or "giou"
    box_loss_beta: float = 1.0  # Detectron; 0 is L1 (Detectron2)
    weight_decay: float = 1e-4
    score_threshold: float = 0.05
    min_side: float = 0.0  # pixels; smaller boxes are dropped before NMS
    nms_iou: float = 0.5  # Mask R-CNN, appendix B; 0.3 in the FPN paper
    max_detections: int = 100


@dataclasses.dataclass(frozen=True)
class MaskRCNNConfig(FasterRCNNConfig):
    """Mask R-CNN on a pyramid. Mask R-CNN, section 3, figure 4 right."""

    mask_head: str = "fcn"  # "fcn" or "mlp" (table 2e)
    mask_roi_size: int = 14
    mask_depth: int = 4  # 3x3 convolutions, or hidden layers of the MLP
    mask_filters: int = 256  # or units of the MLP (1024 in table 2e)
    mask_norm: str = ""  # "" or "batch": torchvision's v2 model
    masks: str = "class"  # "class", "agnostic" or "softmax" (table 2b)
    train_masks_on_ground_truth_boxes: bool = False
    # Into the image: "sampled" at pixels' centres (Detectron2), or resized to
    # an "integer" box (Detectron, torchvision); see evaluation.pasting.
    paste: str = "sampled"
    # Stage-wise training: only the mask branch learns, on a detector that is
    # trained already (Mask^X R-CNN, section 3.2).
    freeze_detector: bool = False


@dataclasses.dataclass(frozen=True)
class MaskXRCNNConfig(MaskRCNNConfig):
    """Mask^X R-CNN. "Learning to Segment Every Thing", section 3."""

    # What the transfer sees of a class: its rows of the box head, "class",
    # "box" or "class+box", or "embeddings" that the user gives (table 1a).
    transfer_input: str = "class+box"
    transfer_depth: int = 2  # layers, table 1b
    transfer_slope: float = 0.1  # of LeakyReLU; 0 is ReLU
    embedding_dim: int = 300  # GloVe's, where "embeddings" are the input
    stop_gradient: bool = True  # masks do not train the box head, table 1d
    # A class-agnostic mask added to the class's: "" for none, "mlp" (table
    # 1c), "pooled_mlp" (a sixteenth of its weights) or "fcn".
    agnostic_branch: str = ""


@dataclasses.dataclass(frozen=True)
class KeypointRCNNConfig(FasterRCNNConfig):
    """Mask R-CNN's keypoint variant: people's joints. Section 5."""

    num_classes: int = 1  # person
    num_keypoints: int = 17  # COCO's
    keypoint_names: tuple[str, ...] = ()  # travel with the weights
    keypoint_roi_size: int = 14  # heat maps have four times the side
    keypoint_depth: int = 8  # 3x3 convolutions
    keypoint_filters: int = 512
    # Of the loss: the "visible" keypoints of the batch, or "all" that its
    # positive RoIs could have (Detectron's alternative, of weight 4).
    keypoint_normalizer: str = "visible"
    keypoint_loss_weight: float = 1.0


def _thin_pyramid() -> PyramidConfig:
    return dataclasses.replace(_rcnn_pyramid(), filters=128)


@dataclasses.dataclass(frozen=True)
class MaskProposalsConfig:
    """Segmentation proposals on a pyramid. FPN, section 6 and appendix A."""

    num_classes: int = 1  # every proposal has label 0
    class_names: tuple[str, ...] = ()
    category_ids: tuple[int, ...] = ()
    backbone: BackboneConfig = BackboneConfig()
    pixels: PixelConfig = PixelConfig()
    pyramid: PyramidConfig = _thin_pyramid()
    # A head each: what it sees of a level, cells; (5, 7) has half octaves.
    windows: tuple[int, ...] = (5,)
    # Of each head: side of the objects that it is for, cells. 8 are 32 pixels
    # on P2; of the 7x7 head, 8 * sqrt(2).
    object_sides: tuple[float, ...] = (8.0,)
    padding: float = 0.25  # by which a mask's region is larger than they are
    head_filters: int = 512
    mask_size: int = 14  # or 28, "+2x mask resolution" (table 6)
    num_samples: int = 128  # places per image that count in the loss
    positive_fraction: float = 0.25
    mask_loss_weight: float = 10.0
    weight_decay: float = 1e-4
    max_detections: int = 1000


ModelConfig = (
    RetinaNetConfig
    | RPNConfig
    | MaskProposalsConfig
    | KeypointRCNNConfig
    | MaskXRCNNConfig
    | MaskRCNNConfig
    | FasterRCNNConfig
)

# Of what has no class: scored by recall.
ProposerConfig = RPNConfig | MaskProposalsConfig


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What one configs/ file returns."""

    model: ModelConfig = RetinaNetConfig()
    data: DataConfig = DataConfig()
    train: TrainConfig = TrainConfig()
