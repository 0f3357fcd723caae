"""The exported folder, and what it answers where there is no Keras."""

import json
import os

import numpy as np
import pytest
import tensorflow as tf

from keras_fair import config_files, contract
from keras_fair.serving import saved_model, warmup
from tests.serving import conftest, pictures, served

SHAPES = ((40, 50), (70, 30))


def test_the_folder_is_what_a_server_watches(exported, mask_rcnn):
    assert exported.name == "1"
    assert os.listdir(exported.parent) == ["1"]
    extra = exported / "assets.extra"
    names = (extra / saved_model.CLASS_NAMES_NAME).read_text("utf-8")
    assert names.splitlines() == list(conftest.CLASS_NAMES)
    values = json.loads((extra / saved_model.CONFIG_NAME).read_text("utf-8"))
    assert config_files.from_dict(values) == mask_rcnn.config


def test_the_warm_up_fits_the_signatures(exported):
    reader = tf.saved_model.load(exported)
    path = str(exported / "assets.extra" / warmup.NAME)
    count = sum(1 for _ in tf.data.TFRecordDataset(path))
    assert count == len(reader.signatures) == 4


@pytest.fixture(scope="module")
def answers(exported, tmp_path_factory):
    """What one process answers to all that the tests below ask."""
    folder = tmp_path_factory.mktemp("requests")
    requests = {}
    for shape in SHAPES:
        for batch in (1, 2, 5):
            images = np.stack(
                [pictures.pixels(*shape, n) for n in range(batch)]
            )
            name = f"{shape[0]} x {shape[1]}, {batch}"
            requests[name] = "serving_default", {"images": images}
    images = requests[f"{SHAPES[0][0]} x {SHAPES[0][1]}, 2"][1]["images"]
    for name, bad in pictures.BAD.items():
        files = [pictures.PNG, bad, pictures.JPEG]
        requests[name] = "serve_bytes", {"images": files}
    requests["files"] = (
        "serve_bytes",
        {"images": [pictures.PNG, pictures.JPEG]},
    )
    requests["turned"] = (
        "serve_bytes",
        {"images": [pictures.encode(images[0], orientation=8)]},
    )
    requests["one pixel"] = (
        "serve_bytes",
        {"images": [pictures.encode(images[0][:1, :1])]},
    )
    for mode, encoded in pictures.OTHER.items():
        requests[mode] = "serve_bytes", {"images": [encoded]}
    requests["no file"] = "serve_bytes", {"images": []}
    requests["no image"] = "serving_default", {"images": images[:0]}
    requests["no pixel"] = "serving_default", {"images": images[:, :0]}
    requests["features"] = "serve_features", {"images": images}
    boxes = np.float32([[[4, 5, 40, 30], [0, 0, 50, 40], [0, 0, 0, 0]]] * 2)
    labels = np.int32([[0, 2, -1]] * 2)
    requests["masks"] = (
        "predict_masks",
        {"images": images, "boxes": boxes, "labels": labels},
    )
    requests["after all"] = "serving_default", {"images": images}
    found = served.ask(exported, folder, requests.values())
    return dict(zip(requests, found))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_pictures_are_detected_as_predict_does(
    answers, mask_rcnn, tmp_path, shape, batch
):
    found = answers[f"{shape[0]} x {shape[1]}, {batch}"]
    contract.check_detections(found)
    assert 0 < found["num_detections"].min()
    for row in range(batch):
        encoded = pictures.encode(pictures.pixels(*shape, row))
        wanted = served.expected(mask_rcnn, encoded, tmp_path)
        one = {name: value[row : row + 1] for name, value in found.items()}
        served.assert_equal(one, wanted)


def test_files_are_detected_as_predict_does(answers, mask_rcnn, tmp_path):
    found = answers["files"]
    for row, encoded in enumerate([pictures.PNG, pictures.JPEG]):
        wanted = served.expected(mask_rcnn, encoded, tmp_path)
        one = {name: value[row : row + 1] for name, value in found.items()}
        served.assert_equal(one, wanted)


def test_a_turned_file_is_turned_back(answers, mask_rcnn, tmp_path):
    image = np.rot90(pictures.pixels(*SHAPES[0], 0))
    wanted = served.expected(mask_rcnn, pictures.encode(image), tmp_path)
    served.assert_equal(answers["turned"], wanted)
    assert wanted["boxes"][..., 3].max() > SHAPES[0][0]


