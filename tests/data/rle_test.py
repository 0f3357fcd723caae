import numpy as np
import pytest
from pycocotools import mask as coco_mask

from keras_fair.data import rle


def decode(counts, height, width):
    """The slow truth: write every run out."""
    values = np.repeat(np.arange(len(counts)) % 2, counts)
    return values.reshape(width, height).T


@pytest.mark.parametrize("density", [0.0, 0.01, 0.5, 0.99, 1.0])
@pytest.mark.parametrize("shape", [(1, 1), (7, 5), (120, 90)])
def test_compressed_string_decodes_as_by_pycocotools(density, shape):
    rng = np.random.default_rng(len(shape))
    mask = np.asfortranarray(rng.uniform(size=shape) < density, np.uint8)
    counts = rle.decode_counts(coco_mask.encode(mask)["counts"])
    np.testing.assert_array_equal(decode(counts, *shape), mask)


def test_long_runs_decode():
    mask = np.zeros((3000, 2000), np.uint8, order="F")
    mask[5:2990, 700:702] = 1
    counts = rle.decode_counts(coco_mask.encode(mask)["counts"])
    np.testing.assert_array_equal(decode(counts, 3000, 2000), mask)


def test_string_list_and_polygon_agree():
    polygon = [[2.0, 1.0, 6.0, 1.0, 6.0, 4.0, 2.0, 4.0]]
    from_polygon = rle.read_segmentation(polygon, 5, 8)
    expected = np.zeros((5, 8), np.uint8, order="F")
    expected[1:4, 2:6] = 1
    compressed = coco_mask.encode(expected)["counts"].decode()
    from_string = rle.read_segmentation(
        {"size": [5, 8], "counts": compressed}, 5, 8
    )
    from_list = rle.read_segmentation(
        {"size": [5, 8], "counts": [11, 3, 2, 3, 2, 3, 2, 3, 11]}, 5, 8
    )
    np.testing.assert_array_equal(decode(from_polygon, 5, 8), expected)
    np.testing.assert_array_equal(from_string, from_polygon)
    np.testing.assert_array_equal(from_list, from_polygon)
    assert from_polygon.dtype == np.int32


def test_polygons_of_one_object_are_united():
    polygons = [[0, 0, 2, 0, 2, 2, 0, 2], [4, 0, 6, 0, 6, 2, 4, 2]]
    mask = decode(rle.read_segmentation(polygons, 5, 8), 5, 8)
    assert mask.sum() == 8
    assert mask[:2, [0, 1, 4, 5]].all()


def test_speck_without_a_pixel_is_none():
    speck = [[1.1, 1.1, 1.2, 1.1, 1.2, 1.2]]
    assert rle.read_segmentation(speck, 5, 8) is None
    empty = {"size": [5, 8], "counts": [40]}
    assert rle.read_segmentation(empty, 5, 8) is None


@pytest.mark.parametrize(
    "segmentation, message",
    [
        ("polygon", "polygons or RLE. Received: str"),
        (5, "polygons or RLE. Received: int"),
        ([0, 0, 2, 0, 2, 2], "flat lists"),
        ([[0, 0, 2, 0, 2, 2, 3]], "flat lists"),
        ([[0, 0, 2, 2]], "at least 3 points. Received: 2"),
        ([[]], "at least 3 points. Received: 0"),
        ([[0, 0, 2, 10**400, 2, 2]], "finite numbers in a polygon"),
        ([[0, 0, 1e9, 0, 2, 2]], r"within 1e\+06 pixels"),
        ({"size": [5, 8], "counts": "\ud800"}, "characters that are not of it"),
        ({"size": [5, 8], "counts": [0, 2**70]}, f"Received: {2**70}"),
        ([[0, 0, 2, float("nan"), 2, 2]], "finite"),
        ([[0, 0, 2, "x", 2, 2]], "finite"),
        ([[0, 0, 2, [1], 2, 2]], "finite"),
        ({"counts": [40]}, r"size \[5, 8\], the image's. Received: None"),
        ({"size": [8, 5], "counts": [40]}, r"Received: \[8, 5\]"),
        ({"size": [5, 8]}, "string or a list"),
        ({"size": [5, 8], "counts": [1.5, 38.5]}, "string or a list"),
        ({"size": [5, 8], "counts": [10, 5]}, "sum to 40 .* Received: 15"),
        ({"size": [5, 8], "counts": [50, -10]}, "sum to 40"),
        ({"size": [5, 8], "counts": ""}, "cut off"),
        ({"size": [5, 8], "counts": "o"}, "cut off"),
        ({"size": [5, 8], "counts": "\xe9\xe91"}, "characters"),
        ({"size": [5, 8], "counts": "o" * 9 + "1"}, "beyond 32 bits"),
        ({"size": [5, 8], "counts": "11"}, "sum to 40"),
    ],
)
def test_malformed_segmentation_is_refused(segmentation, message):
    with pytest.raises(ValueError, match=message):
        rle.read_segmentation(segmentation, 5, 8)
