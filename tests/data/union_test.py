import copy
import json

import numpy as np
import pytest

from keras_fair.data import coco, union
from tests.data import conftest


@pytest.fixture
def read(coco_files, tmp_path):
    """Return a reader of the small data set, under a name of its own."""

    def read(name="a", change=None, **options):
        content = copy.deepcopy(conftest.CONTENT)
        if change:
            change(content)
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(content))
        return coco.CocoDataset(str(path), coco_files.images_folder, **options)

    return read


def birds(content):
    """Make the dogs birds."""
    content["categories"][0] = {"id": 1, "name": "bird"}
    for each in content["annotations"]:
        if each["category_id"] == 7:
            each["category_id"] = 1


def test_classes_are_joined_by_name(read):
    joined = union.UnionDataset([read("a"), read("b", birds)])
    assert joined.class_names == ("cat", "dog", "bird")
    assert joined.category_ids == (1, 2, 3)
    first, second = joined.records[0], joined.records[3]
    np.testing.assert_array_equal(first.labels, [1, 0])
    np.testing.assert_array_equal(second.labels, [2, 0])


def test_a_class_map_joins_other_names(read):
    mapped = read("b", birds, class_map={"bird": "dog"})
    joined = union.UnionDataset([read("a"), mapped])
    assert joined.class_names == ("cat", "dog")
    np.testing.assert_array_equal(joined.records[3].labels, [1, 0])


def test_a_class_map_of_unknown_classes_is_refused(read):
    with pytest.raises(ValueError, match="a.json. Received: cow"):
        read("a", class_map={"cow": "dog"})


def test_sources_have_masks_or_not(read):
    joined = union.UnionDataset([read("a"), read("b", with_masks=True)])
    assert joined.with_masks
    assert joined.records[0].masks[0] is None
    assert joined.records[3].masks[0] is not None


def test_images_are_numbered_anew_and_traced(read):
    joined = union.UnionDataset([read("a"), read("a")])
    assert [record.image_id for record in joined.records] == [1, 2, 3, 4, 5, 6]
    path, image_id = joined.origins[4]
    assert path.endswith("a.json") and image_id == 11
    assert joined.path.count("a.json") == 2


def test_to_coco_holds_what_the_sources_do(read):
    joined = union.UnionDataset([read("a"), read("b", birds)])
    truth = joined.to_coco()
    assert sorted(truth.imgs) == [1, 2, 3, 4, 5, 6]
    assert sorted(truth.anns) == list(range(1, 9))
    names = [truth.cats[a["category_id"]]["name"] for a in truth.anns.values()]
    assert names == ["dog", "cat", "cat", "dog", "bird", "cat", "cat", "bird"]
    crowd = truth.loadAnns(truth.getAnnIds(imgIds=[5], iscrowd=True))
    assert len(crowd) == 1 and crowd[0]["area"] == 2400
    # The objects of the truth and of the records are the same.
    record = joined.records[4]
    (each,) = truth.loadAnns(truth.getAnnIds(imgIds=[5], iscrowd=False))
    np.testing.assert_array_equal(record.boxes, [[1, 2, 31, 42]])
    assert each["bbox"] == [1, 2, 30, 40]


def test_the_training_s_classes_are_kept(read):
    names = ("horse", "dog", "cat")
    joined = union.UnionDataset([read()], class_names=names)
    assert joined.class_names == names
    np.testing.assert_array_equal(joined.records[0].labels, [1, 2])
    assert [c["name"] for c in joined.to_coco().cats.values()] == list(names)


def test_a_class_that_the_training_lacks_is_refused(read):
    with pytest.raises(ValueError, match="b.json has others: bird"):
        union.UnionDataset([read("b", birds)], class_names=("cat", "dog"))


def test_sources_that_do_not_fit_are_refused(read):
    with pytest.raises(ValueError, match="Received: 0 data sets"):
        union.UnionDataset([])
    with pytest.raises(ValueError, match="the same on_bad_record"):
        union.UnionDataset([read("a"), read("b", on_bad_record="skip")])


def test_what_was_skipped_is_counted_together(read):
    def spoil(content):
        content["annotations"][0]["bbox"] = None

    sources = [read(n, spoil, on_bad_record="skip") for n in ("a", "b")]
    joined = union.UnionDataset(sources)
    joined.skip_file("a.png", "corrupt")
    joined.skip_file("a.png", "corrupt")
    assert dict(joined.skipped) == {"annotation": 2, "file": 1}
