import numpy as np
import pytest
from PIL import Image

from keras_fair.data import synthetic_pairs
from keras_fair.data.coco import CocoDataset


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "pairs"
    synthetic_pairs.write_pairs(str(folder), 60, 1)
    return CocoDataset(
        str(folder / "annotations" / "instances_train.json"),
        str(folder / "train"),
        with_masks=True,
    )


def masks_of(record):
    """Return bool [h, w] of each object."""
    masks = []
    for runs in record.masks:
        # Runs of 0 and 1 in turn, column by column.
        values = np.repeat(np.arange(len(runs)) % 2, runs)
        masks.append(values.reshape(record.width, record.height).T > 0)
    return masks


def shared_boxes(record):
    """Yield the rows of two objects whose boxes agree up to 3 pixels.

    The upper one hides edges of the lower; the drawing rounds.
    """
    for first in range(len(record.labels)):
        for second in range(first + 1, len(record.labels)):
            apart = record.boxes[first] - record.boxes[second]
            if abs(apart).max() <= 3:
                yield first, second


def test_every_class_is_drawn(dataset):
    assert dataset.class_names == synthetic_pairs.CLASSES
    assert len(set(dataset.class_names)) == 16
    used = np.concatenate([record.labels for record in dataset.records])
    assert len(set(used)) == 16


def test_every_colour_and_every_format_has_masks_and_has_none():
    known = synthetic_pairs.MASK_CLASSES
    unknown = set(synthetic_pairs.CLASSES) - set(known)
    assert len(known) == len(unknown) == 8
    for classes in (known, unknown):
        for part in (0, 1):
            names = [name.split("_")[part] for name in classes]
            assert {names.count(name) for name in names} == {2}
            assert len(set(names)) == 4


def test_most_objects_share_their_box_with_one_of_another_colour(dataset):
    objects = sum(len(record.labels) for record in dataset.records)
    paired = 0
    for record in dataset.records:
        for rows in shared_boxes(record):
            paired += 2
            names = [dataset.class_names[k] for k in record.labels[list(rows)]]
            one, other = (name.split("_") for name in names)
            assert one[0] != other[0] and one[1] == other[1]
            # Both have masks, or neither.
            assert len({n in synthetic_pairs.MASK_CLASSES for n in names}) == 1
    assert paired > 0.6 * objects


def test_the_format_is_that_of_the_box(dataset):
    for record in dataset.records:
        for label, (left, top, right, bottom) in zip(
            record.labels, record.boxes
        ):
            name = dataset.class_names[label].split("_")[1]
            sides = synthetic_pairs.FORMATS[name]
            scale = np.array([right - left, bottom - top]) / sides
            # A partner on top hides edges, and drawing rounds.
            assert (scale > 0.7).all() and (scale < 1.1).all()


def test_a_mask_covers_what_is_seen_of_its_colour(dataset):
    for record in dataset.records[:20]:
        pixels = np.asarray(Image.open(record.path), float)
        masks = masks_of(record)
        assert sum(mask.astype(int) for mask in masks).max() == 1
        for label, mask in zip(record.labels, masks):
            colour = synthetic_pairs.COLOURS[label // 4]
            # The shade is within 4 deviations.
            shade = np.median(pixels[mask], axis=0)
            assert abs(shade - colour).max() < 4 * synthetic_pairs.SHADE


def test_no_object_is_hidden_by_its_partner(dataset):
    for record in dataset.records:
        for (left, top, right, bottom), mask in zip(
            record.boxes, masks_of(record)
        ):
            # A slash has a third of its box, less half where a ring crosses.
            assert mask.sum() > 0.15 * (right - left) * (bottom - top)
