"""Several data sets as one, with or without masks each."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from pycocotools import coco as pycoco

from keras_fair.data import instances


class UnionDataset(instances.SkippedRecords):
    """The records of several sources under one list of classes.

    Classes are joined by name (give a source's reader a class_map where
    names differ) and images are numbered anew, so that an image may come
    from two sources: it is then two records, each with its own objects.

    Args:
        sources: data sets, each with or without masks.
        class_names: the classes in the order of their labels; () is the
            sources' in the order of their appearance. A class of which no
            source has any object may be among them.

    Attributes:
        records, path, with_masks, with_keypoints, keypoint_names,
            on_bad_record, skipped: as InstanceDataset's.
        category_ids, class_names: 1 to K and the names.
        origins: {image_id: (path of the source, its image id)}.

    Raises:
        ValueError: no sources, ones that treat bad records differently or
            have other keypoints, or a class that `class_names` lacks.
    """

    def __init__(self, sources: Sequence, class_names: Sequence[str] = ()):
        super().__init__()
        ways = {
            (source.on_bad_record, source.keypoint_names) for source in sources
        }
        if len(ways) != 1:
            raise ValueError(
                "Expected data sets of the same on_bad_record and the same "
                f"keypoints, all or none. Received: {len(sources)} data sets "
                f"of {sorted(ways)}."
            )
        ((self.on_bad_record, self.keypoint_names),) = ways
        self.with_keypoints = bool(self.keypoint_names)
        self.with_masks = any(source.with_masks for source in sources)
        self.path = " + ".join(source.path for source in sources)
        self._sources = tuple(sources)
        self.class_names = tuple(class_names) or tuple(
            dict.fromkeys(n for source in sources for n in source.class_names)
        )
        self.category_ids = tuple(range(1, len(self.class_names) + 1))
        self._label_of = {n: i for i, n in enumerate(self.class_names)}
        for source in sources:
            self.skipped.update(source.skipped)
            self._check_classes(source)
        self.records, self.origins = [], {}
        self._image_ids = []  # of each source, {its id: ours}
        for source in sources:
            self._add(source)

    def _check_classes(self, source) -> None:
        unknown = set(source.class_names) - set(self.class_names)
        if unknown:
            raise ValueError(
                f"Expected classes that all data sets know. {source.path} "
                f"has others: {', '.join(sorted(unknown)[:5])}. Map them by "
                "a class_map, or train on that data set, too."
            )

    def _add(self, source) -> None:
        labels = np.array(
            [self._label_of[name] for name in source.class_names], np.int32
        )
        image_ids = {}
        for record in source.records:
            image_id = len(self.records) + 1
            self.origins[image_id] = (source.path, record.image_id)
            renamed = dataclasses.replace(
                record, image_id=image_id, labels=labels[record.labels]
            )
            image_ids[record.image_id] = image_id
            self.records.append(renamed)
        self._image_ids.append(image_ids)

    def to_coco(self) -> pycoco.COCO:
        """Return pycocotools' object of the records, as InstanceDataset's."""
        images, annotations = [], []
        for source, image_ids in zip(self._sources, self._image_ids):
            truth = source.to_coco().dataset
            category_of = {
                category["id"]: self._label_of[category["name"]] + 1
                for category in truth["categories"]
            }
            images += [
                {**image, "id": image_ids[image["id"]]}
                for image in truth["images"]
            ]
            annotations += [
                {
                    **each,
                    "id": len(annotations) + number,
                    "image_id": image_ids[each["image_id"]],
                    "category_id": category_of[each["category_id"]],
                }
                for number, each in enumerate(truth["annotations"], start=1)
            ]
        names = dict(zip(self.category_ids, self.class_names))
        return instances.index_coco(images, annotations, names)
