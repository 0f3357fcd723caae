import dataclasses

import numpy as np
import pytest

from keras_fair.config import DataConfig
from keras_fair.data import class_splits, coco, pipeline
from keras_fair.data.class_splits import MaskChoice
from keras_fair.models import roi
from tests import shared
from tests.models import tiny


def test_coco_splits_into_the_ids_of_the_paper_s_code():
    config = DataConfig(root=str(shared.coco_tiny()))
    dataset = coco.CocoDataset.from_config(config, "val")
    with_masks, without = class_splits.split(dataset.class_names)
    ids = dict(zip(dataset.class_names, dataset.category_ids))
    # seg_every_thing's configs, as COCO's own ids.
    assert [ids[name] for name in with_masks] == [
        1, 2, 3, 4, 5, 6, 7, 9, 16, 17, 18, 19, 20, 21, 44, 62, 63, 64, 67, 72,
    ]  # fmt: skip
    assert len(without) == 60
    assert with_masks == class_splits.VOC_CLASSES


@pytest.mark.parametrize(
    "classes, expected",
    [
        ((), ("dog", "zebra", "tv")),
        (("voc",), ("dog", "tv")),
        (("non_voc",), ("zebra",)),
        (("tv", "zebra"), ("zebra", "tv")),
        (("non_voc", "tv"), ("zebra", "tv")),
    ],
)
def test_classes_are_named_or_stand_for_a_part(classes, expected):
    choice = MaskChoice(classes)
    names = ("dog", "zebra", "tv")
    assert choice.among(names) == expected
    assert tuple(n for n in names if choice.keeps(n, 1)) == expected


@pytest.mark.parametrize("classes", [("dgo",), ("non_voc",)])
def test_a_choice_that_names_no_class_is_refused(classes):
    with pytest.raises(ValueError, match="classes are: cat, dog"):
        MaskChoice(classes).among(("cat", "dog"))


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_is_a_share(rate):
    with pytest.raises(ValueError, match="from 0 to 1"):
        MaskChoice(rate=rate)


def test_a_rate_keeps_that_share_and_a_higher_rate_the_same_ones():
    def kept(rate):
        choice = MaskChoice(rate=rate)
        return {i for i in range(4_000) if choice.keeps("dog", i)}

    assert kept(0.0) == set() and len(kept(1.0)) == 4_000
    # Four standard deviations of 4,000 draws.
    assert abs(len(kept(0.25)) / 4_000 - 0.25) < 4 * (0.19 / 4_000) ** 0.5
    assert kept(0.25) < kept(0.5)


def test_the_share_of_an_object_never_changes():
    # Of the id 1, for ever: runs and hosts agree.
    assert not MaskChoice(rate=0.42).keeps("dog", 1)
    assert MaskChoice(rate=0.4201).keeps("dog", 1)


def test_masks_that_are_withheld_are_not_even_read(coco_files):
    coco_files.content["annotations"][0]["segmentation"] = "broken"
    dataset = coco.CocoDataset(
        *coco_files.write(), with_masks=True, mask_choice=MaskChoice(("cat",))
    )
    assert dataset.records[0].masks == (None, None)
    assert dataset.records[1].masks[0] is not None
    assert dataset.num_empty_masks == 0


def config_of(coco_files, **changes) -> DataConfig:
    annotations, images = coco_files.write()
    return DataConfig(
        train_annotations=annotations,
        val_annotations=annotations,
        train_images=images,
        val_images=images,
        short_sides=(64,),
        max_long_side=96,
        canvases=((64, 96), (96, 64)),
        horizontal_flip=False,
        max_objects=4,
        with_masks=True,
        mask_size=28,
        **changes,
    )


def test_only_training_withholds_masks(coco_files):
    config = config_of(coco_files, mask_classes=("cat",))
    train, val = (
        coco.CocoDataset.from_config(config, split)
        for split in ("train", "val")
    )
    assert train.records[0].masks == (None, None)
    assert val.records[0].masks[0] is not None


def test_an_unknown_class_in_the_config_is_refused(coco_files):
    config = config_of(coco_files, mask_classes=("horse",))
    with pytest.raises(ValueError, match=r"Received: \('horse',\)"):
        coco.CocoDataset.from_config(config, "train")


@pytest.fixture
def overlapping(coco_files):
    """A dog whose mask fills its box, and a cat around it without a mask."""
    dog, cat = coco_files.content["annotations"][:2]
    dog["segmentation"] = [[10, 5, 30, 5, 30, 15, 10, 15]]
    cat["bbox"] = [9, 4, 22, 12]  # IoU 0.76 with the dog
    cat["segmentation"] = [[9, 4, 20, 4, 20, 16, 9, 16]]
    config = config_of(coco_files, mask_classes=("dog",))
    dataset = coco.CocoDataset.from_config(config, "train")
    dataset.records = dataset.records[:1]
    config = dataclasses.replace(config, canvases=((64, 96),))
    batches = pipeline.make_dataset(
        dataset, config, batch_size=1, training=True
    )
    x, y = next(iter(batches))
    return x, {key: np.asarray(value) for key, value in y.items()}


def test_no_mask_of_a_neighbour_reaches_the_loss(overlapping):
    x, y = overlapping
    np.testing.assert_array_equal(y["has_mask"][0], [True, False, False, False])
    assert y["masks"][0, 0].all() and not y["masks"][0, 1:].any()

    model = tiny.mask_rcnn()
    features, _ = model.features(x, training=False)

    def mask_loss(gt_index, positive):
        gt_index = np.array([gt_index], "int32")
        rois = roi.Rois(
            y["boxes"][0, gt_index],
            y["labels"][0, gt_index],
            gt_index,
            np.array([positive]),
        )
        targets = np.asarray(model.mask_targets(rois, y))
        return targets, float(model.mask_loss(features, rois, y, False))

    targets, dog_and_cat = mask_loss([0, 1], [True, True])
    assert targets[0, 0].all()
    assert not targets[0, 1].any()  # not the dog inside of the cat's box
    _, dog = mask_loss([0, 1], [True, False])
    _, cat = mask_loss([0, 1], [False, True])
    assert dog > 0
    # Counted neither as an object nor as background.
    assert (dog_and_cat, cat) == (pytest.approx(dog, rel=1e-6), 0)
