"""Check the annotations, one by one and among each other."""

import collections
import math

from keras_fair.data import annotations as checks
from keras_fair.data import keypoints as keypoint_checks
from keras_fair.doctor import boxes, keypoints, masks
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import survey as survey_lib
from keras_fair.doctor.reading import show


class ObjectChecker:
    """Checks one annotation after the other.

    Args:
        survey: with its images and categories; objects are added to it.
        findings: faults are added to it.
    """

    def __init__(
        self, survey: survey_lib.Survey, findings: findings_lib.Findings
    ):
        self.survey = survey
        self.findings = findings
        self.formats = boxes.Formats()
        self._ids = set()
        self._boxes = collections.defaultdict(set)  # categories, by the box
        self._unknown = collections.Counter()  # category ids
        self._missing = collections.Counter()  # keys

    def check(self, annotation) -> None:
        """Check one annotation."""
        if not isinstance(annotation, dict):
            self.findings.add(
                "record-type", f"an annotation: {show(annotation)}"
            )
            return
        before = self.findings.counts.total()
        image = self._check_links(annotation)
        is_crowd = self._check_crowd(annotation)
        self._check_area(annotation)
        if image is None:
            return
        image.num_objects += 1
        box = boxes.check(annotation, image, self._report(annotation, image))
        mask_box = masks.check(
            annotation, image, self._report(annotation, image)
        )
        if self.survey.keypoint_names or "keypoints" in annotation:
            keypoints.check(
                annotation,
                image,
                self.survey.keypoint_names,
                self._report(annotation, image),
            )
        if self.findings.counts.total() == before:
            self._check_as_training(annotation, image)
        self.formats.add(annotation, image, mask_box)
        if box and mask_box and not is_crowd:
            boxes.compare(box, mask_box, self._report(annotation, image))
        category = annotation.get("category_id")
        if survey_lib.is_whole(category) and category in self.survey.categories:
            self._check_copy(annotation, image)
            self.survey.objects.append(
                survey_lib.Object(
                    annotation,
                    annotation["image_id"],
                    category,
                    box,
                    mask_box is not None,
                    is_crowd,
                )
            )

    def finish(self) -> None:
        """Report what only all annotations together show."""
        self.formats.report(self.findings)
        self._check_shift()
        trained = self.survey.trained()
        bare = [each for each in trained if not each.has_mask]
        if bare and len(bare) < len(trained):
            self._missing["mask-missing"] = sum(
                survey_lib.segmentation_of(each.annotation) is None
                for each in bare
            )
        for code, count in self._missing.items():
            if count:
                self.findings.add(code, count=count)
        used = {each.category for each in self.survey.objects}
        unused = [
            name
            for number, name in self.survey.categories.items()
            if number not in used
        ]
        if unused and self.survey.objects:
            names = ", ".join(map(str, unused))
            self.findings.add("category-unused", names, count=len(unused))

    def _report(self, annotation: dict, image: survey_lib.Image):
        """Return a function of (code, detail) that adds a finding."""

        def report(code: str, detail: str = "") -> None:
            self.findings.add(
                code,
                detail,
                image=image.name,
                annotation=annotation.get("id"),
            )

        return report

    def _check_links(self, annotation: dict) -> survey_lib.Image | None:
        """Return the annotation's image."""
        number = annotation.get("id")
        image_id = annotation.get("image_id")
        is_whole = survey_lib.is_whole(image_id)
        image = self.survey.images.get(image_id) if is_whole else None
        shown = image.name if image else ""
        add = self.findings.add
        if not survey_lib.is_whole(number):
            add("annotation-id", show(number), image=shown)
        elif number in self._ids:
            add("annotation-twice", image=shown, annotation=number)
        else:
            self._ids.add(number)
        if image is None:
            add("annotation-image", show(image_id), annotation=show(number))
        category = annotation.get("category_id")
        if not survey_lib.is_whole(category):
            add("annotation-category", show(category), annotation=show(number))
        elif category not in self.survey.categories:
            self._unknown[category] += 1
            add(
                "annotation-category",
                f"category {show(category)}",
                image=shown,
                annotation=number,
            )
        return image

    def _check_crowd(self, annotation: dict) -> bool:
        value = annotation.get("iscrowd")
        if "iscrowd" not in annotation:
            self._missing["crowd-missing"] += 1
            return False
        if value not in (0, 1):
            self.findings.add(
                "crowd-value", show(value), annotation=annotation.get("id")
            )
        elif value and isinstance(annotation.get("segmentation"), list):
            self.findings.add("crowd-polygon", annotation=annotation.get("id"))
        return bool(value)

    def _check_area(self, annotation: dict) -> None:
        if "area" not in annotation:
            self._missing["area-missing"] += 1
            return
        numbers = survey_lib.to_floats([annotation["area"]])
        if not numbers or not 0 < numbers[0] < math.inf:
            self.findings.add(
                "area-value",
                show(annotation["area"]),
                annotation=annotation.get("id"),
            )

    def _check_copy(self, annotation: dict, image) -> None:
        numbers = survey_lib.to_floats(annotation.get("bbox"))
        if not numbers:
            return
        categories = self._boxes[(annotation["image_id"], *numbers)]
        report = self._report(annotation, image)
        if annotation["category_id"] in categories:
            report("annotation-copy", show(annotation["bbox"]))
        elif categories:
            report("box-two-classes", show(annotation["bbox"]))
        categories.add(annotation["category_id"])

    def _check_shift(self) -> None:
        """Report unknown categories that are all known but for a shift."""
        known = set(self.survey.categories)
        used = {each.category for each in self.survey.objects}
        used |= set(self._unknown)
        for shift in (-1, 1):
            if self._unknown and used <= {each + shift for each in known}:
                self.findings.add(
                    "category-shift",
                    f"annotations use {min(used)} to {max(used)}, the list "
                    f"has {min(known)} to {max(known)}",
                )

    def _check_as_training(self, annotation: dict, image) -> None:
        """Ask the strict readers: they may know a fault that is not here.

        That of masks was asked already.
        """
        if image.shape is None:
            return
        try:
            checks.read_box(annotation.get("bbox"), *image.shape)
            if self.survey.keypoint_names:
                keypoint_checks.read(
                    annotation.get("keypoints"),
                    len(self.survey.keypoint_names),
                    *image.shape,
                )
        except ValueError as error:
            self._report(annotation, image)("refused", str(error))
