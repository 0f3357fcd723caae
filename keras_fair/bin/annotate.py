r"""Segment objects whose boxes are known, in COCO's format.

    python -m keras_fair.bin.annotate --model=/models/mask_x \
        --annotations=boxes.json --images=photos --output=masks.json

The output is the input with a `segmentation` for each annotation that has
none; crowd regions stay as they are. Categories are the model's by name; a
class-agnostic model segments any. Images without annotations get what the
model detects, with scores, where --pseudo_labels asks for it; without
--annotations, that is all images of the folder:

    python -m keras_fair.bin.annotate --model=/models/mask_x \
        --images=photos --pseudo_labels --min_score=0.7 --output=labels.json
"""

import collections
import os

import keras
from absl import app, flags

from keras_fair import files
from keras_fair.bin import annotator as annotator_lib
from keras_fair.bin import experiments
from keras_fair.data import annotations as checks
from keras_fair.data import coco, exports, image_files, records
from keras_fair.models import load_preset

ANNOTATIONS = flags.DEFINE_string(
    "annotations", None, "COCO json of the boxes; none: label all images."
)
IMAGES = flags.DEFINE_string("images", None, "Folder of the image files.")
REPLACE = flags.DEFINE_bool("replace", False, "Replace masks that are there.")
PSEUDO_LABELS = flags.DEFINE_bool(
    "pseudo_labels", False, "Label images without annotations."
)
MIN_SCORE = flags.DEFINE_float(
    "min_score", 0.5, "Of a detection that becomes a label."
)


def annotate(
    content: dict,
    images: str,
    annotator: annotator_lib.Annotator,
    *,
    replace: bool = False,
    min_score: float | None = None,
) -> collections.Counter:
    """Add masks, and objects to images without any, to COCO's dict.

    Args:
        content: checked; its annotations are changed and appended to. Ids
            may be strings and stay so.
        images: folder of the image files.
        annotator: of its categories, see `with_integer_ids`.
        replace: also masks that are there.
        min_score: of a detection to become an annotation; None adds none.

    Returns:
        Counts of the annotations by what was done.

    Raises:
        FileNotFoundError: an image that is missing.
        ValueError: an image that is not readable or of another size.
    """
    counts = collections.Counter()
    numbered = with_integer_ids(content)
    objects = collections.defaultdict(list)
    for each, own in zip(numbered.annotations, content["annotations"]):
        objects[each["image_id"]].append((each, own))
    new = _Appending(content, numbered)
    progress = keras.utils.Progbar(len(content["images"]), unit_name="image")
    for image, own_image in zip(numbered.images, content["images"]):
        present = objects[image["id"]]
        wanted = [pair for pair in present if _wants_mask(pair[0], replace)]
        counts["kept"] += len(present) - len(wanted)
        if wanted:
            file = _read(images, own_image, annotator)
            masks = annotator.segment(file, [each for each, _ in wanted])
            for (_, own), mask in zip(wanted, masks):
                counts["segmented" if mask else "without a pixel"] += 1
                if mask:
                    own["segmentation"] = mask
                    own["area"] = own.get("area") or annotator_lib.area(mask)
        elif not present and min_score is not None:
            file = _read(images, own_image, annotator)
            found = annotator.detect(file, min_score)
            counts["found"] += len(found)
            new.append(own_image, found)
        progress.add(1)
    return counts


def with_integer_ids(content: dict) -> records.Content:
    """Return the lists of COCO's dict as the readers number them."""
    lists = records.Content(*(content[name] for name in checks.LISTS))
    return exports.with_integer_ids(lists)


class _Appending:
    """Appends annotations, whose ids are of the kind of those present."""

    def __init__(self, content: dict, numbered: records.Content):
        self.annotations = content["annotations"]
        self.next_id = 1 + max(
            (a["id"] for a in numbered.annotations), default=0
        )
        has_strings = any(isinstance(a["id"], str) for a in self.annotations)
        self.kind = str if has_strings else int
        pairs = zip(numbered.categories, content["categories"])
        self.category_of = {each["id"]: own["id"] for each, own in pairs}

    def append(self, image: dict, found: list) -> None:
        for each in found:
            new = {
                "id": self.kind(self.next_id),
                "image_id": image["id"],
                **each,
                "category_id": self.category_of[each["category_id"]],
            }
            self.annotations.append(new)
            self.next_id += 1


def _wants_mask(annotation: dict, replace: bool) -> bool:
    if annotation.get("iscrowd"):
        return False
    segmentation = annotation.get("segmentation")
    return replace or not segmentation or segmentation == [[]]


def _read(folder: str, image: dict, annotator) -> image_files.ImageFile:
    """Read an image; fill in its size where it is not known."""
    path = exports.find_image(folder, image["file_name"])
    (file,) = image_files.read([path], annotator.model.config.pixels)
    height, width = file.pixels.shape[:2]
    known = tuple(
        image.setdefault(key, side)
        for key, side in (("height", height), ("width", width))
    )
    if known != (height, width):
        raise ValueError(
            f"Expected height and width {known} of {path}, as the json says. "
            f"Received: {(height, width)}."
        )
    return file


def unlabelled(folder: str, config) -> dict:
    """Return COCO's dict of a folder's images and the model's categories.

    Raises:
        ValueError: the model has no class names.
    """
    paths = image_files.find([folder])
    names = annotator_lib.class_names(config)
    ids = config.category_ids or range(1, len(names) + 1)
    return {
        "images": [
            {"id": number, "file_name": os.path.relpath(path, folder)}
            for number, path in enumerate(paths, start=1)
        ],
        "annotations": [],
        "categories": [{"id": i, "name": name} for i, name in zip(ids, names)],
    }


def annotate_files(
    model,
    annotations: str | None,
    images: str,
    output: str,
    *,
    replace: bool = False,
    min_score: float | None = None,
) -> collections.Counter:
    """Read, `annotate` and write; without annotations, all of the folder."""
    if annotations:
        coco.CocoDataset(annotations, images)  # its checks
        content = checks.read_json(annotations)
    else:
        content = unlabelled(images, model.config)
    counts = annotate(
        content,
        images,
        annotator_lib.Annotator(model, with_integer_ids(content).categories),
        replace=replace,
        min_score=min_score,
    )
    os.makedirs(os.path.dirname(os.path.abspath(output)), exist_ok=True)
    files.write_json(output, content)
    return counts


def main(_) -> None:
    if not ANNOTATIONS.value and not PSEUDO_LABELS.value:
        raise app.UsageError("Give --annotations, --pseudo_labels or both.")
    counts = annotate_files(
        load_preset(experiments.model_folder()),
        ANNOTATIONS.value,
        IMAGES.value,
        experiments.OUTPUT.value,
        replace=REPLACE.value,
        min_score=MIN_SCORE.value if PSEUDO_LABELS.value else None,
    )
    done = ", ".join(f"{count} {name}" for name, count in counts.items())
    print(f"{experiments.OUTPUT.value} is written. Objects: {done or 'none'}.")


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flags_as_required(["images", "output"])
    experiments.run(main)


if __name__ == "__main__":
    run()
