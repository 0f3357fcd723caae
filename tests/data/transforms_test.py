import numpy as np
import pytest
from PIL import Image

from keras_fair.data import sizes, transforms
from tests import shared

GREY = np.arange(0, 240, 2, dtype=np.uint8).reshape(10, 12)


def save(path, image, **options):
    image.save(path, **options)
    return str(path)


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "1", "LA", "I;16"])
def test_every_kind_of_png_becomes_rgb(tmp_path, mode):
    if mode == "I;16":
        image = Image.fromarray(GREY.astype(np.uint16) * 257)
        expected = GREY
    else:
        image = Image.fromarray(GREY).convert(mode)
        expected = np.asarray(image.convert("L"))
    decoded = transforms.read_image(save(tmp_path / "a.png", image)).numpy()
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, np.stack([expected] * 3, -1))


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_every_kind_of_jpeg_becomes_rgb(tmp_path, mode):
    image = Image.fromarray(np.full((16, 24), 200, np.uint8)).convert(mode)
    decoded = transforms.read_image(save(tmp_path / "a.jpg", image)).numpy()
    assert decoded.shape == (16, 24, 3)
    # JPEG's own rounding.
    np.testing.assert_allclose(decoded, 200, atol=3)


def test_exif_orientation_is_ignored(tmp_path):
    image = Image.fromarray(GREY)
    exif = image.getexif()
    exif[0x0112] = 6  # rotate by 90 degrees to view
    path = save(tmp_path / "a.jpg", image, exif=exif)
    assert transforms.read_image(path).shape == (10, 12, 3)


@pytest.mark.parametrize("name", ["a.jpg", "a.png"])
def test_truncated_image_is_empty(tmp_path, name):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
    path = save(tmp_path / name, Image.fromarray(pixels))
    whole = open(path, "rb").read()
    open(path, "wb").write(whole[: len(whole) // 2])
    assert transforms.read_image(path).shape == (0, 0, 3)


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", None])
def test_what_is_no_image_is_empty(tmp_path, content):
    path = tmp_path / "a.jpg"
    if content is not None:
        path.write_bytes(content)
    assert transforms.read_image(str(path)).shape == (0, 0, 3)


def test_resizing_is_bilinear_between_pixel_centres():
    image = np.zeros((1, 2, 3), np.uint8)
    image[0, 1] = 200
    resized = transforms.resize_image(image, [1, 4]).numpy()
    # Output centres lie at -0.25, 0.25, 0.75 and 1.25 of the input's.
    np.testing.assert_array_equal(resized[0, :, 0], [0, 50, 150, 200])


def test_resizing_to_the_same_size_changes_nothing():
    image = np.stack([GREY] * 3, -1)
    resized = transforms.resize_image(image, [10, 12]).numpy()
    np.testing.assert_array_equal(resized, image)


@pytest.mark.parametrize("short_side", [30, 120, 333, 800])
def test_antialiasing_is_pillows(short_side):
    path = sorted((shared.coco_tiny() / "val2017").glob("*.jpg"))[0]
    image = np.asarray(Image.open(path).convert("RGB"))
    shape = sizes.resized_shapes([image.shape[:2]], short_side, 1333)[0]

    resized = transforms.resize_image(image, shape, "antialias").numpy()

    pillow = Image.fromarray(image).resize(shape[::-1], Image.BILINEAR)
    error = np.abs(resized.astype(int) - np.asarray(pillow))
    # Half a level of the final rounding, and half of Pillow's rounding
    # between the directions, which seldom come together.
    assert error.max() <= 1
    assert error.mean() < 0.25


def test_antialiasing_counts_every_pixel():
    image = np.zeros((1, 8, 3), np.uint8)
    image[0, [0, 7]] = 240
    resized = transforms.resize_image(image, [1, 1]).numpy()
    assert not resized.any()  # the two in the middle are
    resized = transforms.resize_image(image, [1, 1], "antialias").numpy()
    # Weights fall from the centre to a distance of eight: 9, 11, 13, 15.
    np.testing.assert_array_equal(resized[0, 0], [240 * 9 / 48] * 3)


@pytest.mark.parametrize("index", [0, 1])
def test_floor_is_torchvisions(index):
    golden = shared.fixture("ops_transform.npz")
    image = golden[f"in_img{index}"].transpose(1, 2, 0)  # 0..1
    shape = sizes.resized_shapes([image.shape[:2]], 96, 160, "floor")[0]
    np.testing.assert_array_equal(shape, golden["image_sizes"][index])

    resized = transforms.resize_image(image * 255, shape, "floor").numpy()

    height, width = shape
    expected = golden["batch"][index].transpose(1, 2, 0)[:height, :width]
    expected = expected * (0.229, 0.224, 0.225) + (0.485, 0.456, 0.406)
    # Ours is rounded: half a level, and 1e-3 for float32.
    np.testing.assert_allclose(resized, expected * 255, rtol=0, atol=0.501)


def test_an_unknown_rule_of_resizing_is_refused():
    message = "Expected resize as one of bilinear, antialias, floor"
    with pytest.raises(ValueError, match=message):
        transforms.resize_image(np.zeros((2, 2, 3), np.uint8), [1, 1], "area")


def test_padding_is_zero_right_and_below():
    image = np.full((2, 3, 3), 9, np.uint8)
    padded = transforms.pad_image(image, [4, 5]).numpy()
    assert (padded[:2, :3] == 9).all()
    assert padded.sum() == 9 * image.size
    assert padded.shape == (4, 5, 3)


def test_boxes_scale_by_each_axis_own_factor():
    boxes = np.array([[10, 20, 30, 40]], np.float32)
    scaled = transforms.scale_boxes(boxes, [100, 60], [50, 120]).numpy()
    np.testing.assert_array_equal(scaled, [[20, 10, 60, 20]])


def test_scaled_boxes_stay_inside():
    drawn = np.random.default_rng(0).integers(1, 2000, (300, 4))
    for height, width, new_height, new_width in drawn.tolist():
        box = np.array([[0, 0, width, height]], np.float32)
        scaled = transforms.scale_boxes(
            box, [height, width], [new_height, new_width]
        )
        np.testing.assert_array_equal(scaled, [[0, 0, new_width, new_height]])


def test_to_original_undoes_scaling():
    rng = np.random.default_rng(0)
    boxes = rng.uniform(0, 400, (2, 5, 4)).astype(np.float32)
    original = np.array([[427, 640], [480, 333]], np.int32)
    network = np.array([[800, 1199], [107, 74]], np.int32)
    scaled = [
        transforms.scale_boxes(*arguments)
        for arguments in zip(boxes, original, network)
    ]
    back = transforms.to_original(np.stack(scaled), network, original)
    # Two float32 roundings of numbers up to 1200.
    np.testing.assert_allclose(back, boxes, atol=2e-4)
    assert back.dtype == np.float32


def test_keypoints_are_scaled_and_keep_their_visibility():
    points = np.array([[[10, 20, 2], [0, 0, 0], [30, 40, 1]]], np.float32)
    found = transforms.scale_keypoints(points, (40, 60), (80, 180))
    np.testing.assert_array_equal(
        found, [[[30, 40, 2], [0, 0, 0], [90, 80, 1]]]
    )
