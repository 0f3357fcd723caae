"""The data set that a config names."""

import dataclasses

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
    if not is_union(config):
        return CocoDataset.from_config(config, split)
    dataset = UnionDataset(
        [
            open_source(source, config, choice)
            for source in sources_of(config, split)
        ],
        class_names,
    )
    chosen.among(dataset.class_names)  # refuses unknown names
    return dataset


def is_union(config: DataConfig) -> bool:
    """Say if classes of one name are one, and evaluation has training's."""
    has_sources = config.train_sources or config.val_sources
    return bool(has_sources) and not config.prepared


def sources_of(config: DataConfig, split: str) -> list[SourceConfig]:
    """Return what a split is made of, shards or one json too.

    Args:
        config: the data's settings.
        split: "train" or "val".

    Returns:
        Sources whose paths have the config's root.
    """
    if config.prepared:
        sources = [
            SourceConfig("tfds", annotations=config.prepared, split=split)
        ]
    else:
        sources = getattr(config, f"{split}_sources") or [
            SourceConfig(
                annotations=getattr(config, f"{split}_annotations"),
                images=getattr(config, f"{split}_images"),
            )
        ]
    return [
        dataclasses.replace(
            source,
            **{
                name: files.join(config.root, getattr(source, name))
                for name in ("annotations", "images", "coco_val")
            },
        )
        for source in sources
    ]


def open_source(
    source: SourceConfig,
    config: DataConfig,
    choice: class_splits.MaskChoice = instances.EVERY_MASK,
) -> instances.InstanceDataset:
    """Read one source.

    Args:
        source: its paths are whole.
        config: what holds for all sources; `max_images` is of each.
        choice: the objects whose masks are read.

    Raises:
        FileNotFoundError, ValueError: as the readers'.
    """
    annotations, images = source.annotations, source.images
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
            coco_val=source.coco_val,
            num_classes=source.num_classes,
            **options,
        )
    raise ValueError(
        'Expected the kind of a source as "coco", "lvis", "tfds", "voc" or '
        f'"visual_genome". Received: {source.kind!r}.'
    )
