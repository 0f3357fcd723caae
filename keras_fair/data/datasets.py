"""The data set that a config names."""

from keras_fair import files
from keras_fair.config import DataConfig, SourceConfig
from keras_fair.data import class_splits, instances
from keras_fair.data.coco import CocoDataset
from keras_fair.data.lvis import LvisDataset
from keras_fair.data.prepared import PreparedDataset
from keras_fair.data.union import UnionDataset
from keras_fair.data.visual_genome import VisualGenomeDataset
from keras_fair.data.voc import VocDataset

Dataset = instances.InstanceDataset | UnionDataset


def open_dataset(
    config: DataConfig, split: str, class_names: tuple[str, ...] = ()
) -> Dataset:
    """Read the "train" or "val" split: one json of COCO, shards or a union.

    Masks are withheld from training only.

    Args:
        config: with `train_sources` or `val_sources` both splits are unions;
            one without sources is of its two paths then.
        split: which.
        class_names: of a union, the classes of the training.

    Raises:
        FileNotFoundError, ValueError: as the readers'.
    """
    chosen = class_splits.MaskChoice(config.mask_classes, config.mask_rate)
    choice = chosen if split == "train" else instances.EVERY_MASK
    if config.prepared:
        dataset = PreparedDataset(
            files.join(config.root, config.prepared),
            split,
            with_masks=config.with_masks,
            with_keypoints=config.with_keypoints,
            on_bad_record=config.on_bad_record,
            max_images=config.max_images,
            mask_choice=choice,
        )
        chosen.among(dataset.class_names)  # refuses unknown names
        return dataset
    if not config.train_sources and not config.val_sources:
        return CocoDataset.from_config(config, split)
    sources = {
        "train": config.train_sources
        or (_coco(config.train_annotations, config.train_images),),
        "val": config.val_sources
        or (_coco(config.val_annotations, config.val_images),),
    }
    dataset = UnionDataset(
        [_open(source, config, choice) for source in sources[split]],
        class_names,
    )
    chosen.among(dataset.class_names)  # refuses unknown names
    return dataset


def _coco(annotations: str, images: str) -> SourceConfig:
    return SourceConfig(annotations=annotations, images=images)


def _open(
    source: SourceConfig, config: DataConfig, choice: class_splits.MaskChoice
) -> instances.InstanceDataset:
    """Read one source; `max_images` is of each."""
    annotations, images, coco_val = (
        files.join(config.root, path)
        for path in (source.annotations, source.images, source.coco_val)
    )
    options = {
        "with_masks": config.with_masks and source.masks,
        "on_bad_record": config.on_bad_record,
        "max_images": config.max_images,
        "mask_choice": choice,
        "class_map": dict(source.class_map),
    }
    if source.kind in ("coco", "tfds"):  # the others have no keypoints
        options["with_keypoints"] = config.with_keypoints
    if source.kind == "coco":
        return CocoDataset(annotations, images, **options)
    if source.kind == "lvis":
        return LvisDataset(annotations, images, **options)
    if source.kind == "tfds":
        return PreparedDataset(annotations, source.split, **options)
    if source.kind == "voc":
        return VocDataset(
            annotations,
            source.split,
            class_names=source.class_names,
            **options,
        )
    if source.kind == "visual_genome":
        return VisualGenomeDataset(
            annotations,
            images,
            split=source.split,
            coco_val=coco_val,
            num_classes=source.num_classes,
            **options,
        )
    raise ValueError(
        'Expected the kind of a source as "coco", "lvis", "tfds", "voc" or '
        f'"visual_genome". Received: {source.kind!r}.'
    )
