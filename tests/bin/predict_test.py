"""Predictions in the pixels of the file, drawn and written."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from keras_fair import visualization
from keras_fair.bin import predict
from keras_fair.config import (
    KeypointRCNNConfig,
    MaskRCNNConfig,
    PixelConfig,
    RPNConfig,
)
from keras_fair.data import image_files
from keras_fair.evaluation import rle
from tests.models import tiny

NAMES = tuple(f"point {number}" for number in range(17))


class Person:
    """Finds one person in the whole of every image, half as large."""

    config = KeypointRCNNConfig(
        class_names=("person",),
        category_ids=(1,),
        keypoint_names=NAMES,
        pixels=PixelConfig(short_side=32, max_long_side=64),
    )

    def predict_on_batch(self, x):
        height, width = x["image_shape"][0].tolist()
        boxes = np.zeros((1, 2, 4), "float32")
        boxes[0, 0] = 0, 0, width, height
        keypoints = np.zeros((1, 2, 17, 3), "float32")
        keypoints[0, 0] = 0.25 * width, 0.5 * height, 0.9
        return {
            "boxes": boxes,
            "scores": np.float32([[0.8, 0]]),
            "labels": np.int32([[0, -1]]),
            "num_detections": np.int32([1]),
            "keypoints": keypoints,
            "masks": left_half(),
        }


def left_half():
    masks = np.zeros((1, 2, 28, 28), "float32")
    masks[..., :14] = 1
    return masks


@pytest.fixture
def written(tmp_path):
    """The drawing and the JSON of a grey image of 64 x 96."""
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 96, 3), 128, "uint8")).save(path)
    output = str(tmp_path / "found")
    drawings = predict.predict_files(Person(), [str(path)], output, 0.5)
    content = json.loads((tmp_path / "found" / "detections.json").read_text())
    return np.asarray(Image.open(drawings[0])), content


def test_keypoints_are_written_as_coco_has_them(written):
    (record,) = written[1]["annotations"]
    assert record["bbox"] == [0, 0, 96, 64]
    # (24, 32) is a corner of pixels; half a pixel before it in COCO's frame.
    expected = np.tile([23.5, 31.5, 0.9], 17)
    assert record["keypoints"] == pytest.approx(expected, abs=1e-5)


def test_masks_are_pasted_by_the_models_rule(tmp_path):
    class Segmenter(Person):
        """Finds a thing of one class."""

        config = MaskRCNNConfig(
            num_classes=1,
            class_names=("thing",),
            pixels=Person.config.pixels,
            paste="integer",
        )

    path = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 96, 3), 128, "uint8")).save(path)
    predict.predict_files(Segmenter(), [str(path)], str(tmp_path), 0.5)
    content = json.loads((tmp_path / "detections.json").read_text())
    (record,) = content["annotations"]
    (expected,) = rle.encode_masks(
        left_half()[0, :1], [[0, 0, 96, 64]], 64, 96, paste="integer"
    )
    counts = record["segmentation"]["counts"]
    assert counts == expected["counts"].decode("ascii")


def test_masks_are_written_in_the_pixels_of_the_file(written):
    (record,) = written[1]["annotations"]
    found = coco_mask.decode(record["segmentation"])
    assert found.shape == (64, 96)
    # The mask fades out at the corners.
    assert found[2:-2, 2:48].all() and not found[:, 48:].any()


def test_the_category_names_its_keypoints(written):
    assert written[1]["categories"] == [
        {"id": 1, "name": "person", "keypoints": list(NAMES)}
    ]


def test_keypoints_are_drawn_on_the_enlarged_image(written):
    drawing = written[0]
    assert drawing.shape == (5 * 64, 5 * 96, 3)
    dot = drawing[5 * 32, 5 * 24]
    assert tuple(dot) == visualization.class_color(16)  # the last of 17
    assert (drawing[5 * 32, 5 * 60] == 128).all()


class Proposer:
    """Proposes the left and the right half of every image."""

    config = RPNConfig(pixels=PixelConfig(short_side=32, max_long_side=64))

    def predict_on_batch(self, x):
        height, width = x["image_shape"][0].tolist()
        halves = [0, 0, width // 2, height], [width // 2, 0, width, height]
        return {
            "boxes": np.float32([[*halves, [0, 0, 0, 0]]]),
            "scores": np.float32([[0.9, 0.8, 0.0]]),
            "labels": np.int32([[0, 0, -1]]),
            "num_detections": np.int32([2]),
        }


def test_proposals_have_a_colour_each(tmp_path):
    path = tmp_path / "grey.png"
    Image.fromarray(np.full((64, 96, 3), 128, "uint8")).save(path)
    output = str(tmp_path / "found")
    (drawing,) = predict.predict_files(Proposer(), [str(path)], output, 0.5)
    pixels = np.asarray(Image.open(drawing))
    # The lower corners, far from the labels.
    assert pixels[-1, 0].tolist() != pixels[-1, -1].tolist()
    with open(f"{output}/detections.json") as file:
        records = json.load(file)["annotations"]
    assert [record["category_id"] for record in records] == [0, 0]


def test_mask_proposals_are_drawn_and_written_with_their_masks(tmp_path):
    model = tiny.mask_proposals(
        class_names=("object",),
        category_ids=(1,),
        pixels=PixelConfig(short_side=64, max_long_side=96),
    )
    path, output = tmp_path / "noise.png", str(tmp_path / "found")
    pixels = np.random.default_rng(0).integers(0, 256, (128, 192, 3), "uint8")
    Image.fromarray(pixels).save(path)

    (drawing,) = predict.predict_files(model, [str(path)], output, 0.0)

    (file,) = image_files.read([str(path)], model.config.pixels)
    found = {
        k: np.asarray(v)[0] for k, v in model.predict_on_batch(file.x).items()
    }
    count = int(found["num_detections"])
    assert count > 1
    # The file has twice the network's size.
    masks = rle.encode_masks(
        found["masks"][:count], 2 * found["boxes"][:count], 128, 192
    )
    expected = [mask["counts"].decode("ascii") for mask in masks]
    assert len(set(expected)) > 1
    content = json.loads((tmp_path / "found/detections.json").read_text())
    assert content["categories"] == [{"id": 1, "name": "object"}]
    records = content["annotations"]
    assert [r["segmentation"]["counts"] for r in records] == expected
    assert {r["category_id"] for r in records} == {1}
    assert all(coco_mask.area(r["segmentation"]) > 0 for r in records)
    drawn = np.asarray(Image.open(drawing))
    assert (drawn != pixels.repeat(2, axis=0).repeat(2, axis=1)).any(-1).any()


def test_images_of_the_output_folder_are_not_written_over(tmp_path):
    paths = [str(tmp_path / name) for name in ("a.png", "a.jpg")]
    for path in paths:
        Image.new("RGB", (96, 64), "grey").save(path)
    before = (tmp_path / "a.png").read_bytes()
    drawings = predict.predict_files(Person(), paths, str(tmp_path), 0.5)
    assert drawings == [str(tmp_path / f"a_{n}.png") for n in (2, 3)]
    assert (tmp_path / "a.png").read_bytes() == before
