"""Visual Genome's objects: boxes of thousands of classes, without masks.

Krishna et al.: Visual Genome, IJCV 2017. Mask^X R-CNN, section 5, takes its
3000 most frequent WordNet synsets as classes, COCO's 80 first. Reading all of
it (2.5 million objects) takes minutes and some 5 GB, by what a twentieth of it
takes. Needs no TensorFlow.
"""

import collections
import json
import os

from absl import logging

from keras_fair import files
from keras_fair.data import annotations as checks
from keras_fair.data import coco_synsets, file_parts, instances, records

NUM_CLASSES = 3000
NUM_TEST_IMAGES = 5000
NUM_COCO = len(coco_synsets.SYNSETS)


class VisualGenomeDataset(instances.InstanceDataset):
    """The records of objects.json and image_data.json; see InstanceDataset.

    Classes are COCO's 80 under COCO's names and in its order, then the most
    frequent other synsets, named by them, most frequent first.
    A box that sticks out of its image is clipped; one wholly outside is a
    bad record. An object without exactly one synset is left out.

    Args:
        folder: of the two files.
        images: folder of the image files, with or without Visual Genome's
            own VG_100K and VG_100K_2 in it.
        split: "" is all images; "val" those of COCO's validation, which a
            detector of COCO's classes must not have seen; "test" 5000 that
            COCO does not have (the last of image_data.json, as the authors'
            code takes them); "train" the rest.
        coco_val: path of COCO's instances_val2017.json, wherever there is a
            split.
        num_classes: of all, COCO's 80 among them; fewer where the files
            have fewer synsets.
        options: InstanceDataset's.

    Attributes:
        num_without_synset: objects left out for none or several.
        num_infrequent: objects left out, whose synset is not a class.
    """

    def __init__(
        self,
        folder: str,
        images: str,
        *,
        split: str = "",
        coco_val: str = "",
        num_classes: int = NUM_CLASSES,
        **options,
    ):
        if split not in ("", "train", "val", "test"):
            raise ValueError(
                'Expected split "train", "val", "test" or "" for all. '
                f"Received: {split!r}."
            )
        if split and not files.is_file(coco_val):
            raise FileNotFoundError(
                "Expected coco_val as COCO's instances_val2017.json, by which "
                f"images are split. Received: {coco_val!r}. Give it, or split "
                '"" for all images.'
            )
        if num_classes < NUM_COCO:
            raise ValueError(
                f"Expected num_classes of at least {NUM_COCO}, COCO's, "
                f"which come first. Received: {num_classes}."
            )
        self.path = os.path.join(folder, "objects.json")
        self._image_data = os.path.join(folder, "image_data.json")
        self._split = split
        self._coco_val = coco_val
        self._num_classes = num_classes
        super().__init__(images, **options)
        logging.info(
            "%s: of all objects %d are left out without exactly one synset, "
            "%d are of rarer ones.",
            self.path,
            self.num_without_synset,
            self.num_infrequent,
        )

    def read_content(self) -> records.Content:
        """Read both files.

        Raises:
            FileNotFoundError: one is missing.
            ValueError: one is no list as Visual Genome's.
        """
        listed = _read(self._image_data)
        images = {image["image_id"]: image for image in listed}
        chosen = self._choose(images)
        groups = _read(self.path, objects=True)
        names = self._choose_classes(groups)
        label_of = {synset: i for i, synset in enumerate(names, start=1)}
        annotations, faults = [], []
        for group in groups:
            image = images.get(group["image_id"])
            if image is None:
                error = ValueError(f"not in {self._image_data}")
                faults.append(records.Fault("image", group["image_id"], error))
            elif image["image_id"] in chosen:
                annotations += _annotations(group, image, label_of)
        return records.Content(
            [self._image(images[number]) for number in sorted(chosen)],
            annotations,
            [
                {"id": i, "name": names[synset]}
                for synset, i in label_of.items()
            ],
            faults,
        )

    def _choose(self, images: dict) -> set[int]:
        """Return the ids of the split's images."""
        if not self._split:
            return set(images)
        coco = {
            each["id"] for each in checks.read_json(self._coco_val)["images"]
        }
        in_coco = {i: image.get("coco_id") for i, image in images.items()}
        others = [i for i, coco_id in in_coco.items() if coco_id is None]
        parts = {
            "val": {i for i, coco_id in in_coco.items() if coco_id in coco},
            "test": set(others[-NUM_TEST_IMAGES:]),
        }
        rest = set(images) - parts["val"] - parts["test"]
        return parts.get(self._split, rest)

    def _choose_classes(self, groups: list) -> dict[str, str]:
        """Return the names of the synsets that are classes, in their order."""
        counts = collections.Counter(
            _synset(each) for group in groups for each in group["objects"]
        )
        self.num_without_synset = counts.pop(None, 0)
        names = coco_synsets.choose(counts)
        absent = [synset for synset in names if synset not in counts]
        if absent:
            logging.warning(
                "%s: no object of COCO's %s.", self.path, ", ".join(absent)
            )
        # Of equal counts the alphabet decides, not the order of the file.
        order = sorted(counts, key=lambda synset: (-counts[synset], synset))
        others = [synset for synset in order if synset not in names]
        names.update(
            (each, each) for each in others[: self._num_classes - NUM_COCO]
        )
        self.num_infrequent = counts.total() - sum(counts[s] for s in names)
        return names

    def _image(self, image: dict) -> dict:
        """Return COCO's dict of an image."""
        folder, name = str(image.get("url")).split("/")[-2:]
        path = os.path.join(folder, name)
        if not self.is_file(os.path.join(self.images_folder, path)):
            path = name
        return {
            "id": image["image_id"],
            "file_name": path,
            "height": image.get("height"),
            "width": image.get("width"),
        }


def _read(path: str, objects: bool = False) -> list[dict]:
    if not files.is_file(path):
        raise FileNotFoundError(f"No annotation file {path}.")
    try:
        content = json.loads(file_parts.read(path).decode("utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not complete JSON ({error}).") from error
    more = " and a list of objects" if objects else ""
    if not _are_dicts(content) or not all(
        type(each.get("image_id")) is int
        and (not objects or _are_dicts(each.get("objects")))
        for each in content
    ):
        raise ValueError(
            f"Expected Visual Genome's list of dicts with an image_id{more} in "
            f"{path}."
        )
    return content


def _are_dicts(content) -> bool:
    return isinstance(content, list) and all(
        isinstance(each, dict) for each in content
    )


def _synset(thing: dict) -> str | None:
    """Return an object's synset if it has exactly one."""
    match thing.get("synsets"):
        case [str(synset)]:
            return synset
    return None


def _annotations(group: dict, image: dict, label_of: dict) -> list[dict]:
    """Return COCO's dicts of an image's objects that are of a class."""
    return [
        {
            "id": each.get("object_id"),
            "image_id": image["image_id"],
            "category_id": label_of[_synset(each)],
            "bbox": _clip(
                [each.get(key) for key in ("x", "y", "w", "h")],
                image.get("height"),
                image.get("width"),
            ),
        }
        for each in group["objects"]
        if _synset(each) in label_of
    ]


def _clip(box: list, height, width) -> list:
    """Clip (x, y, width, height) to the image; the checks see the rest."""
    numbers = (*box, height, width)
    if not all(type(number) in (int, float) for number in numbers):
        return box
    x, y, box_width, box_height = box
    left, right = (min(max(side, 0), width) for side in (x, x + box_width))
    top, bottom = (min(max(side, 0), height) for side in (y, y + box_height))
    return [left, top, right - left, bottom - top]
