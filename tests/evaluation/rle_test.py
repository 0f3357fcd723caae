"""RLE and polygons of box-frame masks equal pycocotools' of the canvas."""

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies
from hypothesis.extra import numpy as numpy_strategies

from keras_fair.evaluation import rle
from tests import shared

coco_mask = pytest.importorskip("pycocotools.mask")

HEIGHT, WIDTH = 60, 80


def detections(count=300, seed=0):
    """Blobs in boxes of all kinds: outside, tiny, thin, as tall as h."""
    random = np.random.default_rng(seed)
    coarse = random.normal(0, 1, (count, 7, 7))
    masks = 1 / (1 + np.exp(-2 * coarse.repeat(4, 1).repeat(4, 2)))
    centre = random.uniform((-5, -5), (WIDTH + 5, HEIGHT + 5), (count, 2))
    size = np.exp(random.uniform(-1, 5, (count, 2)))
    boxes = np.concatenate([centre - size / 2, centre + size / 2], 1)
    boxes[:4] = [
        [0, 0, WIDTH, HEIGHT],
        [0, 0, 0, 0],
        [-200, -200, -100, -100],
        [10, -50, 60, 150],  # runs go on from column to column
    ]
    masks[3] = 1
    return masks.astype("float32"), boxes.astype("float32")


def canvases(masks, boxes):
    """The slow truth: interpolate at every pixel of the image."""
    pasted = np.zeros((len(masks), HEIGHT, WIDTH), bool)
    for canvas, mask, (x1, y1, x2, y2) in zip(pasted, masks, boxes):
        if x2 > x1 and y2 > y1:
            rows = weights(HEIGHT, y1, y2, len(mask))
            columns = weights(WIDTH, x1, x2, len(mask))
            canvas[:] = rows @ mask @ columns.T >= 0.5
    return pasted


def weights(length, first, last, size):
    cell = (np.arange(length) + 0.5 - first) / (last - first) * size - 0.5
    return np.maximum(0, 1 - np.abs(cell[:, None] - np.arange(size)))


def encode(canvas) -> dict:
    return coco_mask.encode(np.asfortranarray(canvas.astype("uint8")))


def test_chunks_are_the_canvases_in_order():
    masks, boxes = detections()

    chunks = list(
        rle.paste_chunks(
            masks, boxes, HEIGHT, WIDTH, max_bytes=7 * HEIGHT * WIDTH
        )
    )

    assert max(chunk.nbytes for chunk in chunks) == 7 * HEIGHT * WIDTH
    differ = np.concatenate(chunks) != canvases(masks, boxes)
    # float32 against float64: a pixel on the threshold may fall either way.
    assert differ.sum() <= 3


def test_a_chunk_is_at_least_one_mask():
    masks, boxes = detections(count=5)

    chunks = rle.paste_chunks(masks, boxes, HEIGHT, WIDTH, max_bytes=1)

    assert [chunk.shape for chunk in chunks] == [(1, HEIGHT, WIDTH)] * 5


def test_strings_are_pycocotools():
    masks, boxes = detections()
    (pasted,) = rle.paste_chunks(masks, boxes, HEIGHT, WIDTH)

    assert rle.encode_masks(masks, boxes, HEIGHT, WIDTH) == [
        encode(canvas) for canvas in pasted
    ]


def test_everything_is_of_the_rule_that_is_asked_for():
    masks, boxes = detections(count=40)
    arguments = (masks, boxes, HEIGHT, WIDTH)
    (sampled,) = rle.paste_chunks(*arguments)
    (pasted,) = rle.paste_chunks(*arguments, paste="integer", threshold=0.6)
    assert (sampled != pasted).any((1, 2)).mean() > 0.5
    rule = {"paste": "integer", "threshold": 0.6}
    expected = [encode(canvas) for canvas in pasted]
    assert rle.encode_masks(*arguments, **rule) == expected
    for canvas, polygons in zip(pasted, rle.mask_polygons(*arguments, **rule)):
        np.testing.assert_array_equal(fill(polygons), without_holes(canvas))


