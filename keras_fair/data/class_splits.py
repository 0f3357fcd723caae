"""Which objects keep their masks: Mask^X R-CNN's partial supervision.

Hu, Dollár, He, Darrell, Girshick: Learning to Segment Every Thing, CVPR 2018
(arXiv 1711.10370), section 4: COCO's 80 classes are split into the 20 of
Pascal VOC and the 60 others; one part keeps its masks in training.
"""

import dataclasses
import hashlib
from collections.abc import Iterable

# Pascal VOC's classes in COCO's spelling and order; COCO's ids are 1-7, 9,
# 16-21, 44, 62-64, 67 and 72.
VOC_CLASSES = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train",
    "boat", "bird", "cat", "dog", "horse", "sheep", "cow", "bottle", "chair",
    "couch", "potted plant", "dining table", "tv",
)  # fmt: skip
VOC, NON_VOC = "voc", "non_voc"  # stand for a part of the classes


def split(class_names: Iterable[str]) -> tuple[tuple, tuple]:
    """Split classes into Pascal VOC's and the others, in their order.

    Returns:
        The names of VOC's classes, the names of the others.
    """
    names = tuple(class_names)
    return (
        tuple(name for name in names if name in VOC_CLASSES),
        tuple(name for name in names if name not in VOC_CLASSES),
    )


@dataclasses.dataclass(frozen=True)
class MaskChoice:
    """Which objects keep their masks; of the others they are never read.

    An object's own id decides, so that every run and every host agrees, and
    what a rate keeps a higher one keeps, too.

    Example:
        >>> MaskChoice(classes=("voc",)).keeps("dog", annotation_id=7)
        True

    Attributes:
        classes: names, "voc" or "non_voc"; () is all.
        rate: share of their objects that keep the mask, 0 to 1.

    Raises:
        ValueError: another rate.
    """

    classes: tuple[str, ...] = ()
    rate: float = 1.0

    def __post_init__(self):
        if not 0 <= self.rate <= 1:
            raise ValueError(
                f"Expected a mask rate from 0 to 1. Received: {self.rate}."
            )

    def keeps(self, class_name: str, annotation_id: int) -> bool:
        """Say if an object of that class and id keeps its mask."""
        return self._has_class(class_name) and _share(annotation_id) < self.rate

    def among(self, class_names: Iterable[str]) -> tuple[str, ...]:
        """Return those of the classes that keep masks.

        Raises:
            ValueError: `classes` names none of them, or one that is unknown.
        """
        names = tuple(class_names)
        unknown = set(self.classes) - {VOC, NON_VOC, *names}
        chosen = tuple(name for name in names if self._has_class(name))
        if unknown or not chosen:
            raise ValueError(
                'Expected mask_classes as names of classes, "voc" or '
                f'"non_voc". Received: {self.classes}. The classes are: '
                f"{', '.join(names)}."
            )
        return chosen

    def _has_class(self, name: str) -> bool:
        part = VOC if name in VOC_CLASSES else NON_VOC
        return not self.classes or bool({name, part} & set(self.classes))


def _share(number: int) -> float:
    """Return a number from 0 to 1, evenly spread and always the same."""
    digest = hashlib.sha256(str(number).encode()).digest()
    return int.from_bytes(digest[:6]) / 2**48
