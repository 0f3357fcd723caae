"""Check the records of categories and images, one by one."""

import os

from keras_fair.checkpoints import coco_categories
from keras_fair.data import annotations as checks
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import survey as survey_lib
from keras_fair.doctor.reading import show


def check_categories(
    categories: list, survey: survey_lib.Survey, findings
) -> None:
    """Check the categories and put them into the survey."""
    keypoint_names = []
    for category in categories:
        if not isinstance(category, dict):
            findings.add("record-type", f"a category: {show(category)}")
            continue
        category_id, name = category.get("id"), category.get("name")
        if not survey_lib.is_whole(category_id):
            findings.add("category-id", show(category))
        elif category_id in survey.categories:
            findings.add("category-twice", show(category))
        elif not isinstance(name, str) or not name.strip():
            findings.add("category-name", show(category))
            survey.categories[category_id] = f"category {category_id}"
        else:
            if name in survey.categories.values():
                findings.add("category-name-twice", show(name))
            survey.categories[category_id] = name
        if category.get("keypoints"):
            keypoint_names.append(category["keypoints"])
    _check_keypoint_names(keypoint_names, survey, findings)
    _check_coco_ids(survey.categories, findings)


def _check_keypoint_names(lists: list, survey, findings) -> None:
    for names in lists:
        if not isinstance(names, list) or not all(
            isinstance(name, str) for name in names
        ):
            findings.add("category-keypoints", show(names))
        elif survey.keypoint_names not in ((), tuple(names)):
            findings.add(
                "category-keypoints", "two categories have different names"
            )
        else:
            survey.keypoint_names = tuple(names)


def _check_coco_ids(categories: dict, findings) -> None:
    names = [name.lower() for _, name in sorted(categories.items())]
    if names == list(coco_categories.NAMES) and tuple(
        sorted(categories)
    ) != tuple(coco_categories.IDS):
        low, high = min(categories), max(categories)
        findings.add("category-ids-dense", f"80 ids from {low} to {high}")


def check_images(images: list, survey: survey_lib.Survey, findings) -> None:
    """Check the images' records, not their files, and fill the survey."""
    names = set()
    for image in images:
        if not isinstance(image, dict):
            findings.add("record-type", f"an image: {show(image)}")
            continue
        image_id = image.get("id")
        shown = _name(image)
        if not survey_lib.is_whole(image_id) or abs(image_id) >= checks.MAX_ID:
            findings.add("image-id", show(image_id), image=shown)
            continue
        if image_id in survey.images:
            findings.add("image-twice", show(image_id), image=shown)
            continue
        has_name = _check_name(image.get("file_name"), names, findings, shown)
        shape = _check_shape(image, findings, shown)
        survey.images[image_id] = survey_lib.Image(shown, has_name, shape)


def _name(image: dict) -> str:
    name = image.get("file_name")
    return name if isinstance(name, str) and name else show(image.get("id"))


def _check_name(name, names: set, findings: findings_lib.Findings, shown):
    """Tell whether the name may be one of a file."""
    if not isinstance(name, str) or not name.strip():
        findings.add("image-name", show(name), image=shown)
        return False
    if name in names:
        findings.add("image-file-twice", image=shown)
    names.add(name)
    if os.path.isabs(name) or "\\" in name or ".." in name.split("/"):
        findings.add("image-path", show(name), image=shown)
    return True


def _check_shape(image: dict, findings, shown: str) -> tuple | None:
    sides = [image.get("height"), image.get("width")]
    if (
        not all(survey_lib.is_whole(side) and side > 0 for side in sides)
        or sides[0] * sides[1] >= checks.MAX_PIXELS
    ):
        text = " x ".join(map(show, sides))
        findings.add("image-size", f"height x width: {text}", image=shown)
        return None
    return tuple(sides)