@pytest.mark.parametrize("name", pictures.BAD)
def test_a_bad_file_is_told_and_the_others_are_right(answers, name):
    found, good = answers[name], answers["files"]
    assert found["num_detections"].tolist() == [
        good["num_detections"][0],
        -1,
        good["num_detections"][1],
    ]
    assert (found["labels"][1] == contract.PADDING_LABEL).all()
    for key in ("boxes", "scores", "masks"):
        assert not found[key][1].any()
    others = {key: value[[0, 2]] for key, value in found.items()}
    served.assert_equal(others, good)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no image", "at least one image of at least one pixel"),
        ("no pixel", "at least one image of at least one pixel"),
        ("no file", "at least one encoded image"),
    ],
)
def test_nothing_is_refused(answers, name, message):
    assert message in str(answers[name]["error"])


@pytest.mark.parametrize("mode", pictures.OTHER)
def test_grey_and_cmyk_files_are_detected_as_predict_does(
    answers, mask_rcnn, tmp_path, mode
):
    wanted = served.expected(mask_rcnn, pictures.OTHER[mode], tmp_path)
    served.assert_equal(answers[mode], wanted)


def test_one_pixel_is_a_picture(answers):
    contract.check_detections(answers["one pixel"])


def test_after_all_that_the_answers_are_right(answers):
    before = answers[f"{SHAPES[0][0]} x {SHAPES[0][1]}, 2"]
    for name, value in answers["after all"].items():
        np.testing.assert_array_equal(value, before[name])


def test_masks_of_given_boxes_are_those_of_the_model(answers, mask_rcnn):
    images = np.stack([pictures.pixels(*SHAPES[0], n) for n in range(2)])
    pixels = mask_rcnn.config.pixels
    boxes = np.float32([[[4, 5, 40, 30], [0, 0, 50, 40], [0, 0, 0, 0]]] * 2)
    # 40 x 50 pixels become 96 x 120 in a corner of 128 x 128.
    assert pixels.short_side == 96
    resized = tf.cast(tf.round(tf.image.resize(images, (96, 120))), tf.uint8)
    x = {
        "images": tf.pad(resized, [[0, 0], [0, 32], [0, 8], [0, 0]]),
        "image_shape": tf.constant([[96, 120]] * 2),
    }
    labels = np.int32([[0, 2, -1]] * 2)
    wanted = mask_rcnn.predict_masks(x, boxes * np.float32(2.4), labels)
    found = answers["masks"]["masks"]
    assert found[:, :2].any() and not found[:, 2].any()
    np.testing.assert_allclose(found, wanted, atol=1e-4)


def test_the_pyramid_comes_with_its_valid_part(answers, mask_rcnn):
    found = answers["features"]
    assert sorted(found) == ["P2", "P3", "P4", "P5", "P6", "image_shape"]
    assert found["P2"].shape == (2, 32, 32, 8)
    assert found["image_shape"].tolist() == [[96, 120]] * 2


def test_versions_count_on_and_are_never_overwritten(tmp_path):
    folder = tmp_path / "model"
    for version in (1, 2):
        target = saved_model.version_folder(str(folder), None)
        assert target == folder / str(version)
        target.mkdir(parents=True)
    (folder / "7").mkdir()
    (folder / "part.12.9").mkdir()
    assert saved_model.version_folder(str(folder), None).name == "8"
    assert saved_model.version_folder(str(folder), 5).name == "5"
    with pytest.raises(FileExistsError, match="Give another version"):
        saved_model.version_folder(str(folder), 2)
    with pytest.raises(ValueError, match="a version from 1 on. Received: 0"):
        saved_model.version_folder(str(folder), 0)


def test_a_failed_export_leaves_nothing(tmp_path):
    target = tmp_path / "model" / "1"
    with pytest.raises(OSError, match="full"):
        with saved_model.complete_or_absent(target) as part:
            (part / "saved_model.pb").touch()
            raise OSError("The disk is full.")
    assert os.listdir(target.parent) == []


def test_a_version_appears_when_it_is_complete(tmp_path):
    target = tmp_path / "model" / "1"
    with saved_model.complete_or_absent(target) as part:
        (part / "saved_model.pb").touch()
        assert not any(p.name.isdigit() for p in target.parent.iterdir())
    assert os.listdir(target) == ["saved_model.pb"]
    assert os.listdir(target.parent) == ["1"]
