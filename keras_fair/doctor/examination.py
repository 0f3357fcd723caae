"""Examine a data set as a whole."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

from keras_fair.config import SourceConfig
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import image_files, objects, records, sources, voc
from keras_fair.doctor import survey as survey_lib

# What is a fault in COCO's json alone: others have no such keys and ids.
COCO_ALONE = ("area-missing", "crowd-missing", "category-ids-dense")


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
        source: the data set.
        survey: what could be understood.
        findings: what is wrong.
    """

    source: SourceConfig
    survey: survey_lib.Survey
    findings: findings_lib.Findings

    @property
    def annotations(self) -> str:
        """The path of the annotations, with the split where there is one."""
        return sources.name_of(self.source)

    @property
    def images(self) -> str:
        """The folder of the image files, or of the shards."""
        return sources.images_folder(self.source)

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
    """Examine a json of COCO's or LVIS's format; see `examine_source`.

    Args:
        annotations: path of the json.
        images: folder of the image files.
        progress: see `examine_source`.
    """
    source = SourceConfig(sources.JSON, annotations, images)
    return examine_source(source, progress)


def examine_source(
    source: SourceConfig,
    progress: Callable = lambda num_done, num_all: None,
) -> Examination:
    """Read a data set and find its faults; no fault stops this.

    Args:
        source: its paths are whole; see `sources` for what it may also be.
        progress: is called with the number of image files read and of all.
    """
    survey, findings = survey_lib.Survey(), findings_lib.Findings()
    examination = Examination(source, survey, findings)
    content = sources.read(source, findings)
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
    image_files.check(survey, examination.images, findings, progress)
    if source.kind not in (sources.JSON, "coco"):
        for code in COCO_ALONE:
            del findings.counts[code]
        if source.split != voc.WHOLE:  # the folder is that of all splits
            del findings.counts["image-unlisted"]
    return examination
