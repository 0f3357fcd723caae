"""From encoded pictures to inputs, against the forms that read files."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from keras_fair import contract
from keras_fair.config import PixelConfig
from keras_fair.data import image_files, sizes, transforms
from keras_fair.serving import images
from tests.serving import pictures

PIXELS = PixelConfig(short_side=96, max_long_side=128)


def trace():
    return tf.function(
        lambda encoded: images.decode(encoded, PIXELS),
        input_signature=[tf.TensorSpec([None], tf.string)],
    )


TRACED = trace()


def decode(*files: bytes, function=TRACED):
    x, originals = function(tf.constant(files, tf.string))
    x = {name: value.numpy() for name, value in x.items()}
    contract.check_inputs(x)
    return x, originals.numpy()


@pytest.mark.parametrize("rule", ["bilinear", "floor"])
@pytest.mark.parametrize(("short", "long"), [(800, 1333), (600, 600), (97, 99)])
def test_sizes_are_rounded_as_those_of_files(short, long, rule):
    rng = np.random.default_rng(0)
    shapes = rng.integers(1, 5000, (20_000, 2)).astype("int32")
    pixels = PixelConfig(short_side=short, max_long_side=long, resize=rule)
    found = tf.function(images.resized_shape)(shapes, pixels)
    np.testing.assert_array_equal(
        found, sizes.resized_shapes(shapes, short, long, rule)
    )


@pytest.mark.parametrize("rule", ["antialias", "floor"])
def test_files_and_pictures_obey_the_models_rule(rule, tmp_path):
    pixels = dataclasses.replace(PIXELS, resize=rule)
    picture = pictures.pixels(220, 194)
    encoded = pictures.encode(picture, "PNG")
    path = tmp_path / "picture.png"
    path.write_bytes(encoded)
    (expected,) = image_files.read([str(path)], pixels)
    (otherwise,) = image_files.read([str(path)], PIXELS)
    assert (expected.x["images"] != otherwise.x["images"]).any()

    decoded, _ = images.decode(tf.constant([encoded]), pixels)
    resized, _ = images.resize(tf.constant(picture[None]), pixels)

    for x in (decoded, resized):
        np.testing.assert_array_equal(x["images"], expected.x["images"])
        np.testing.assert_array_equal(
            x["image_shape"], expected.x["image_shape"]
        )


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(40, 50), (300, 100), (96, 96), (1, 1)])
def test_a_file_becomes_what_image_files_read(kind, shape, tmp_path):
    encoded = pictures.encode(pictures.pixels(*shape), kind)
    path = tmp_path / "picture"
    path.write_bytes(encoded)
    (expected,) = image_files.read([str(path)], PIXELS)
    x, originals = decode(encoded)
    np.testing.assert_array_equal(x["images"], expected.x["images"])
    np.testing.assert_array_equal(x["image_shape"], expected.x["image_shape"])
    assert originals.tolist() == [list(shape)]


def test_a_batch_is_what_each_file_is_alone():
    files = [
        pictures.encode(pictures.pixels(*shape), kind)
        for shape in ((40, 50), (300, 100))
        for kind in ("PNG", "JPEG")
    ]
    x, originals = decode(*files)
    assert x["images"].shape == (4, 128, 128, 3)
    for row, file in enumerate(files):
        alone, original = decode(file)
        height, width = alone["image_shape"][0]
        np.testing.assert_array_equal(x["image_shape"][row], [height, width])
        np.testing.assert_array_equal(originals[row], original[0])
        image = x["images"][row]
        np.testing.assert_array_equal(
            image[:height, :width], alone["images"][0, :height, :width]
        )
        assert not image[height:].any() and not image[:, width:].any()


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_become_rgb(mode):
    image = pictures.pixels(96, 96)
    x, _ = decode(pictures.encode(image, "JPEG", mode=mode))
    expected = image
    if mode == "L":
        weights = [0.299, 0.587, 0.114]
        expected = np.repeat((image @ weights)[..., None], 3, -1)
    error = np.abs(x["images"][0, :96, :96] - expected.astype(float))
    # JPEG's own loss, and Pillow's rounding to CMYK.
    assert error.mean() < 4


def test_the_orientation_counts_before_the_size():
    image = pictures.pixels(40, 120)
    turned = pictures.encode(image, orientation=6)
    x, originals = decode(turned)
    expected, _ = decode(pictures.encode(np.rot90(image, -1)))
    assert originals.tolist() == [[120, 40]]
    np.testing.assert_array_equal(x["images"], expected["images"])


@pytest.mark.parametrize("name", pictures.BAD)
def test_a_bad_file_leaves_the_others_be(name):
    x, originals = decode(pictures.JPEG, pictures.BAD[name], pictures.PNG)
    assert originals.tolist() == [[40, 50], [0, 0], [40, 50]]
    expected, _ = decode(pictures.JPEG)
    np.testing.assert_array_equal(x["images"][0], expected["images"][0])
    assert not x["images"][1].any()
    assert x["image_shape"][1].tolist() == [1, 1]


def test_a_batch_of_bad_files_is_a_black_one():
    x, originals = decode(b"", b"text")
    assert x["images"].shape == (2, 128, 128, 3) and not x["images"].any()
    assert not originals.any()


def test_the_largest_file_that_is_taken_is_named_by_its_limit(monkeypatch):
    monkeypatch.setattr(images, "MAX_PIXELS", 40 * 50)
    larger = pictures.encode(pictures.pixels(40, 51))
    larger_jpeg = pictures.encode(pictures.pixels(41, 50), "JPEG")
    _, originals = decode(pictures.PNG, larger, larger_jpeg, function=trace())
    assert originals.tolist() == [[40, 50], [0, 0], [0, 0]]


def test_an_empty_batch_is_refused():
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one"):
        decode()
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least one"):
        images.resize(tf.zeros([0, 5, 5, 3], tf.uint8), PIXELS)


def test_boxes_return_to_the_pixels_that_came():
    shapes = np.int32([[96, 120], [1, 1]])
    originals = np.int32([[40, 50], [0, 0]])
    boxes = np.float32([[[0, 0, 120, 96]], [[0, 0, 1, 1]]])
    found = {
        "boxes": boxes,
        "scores": np.float32([[0.9], [0.9]]),
        "labels": np.int32([[3], [3]]),
        "num_detections": np.int32([1, 1]),
        "masks": np.ones([2, 1, 28, 28], "float32"),
        "keypoints": np.float32([[[[60, 48, 2]]], [[[1, 1, 2]]]]),
    }
    found = {name: tf.constant(value) for name, value in found.items()}
    result = images.to_callers(found, shapes, originals)
    result = {name: value.numpy() for name, value in result.items()}
    assert result["boxes"].tolist() == [[[0, 0, 50, 40]], [[0, 0, 0, 0]]]
    assert result["keypoints"][0].tolist() == [[[25, 20, 2]]]
    assert result["num_detections"].tolist() == [1, -1]
    assert result["labels"].tolist() == [[3], [-1]]
    assert result["masks"][0].all() and not result["masks"][1].any()
    expected = transforms.to_original(boxes[:1], shapes[:1], originals[:1])
    np.testing.assert_allclose(result["boxes"][:1], expected, rtol=1e-6)
