"""A shift of categories is one where it explains all of them."""

import pytest

from keras_fair.doctor import examination


@pytest.mark.parametrize(
    "used, is_shift",
    [
        ([0, 1, 2, 0, 1, 2], True),
        ([0, 1, 1, 0, 1, 1], True),
        ([0, 1, 2, 3, 1, 2], False),  # 3 is not shifted
        ([1, 2, 3, 5, 1, 2], False),  # 5 is a typing error
        ([1, 2, 3, 1, 2, 3], False),
    ],
)
def test_a_shift_explains_every_category(files, used, is_shift):
    files.content["categories"] = [
        {"id": number, "name": f"class {number}"} for number in (1, 2, 3)
    ]
    annotations = files.content["annotations"]
    for number, each in zip(used, annotations, strict=True):
        each["category_id"] = number
        each.pop("keypoints", None)
    counts = examination.examine(*files.write()).findings.counts
    assert counts["category-shift"] == is_shift
    assert counts["annotation-category"] == len(
        [n for n in used if n not in (1, 2, 3)]
    )
