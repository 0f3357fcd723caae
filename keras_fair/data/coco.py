"""COCO's instance annotations: one json and a folder of images."""

from keras_fair import files
from keras_fair.config import DataConfig
from keras_fair.data import annotations as checks
from keras_fair.data import class_splits, exports, instances, records


class CocoDataset(instances.InstanceDataset):
    """The records of one annotation file; see InstanceDataset.

    What labelling tools write in COCO's shape is read, too: see exports.py.

    Args:
        annotations: path of an instances json.
        images: folder of the image files.
        options: InstanceDataset's.
    """

    def __init__(self, annotations: str, images: str, **options):
        self.path = annotations
        super().__init__(images, **options)

    @classmethod
    def from_config(cls, config: DataConfig, split: str) -> "CocoDataset":
        """Read the "train" or "val" split that the config names.

        Masks are withheld from the former only.
        """
        if split not in ("train", "val"):
            raise ValueError(
                f'Expected split "train" or "val". Received: {split!r}.'
            )
        chosen = class_splits.MaskChoice(config.mask_classes, config.mask_rate)
        dataset = cls(
            files.join(config.root, getattr(config, f"{split}_annotations")),
            files.join(config.root, getattr(config, f"{split}_images")),
            with_masks=config.with_masks,
            with_keypoints=config.with_keypoints,
            on_bad_record=config.on_bad_record,
            max_images=config.max_images,
            mask_choice=chosen if split == "train" else instances.EVERY_MASK,
        )
        chosen.among(dataset.class_names)  # refuses unknown names
        return dataset

    def read_content(self) -> records.Content:
        content = checks.read_json(self.path)
        lists = records.Content(*(content[name] for name in checks.LISTS))
        return exports.with_integer_ids(lists)
