"""Detect objects in image files; draw them and write COCO-format JSON.

    python -m keras_fair.bin.predict --workdir=/tmp/run --output=/tmp/found \
        photo.jpg folder_of_photos

Each drawing has the name of its image; `detections.json` lists the boxes
(x, y, width, height, original pixels), with masks as COCO's RLE and keypoints
as COCO's x, y (0 is the middle of the first pixel) and score where the model
has them, and `images` in it the file of each id.
"""

import os

import keras
import numpy as np
from absl import app, flags

from keras_fair import files, visualization
from keras_fair.bin import experiments
from keras_fair.config import ProposerConfig
from keras_fair.data import image_files, transforms
from keras_fair.evaluation import rle
from keras_fair.models import load_preset

SMALL_SIDE = 480  # pixels; a smaller image is enlarged to be looked at
SCORE_THRESHOLD = flags.DEFINE_float(
    "score_threshold", 0.5, "Draw detections from this score on."
)


def predict_files(model, paths: list[str], output: str, score_threshold: float):
    """Write a drawing of each image and `detections.json`; return the names.

    The JSON holds all detections, whatever the threshold of the drawings.
    """
    os.makedirs(output, exist_ok=True)
    progress = keras.utils.Progbar(len(paths), unit_name="image")
    drawings, images, records = [], [], []
    taken = {os.path.realpath(path) for path in paths}
    for image_id, file in enumerate(
        image_files.read(paths, model.config.pixels), start=1
    ):
        found = model.predict_on_batch(file.x)
        found = {name: value[0] for name, value in found.items()}
        height, width = file.pixels.shape[:2]
        found = _in_original(found, file.x["image_shape"][0], (height, width))
        drawing = _draw(file.pixels, found, model.config, score_threshold)
        drawings.append(_drawing_path(output, file.path, taken))
        visualization.save_image(drawing, drawings[-1])
        images.append(
            {
                "id": image_id,
                "file_name": file.path,
                "height": height,
                "width": width,
            }
        )
        records += _records(found, images[-1], model.config)
        progress.add(1)
    _write_json(os.path.join(output, "detections.json"), images, records, model)
    return drawings


def _in_original(found: dict, image_shape, original_shape) -> dict:
    """Take boxes and keypoints to the pixels of the file."""
    boxes = transforms.to_original(found["boxes"], image_shape, original_shape)
    found = {**found, "boxes": boxes}
    if "keypoints" in found:
        scale = np.divide(original_shape, image_shape)[::-1]
        found["keypoints"] = found["keypoints"] * [*scale, 1.0]
    return found


def _draw(pixels, found: dict, config, score_threshold: float):
    """Draw the detections; on an enlarged image where it is a small one."""
    names = config.class_names or None
    if isinstance(config, ProposerConfig):
        # A colour each: proposals are all of one class, and lie close.
        labels = found["labels"]
        rows = np.arange(len(labels), dtype="int32")
        found = {**found, "labels": np.where(labels < 0, labels, rows)}
        names = ["object"] * len(labels)
    scale = max(1, SMALL_SIDE // max(pixels.shape[:2]))
    found = {**found, "boxes": found["boxes"] * scale}
    if "keypoints" in found:
        found["keypoints"] = found["keypoints"] * [scale, scale, 1]
    return visualization.draw_detections(
        pixels.repeat(scale, axis=0).repeat(scale, axis=1),
        found,
        names,
        score_threshold=score_threshold,
    )


def _drawing_path(output: str, path: str, taken: set[str]) -> str:
    """Name the drawing like its image, with a number where that is taken.

    The name is taken from then on. An image itself is never written over.
    """
    stem, number = os.path.splitext(os.path.basename(path))[0], 1
    result = os.path.join(output, f"{stem}.png")
    while os.path.realpath(result) in taken:
        number += 1
        result = os.path.join(output, f"{stem}_{number}.png")
    taken.add(os.path.realpath(result))
    return result


def _records(found: dict, image: dict, config) -> list[dict]:
    records, count = [], int(found["num_detections"])
    if "masks" in found:
        masks = rle.encode_masks(
            found["masks"][:count],
            found["boxes"][:count],
            image["height"],
            image["width"],
            # Proposals have masks and no such field.
            paste=getattr(config, "paste", "sampled"),
        )
    for row in range(count):
        x1, y1, x2, y2 = found["boxes"][row].tolist()
        label = int(found["labels"][row])
        ids = config.category_ids
        records.append(
            {
                "image_id": image["id"],
                "category_id": ids[label] if ids else label,
                "bbox": [x1, y1, x2 - x1, y2 - y1],
                "score": float(found["scores"][row]),
            }
        )
        if "masks" in found:
            counts = masks[row]["counts"].decode("ascii")
            records[-1]["segmentation"] = {**masks[row], "counts": counts}
        if "keypoints" in found:
            # COCO's coordinates are indices of pixels.
            points = found["keypoints"][row] - [0.5, 0.5, 0.0]
            records[-1]["keypoints"] = points.ravel().tolist()
    return records


def _write_json(path: str, images: list, records: list, model) -> None:
    names = model.config.class_names
    ids = model.config.category_ids or range(len(names))
    # A detector of boxes and masks has no such field.
    keypoints = getattr(model.config, "keypoint_names", ())
    more = {"keypoints": keypoints} if keypoints else {}
    content = {
        "images": images,
        "categories": [
            {"id": i, "name": name, **more}
            for i, name in zip(ids, names, strict=True)
        ],
        "annotations": records,
    }
    files.write_json(path, content)


def main(arguments) -> None:
    if len(arguments) < 2:
        raise app.UsageError("Name image files or folders after the flags.")
    paths = image_files.find(arguments[1:])
    output = experiments.OUTPUT.value
    model = load_preset(experiments.model_folder())
    drawings = predict_files(model, paths, output, SCORE_THRESHOLD.value)
    print(f"{len(drawings)} drawings and detections.json are in {output}.")


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flag_as_required("output")
    experiments.run(main)


if __name__ == "__main__":
    run()
