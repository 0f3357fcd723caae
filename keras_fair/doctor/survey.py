"""What could be understood of a data set, faults or not."""

import dataclasses
import math
from collections.abc import Hashable


@dataclasses.dataclass
class Image:
    """An image record.

    Attributes:
        name: file_name, or the id where it has none.
        has_name: whether the name is one of a file.
        shape: (height, width), pixels; None where that is not known.
        num_objects: annotations of it, crowd regions included.
    """

    name: str
    has_name: bool
    shape: tuple[int, int] | None
    num_objects: int = 0


@dataclasses.dataclass
class Object:
    """An annotation with a category.

    Attributes:
        annotation: COCO's dict.
        image: its image's id.
        category: its category's id.
        box: four floats, xyxy pixels in the image; None where it is faulty.
        has_mask: whether there is a mask that covers a pixel.
        is_crowd: a region that is not trained on.
    """

    annotation: dict
    image: Hashable
    category: Hashable
    box: tuple | None
    has_mask: bool
    is_crowd: bool


@dataclasses.dataclass
class Survey:
    """A data set: by id its images and categories' names; its objects."""

    images: dict[Hashable, Image] = dataclasses.field(default_factory=dict)
    categories: dict[Hashable, str] = dataclasses.field(default_factory=dict)
    keypoint_names: tuple = ()
    objects: list[Object] = dataclasses.field(default_factory=list)

    def trained(self) -> list[Object]:
        """Return the objects that training would see."""
        return [each for each in self.objects if each.box and not each.is_crowd]


def segmentation_of(annotation: dict):
    """Return a segmentation, or None for what training takes as none."""
    segmentation = annotation.get("segmentation")
    return None if segmentation == [[]] else segmentation or None


def is_whole(value) -> bool:
    """Tell whether a JSON value is an integer; True is none."""
    return type(value) is int


def to_floats(values) -> list[float] | None:
    """Return a list of JSON numbers as floats, or None where it is no such.

    An integer beyond the range of floats becomes infinity.
    """
    if not isinstance(values, list):
        return None
    result = []
    for value in values:
        if type(value) not in (int, float):
            return None
        try:
            result.append(float(value))
        except OverflowError:
            result.append(math.inf)
    return result
