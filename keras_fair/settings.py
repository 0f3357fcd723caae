"""The settings of an experiment beside its model's: data and schedule.

Read them as `keras_fair.config`, which offers every config.
"""

import dataclasses

# Fields of TrainConfig.
AT_LEAST_ONE = (
    "batch_size",
    "accumulation",
    "checkpoint_steps",
    "keep_checkpoints",
)


@dataclasses.dataclass(frozen=True)
class SourceConfig:
    """One of several data sets that are united, joined by class names."""

    # "coco", "lvis", "voc", "visual_genome" or "tfds": prepared shards.
    kind: str = "coco"
    annotations: str = ""  # coco, lvis: a json; the others: their folder
    images: str = ""  # folder; voc has its own
    # voc: "Main/train"; visual_genome: "train", "val", "test"; tfds: its own.
    split: str = ""
    coco_val: str = ""  # visual_genome: COCO's val json, which decides that
    masks: bool = True  # False: boxes alone
    class_names: tuple[str, ...] = ()  # voc: of another data set than VOC's
    # visual_genome: COCO's 80 and the most frequent others.
    num_classes: int = 3000
    class_map: tuple[tuple[str, str], ...] = ()  # (its name, ours)


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """Where images and annotations are and how they become batches."""

    root: str = ""  # prefix of the paths below
    train_annotations: str = "annotations/instances_train2017.json"
    train_images: str = "train2017"
    val_annotations: str = "annotations/instances_val2017.json"
    val_images: str = "val2017"
    # Folder of a version that keras-fair-prepare wrote, with the splits
    # "train" and "val"; in the place of all other paths.
    prepared: str = ""
    # In the place of a split's two paths.
    train_sources: tuple[SourceConfig, ...] = ()
    val_sources: tuple[SourceConfig, ...] = ()
    short_sides: tuple[int, ...] = (800,)  # pixels; one is drawn per image
    max_long_side: int = 1333  # pixels (Detectron)
    # "bilinear" (Detectron), "antialias" (Detectron2) or "floor"
    # (torchvision). In an evaluation, the model's own takes its place.
    resize: str = "bilinear"
    # Canvas (height, width); an image goes to the smallest that holds it.
    canvases: tuple[tuple[int, int], ...] = (
        (800, 1088),
        (1088, 800),
        (800, 1344),
        (1344, 800),
    )
    horizontal_flip: bool = True
    scale_jitter: tuple[float, float] = (1.0, 1.0)  # factor, drawn per image
    # Large-scale jitter, such as (0.1, 2.0): an image that fits the only
    # canvas is scaled by a factor drawn from it, cut to the canvas or padded.
    # In the place of the sides and the jitter above; evaluation keeps those.
    large_scale_jitter: tuple[float, ...] = ()
    random_crop: float = 1.0  # a window keeps at least so much of each side
    color_jitter: float = 0.0  # strength, below 1; 0.4 is usual
    copy_paste: float = 0.0  # how often objects of another image are pasted
    mosaic: float = 0.0  # how often four images share a canvas
    max_objects: int = 100  # M of the contract; more objects is an error
    with_masks: bool = False
    mask_size: int = 112  # S of the contract
    # Classes that keep their masks in training; () is all. "voc", "non_voc".
    mask_classes: tuple[str, ...] = ()
    mask_rate: float = 1.0  # share of their objects that keep theirs
    with_keypoints: bool = False  # and train on images that have some
    keypoint_sigmas: tuple[float, ...] = ()  # of evaluation; () is COCO's 17
    on_bad_record: str = "error"  # "error" or "skip" (counted and logged)
    max_images: int = 0  # 0 is all; otherwise the first so many
    keep_empty: bool = False  # train on images without objects, too
    # Images of classes in a smaller share of the images train more often
    # (LVIS, appendix B: 0.001); 0 is off.
    repeat_threshold: float = 0.0


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """The schedule. RetinaNet, section 4.1; warm-up is Detectron's."""

    batch_size: int = 16  # images of a step, over all devices
    accumulation: int = 1  # a device takes its share in so many parts
    steps: int = 90_000  # "1x"
    learning_rate: float = 0.01  # for `batch_size` images
    drop_steps: tuple[int, ...] = (60_000, 80_000)  # each divides by ten
    warmup_steps: int = 500
    warmup_factor: float = 1 / 3
    momentum: float = 0.9
    clip_norm: float = 0.0  # global gradient norm; 0 is off
    policy: str = "float32"  # or "mixed_bfloat16", "mixed_float16"
    jit_compile: str = "auto"  # "auto", "true" or "false": XLA for the step
    ema_momentum: float = 0.0  # evaluate averaged weights: 0.999; 0 is off
    recompute_backbone: bool = False  # less memory, a third more time
    seed: int = 0
    checkpoint_steps: int = 5_000
    keep_checkpoints: int = 3
    evaluate_steps: int = 10_000  # a multiple of checkpoint_steps; 0: at end
    backbone_weights: str = ""  # "imagenet" (Keras's download) or a file
    initial_weights: str = ""  # a preset folder, or .weights.h5; see models

    def __post_init__(self):
        """Refuse numbers that no training can have.

        Raises:
            ValueError: one of them.
        """
        for name in AT_LEAST_ONE:
            if getattr(self, name) < 1:
                raise ValueError(
                    f"Expected train.{name} of at least 1. Received: "
                    f"{getattr(self, name)}."
                )
        if not 0 <= self.ema_momentum < 1:
            raise ValueError(
                "Expected train.ema_momentum from 0, which is off, to below "
                f"1. Received: {self.ema_momentum}."
            )
