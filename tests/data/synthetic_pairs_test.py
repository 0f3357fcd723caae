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
    assert len(set(dataset.class_names)) == 12
    used = np.concatenate([record.labels for record in dataset.records])
    assert len(set(used)) == 12


def test_each_class_without_masks_lies_between_two_with_masks():
    classes = synthetic_pairs.CLASSES
    for name, before, after in zip(
        classes, np.roll(classes, 1), np.roll(classes, -1)
    ):
        known = [
            each in synthetic_pairs.MASK_CLASSES for each in (before, after)
        ]
        assert known == [name not in synthetic_pairs.MASK_CLASSES] * 2


def test_most_objects_share_their_box_with_one_of_another_colour(dataset):
    objects = sum(len(record.labels) for record in dataset.records)
    paired = 0
    for record in dataset.records:
        for first, second in shared_boxes(record):
            paired += 2
            apart = np.subtract(*record.labels[[first, second]]) % 12
            assert apart in (4, 6, 8)  # so both have masks, or neither
    assert paired > 0.6 * objects


def test_a_mask_covers_what_is_seen_of_its_colour(dataset):
    for record in dataset.records[:20]:
        pixels = np.asarray(Image.open(record.path), float)
        masks = masks_of(record)
        assert sum(mask.astype(int) for mask in masks).max() == 1
        for label, mask in zip(record.labels, masks):
            colour = synthetic_pairs.COLOURS[label]
            # The shade is within 4 deviations.
            shade = np.median(pixels[mask], axis=0)
            assert abs(shade - colour).max() < 4 * synthetic_pairs.SHADE


def test_no_object_is_hidden_by_its_partner(dataset):
    for record in dataset.records:
        for (left, top, right, bottom), mask in zip(
            record.boxes, masks_of(record)
        ):
            # A slash has 45 % of its square, less half where a ring crosses.
            assert mask.sum() > 0.15 * (right - left) * (bottom - top)
