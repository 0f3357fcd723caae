"""Examine a data set of COCO's format as a whole."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import image_files, objects, reading, records
from keras_fair.doctor import survey as survey_lib


class ClassCount(NamedTuple):
    """How often a class occurs."""

    category: object  # its id
    name: str
    objects: int  # without crowd regions
    images: int
    masks: int
    crowds: int


@dataclasses.dataclass
class Examination:
    """All that was found in a data set.

    Attributes:
        annotations: path of its json.
        images: folder of its images.
        survey: what could be understood.
        findings: what is wrong.
    """

    annotations: str
    images: str
    survey: survey_lib.Survey
    findings: findings_lib.Findings

    def classes(self) -> list[ClassCount]:
        """Return the counts of each class, in the order of the ids."""
        rows = {number: [] for number in self.survey.categories}
        for each in self.survey.objects:
            rows[each.category].append(each)
        return [
            ClassCount(
                number,
                self.survey.categories[number],
                sum(not each.is_crowd for each in rows[number]),
                len({each.image for each in rows[number]}),
                sum(each.has_mask for each in rows[number]),
                sum(each.is_crowd for each in rows[number]),
            )
            for number in sorted(rows)
        ]


def examine(
    annotations: str,
    images: str,
    progress: Callable = lambda num_done, num_all: None,
) -> Examination:
    """Read a data set and find its faults; no fault stops this.

    Args:
        annotations: path of a json of COCO's format.
        images: folder of the image files.
        progress: is called with the number of image files read and of all.
    """
    survey, findings = survey_lib.Survey(), findings_lib.Findings()
    examination = Examination(annotations, images, survey, findings)
    content = reading.read(annotations, findings)
    if content is None:
        return examination
    records.check_categories(content.categories, survey, findings)
    records.check_images(content.images, survey, findings)
    checker = objects.ObjectChecker(survey, findings)
    for annotation in content.annotations:
        checker.check(annotation)
    checker.finish()
    empty = [
        each.name for each in survey.images.values() if not each.num_objects
    ]
    if empty:
        findings.add("image-without-objects", image=empty[0], count=len(empty))
    image_files.check(survey, images, findings, progress)
    return examination