def test_large_images_have_long_runs():
    masks = np.ones((1, 28, 28), "float32")
    box = np.array([[3000.0, 2000, 3100, 2100]])
    (pasted,) = rle.paste_chunks(masks, box, 4000, 6000)

    assert rle.encode_masks(masks, box, 4000, 6000) == [encode(pasted[0])]


def test_detectron2_pastes_the_same():
    golden = shared.fixture("ops_mask_paste.npz")
    height, width = golden["image_hw"].tolist()

    (pasted,) = rle.paste_chunks(
        golden["in_masks_28"][:9, 0], golden["in_boxes"][:9], height, width
    )

    np.testing.assert_array_equal(pasted, golden["d2_pasted_gt05_first9"])


def test_no_detections_have_no_masks():
    masks, boxes = np.zeros((0, 28, 28)), np.zeros((0, 4))

    assert rle.encode_masks(masks, boxes, HEIGHT, WIDTH) == []
    assert rle.mask_polygons(masks, boxes, HEIGHT, WIDTH) == []
    assert list(rle.paste_chunks(masks, boxes, HEIGHT, WIDTH)) == []


def test_the_outline_of_a_box_is_the_box():
    box = np.array([[3.0, 5, 20, 30]])

    (polygons,) = rle.mask_polygons(np.ones((1, 28, 28)), box, HEIGHT, WIDTH)

    assert polygons == [[3, 5, 20, 5, 20, 30, 3, 30]]


def fill(polygons) -> np.ndarray:
    if not polygons:
        return np.zeros((HEIGHT, WIDTH), bool)
    parts = coco_mask.frPyObjects(polygons, HEIGHT, WIDTH)
    return coco_mask.decode(coco_mask.merge(parts)).astype(bool)


def test_filled_polygons_are_the_masks_with_holes_filled():
    masks, boxes = detections(count=60)
    (pasted,) = rle.paste_chunks(masks, boxes, HEIGHT, WIDTH)

    polygons = rle.mask_polygons(masks, boxes, HEIGHT, WIDTH)

    for canvas, polygon in zip(pasted, polygons):
        np.testing.assert_array_equal(fill(polygon), without_holes(canvas))


def area(polygon) -> float:
    """Return the area by the shoelace formula."""
    x, y = np.reshape(polygon, (-1, 2)).T
    return abs(x @ np.roll(y, -1) - y @ np.roll(x, -1)) / 2


@hypothesis.given(
    numpy_strategies.arrays("bool", (9, 9)), strategies.integers(0, 9)
)
def test_polygons_enclose_exactly_the_pixels(mask, shift):
    # A box of as many pixels as the mask has cells: each cell is a pixel.
    box = np.array([[shift, 2.0, shift + 9, 11]])
    canvas = np.zeros((HEIGHT, WIDTH), bool)
    canvas[2:11, shift : shift + 9] = mask

    (polygons,) = rle.mask_polygons(
        mask[None].astype("float32"), box, HEIGHT, WIDTH
    )

    filled = without_holes(canvas)
    np.testing.assert_array_equal(fill(polygons), filled)
    for polygon in polygons:
        assert fill([polygon]).sum() == area(polygon)


def without_holes(canvas):
    """Fill what the border cannot reach, by any of eight directions."""
    outside = np.pad(~canvas, 1, constant_values=True)
    reached = np.zeros_like(outside)
    reached[0] = True
    while True:
        grown = np.pad(reached, 1)
        grown = np.max(
            [
                grown[i : i + len(reached), j : j + reached.shape[1]]
                for i in range(3)
                for j in range(3)
            ],
            axis=0,
        )
        grown &= outside
        if (grown == reached).all():
            return ~reached[1:-1, 1:-1]
        reached = grown


def test_pixels_that_touch_at_a_corner_are_two_polygons():
    mask = np.eye(2, dtype="float32").repeat(14, 0).repeat(14, 1)

    for one in (mask, mask[::-1]):
        (polygons,) = rle.mask_polygons(
            one[None], np.array([[0.0, 0, 28, 28]]), HEIGHT, WIDTH
        )
        assert len(polygons) == 2
        assert sorted(map(len, polygons)) == [8, 8]
