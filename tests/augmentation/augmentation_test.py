"""Properties that every composition of augmentations keeps.

Each object of the data set is painted in a colour of its own on black, so
pixels tell whose mask, box and keypoints they should be.
"""

import dataclasses
import functools
import itertools
import json

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image, ImageDraw
from pycocotools import mask as coco_mask

from keras_fair import contract
from keras_fair.augmentation import views
from keras_fair.config import DataConfig
from keras_fair.data import coco, examples, pipeline, plan, tables

SIZES = ((60, 90), (80, 50), (64, 64), (90, 60), (70, 71), (48, 96))
CLASSES = 4 * len(SIZES)  # one for each object
CONFIG = DataConfig(
    short_sides=(64, 90),
    max_long_side=128,
    resize="antialias",  # nothing falls between the pixels of a small image
    canvases=((128, 128),),
    max_objects=24,
    with_masks=True,
    mask_size=112,
    with_keypoints=True,
)
KEYS = ("boxes", "labels", "masks", "has_mask", "keypoints")
BLACK, MIXED = -1, -2  # what is no object in a picture of labels


# One channel full, so that no colour is another, darkened.
COLOURS = np.array(
    [c for c in itertools.product((0, 80, 160, 240), repeat=3) if 240 in c]
)


def draw_object(draw, kind, box, value):
    x1, y1, x2, y2 = box
    middle = (x1 + x2) / 2
    if kind == 0:
        draw.ellipse(box, fill=value)
    elif kind == 1:
        draw.rectangle(box, fill=value)
    elif kind == 2:  # a cross
        draw.rectangle((x1, (2 * y1 + y2) / 3, x2, (y1 + 2 * y2) / 3), value)
        draw.rectangle(((2 * x1 + x2) / 3, y1, (x1 + 2 * x2) / 3, y2), value)
    else:
        draw.polygon([(x1, y2), (middle, y1), (x2, y2)], fill=value)


def paint(size, image_index, rng):
    """Four objects, one in each quarter; the third has no mask."""
    height, width = size
    ids = Image.new("L", (width, height))
    annotations = []
    for place in range(4):
        label = 4 * image_index + place
        left, top = width // 2 * (place % 2), height // 2 * (place // 2)
        side = rng.integers(16, (width // 2 - 2, height // 2 - 2), endpoint=1)
        room = (width // 2, height // 2) - side
        start = (left, top) + rng.integers(0, room)
        box = [*start.tolist(), *(start + side - 1).tolist()]
        draw_object(ImageDraw.Draw(ids), (place + image_index) % 4, box, 1)
        mask = np.zeros((height, width), bool)
        shape = Image.new("1", (width, height))
        draw_object(ImageDraw.Draw(shape), (place + image_index) % 4, box, 1)
        mask = np.asarray(shape)
        annotations.append((label, mask, place != 2))
    return annotations


def describe(label, mask, has_mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    x, y = int(columns[0]), int(rows[0])
    # The middle of the object, and of its lowest row.
    points = [(columns.mean(), rows.mean()), (columns.mean(), rows[-1])]
    annotation = {
        "id": label + 1,
        "image_id": label // 4 + 1,
        "category_id": label + 1,
        "iscrowd": 0,
        "bbox": [x, y, int(columns[-1]) + 1 - x, int(rows[-1]) + 1 - y],
        "keypoints": [
            v for px, py in points for v in (int(px) + 0.5, int(py) + 0.5, 2)
        ],
        "num_keypoints": 2,
    }
    if has_mask:
        code = coco_mask.encode(np.asfortranarray(mask, np.uint8))
        annotation["segmentation"] = {
            "size": list(mask.shape),
            "counts": code["counts"].decode(),
        }
    return annotation


@pytest.fixture(scope="module")
def painted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("painted")
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for index, size in enumerate(SIZES):
        pixels = np.zeros((*size, 3), np.uint8)
        for label, mask, has_mask in paint(size, index, rng):
            pixels[mask] = COLOURS[label]
            annotations.append(describe(label, mask, has_mask))
        name = f"{index}.png"
        Image.fromarray(pixels).save(folder / name)
        image = {"id": index + 1, "file_name": name}
        images.append({**image, "height": size[0], "width": size[1]})
    names = ["left_eye", "right_eye"]
    content = {
        "images": images,
        "annotations": annotations,
        "categories": [
            {"id": label + 1, "name": f"{label}", "keypoints": names}
            for label in range(CLASSES)
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return coco.CocoDataset(
        str(path), str(folder), with_masks=True, with_keypoints=True
    )


@pytest.fixture(scope="module")
def reader(painted):
    """Read a row, by a graph for each way of composing."""
    table = tables.make_table(painted.records, painted.keypoint_names)

    @functools.cache
    def graph(config):
        read = functools.partial(
            examples.read_example, dataset=painted, table=table, config=config
        )
        spec = tf.TensorSpec([views.row_length(config)], tf.int32)
        return tf.function(read, input_signature=[spec], autograph=False)

    def read(row, config):
        # The other fields are the plan's: graphs for few configs serve all.
        config = dataclasses.replace(
            CONFIG,
            copy_paste=float(config.copy_paste > 0),
            mosaic=float(config.mosaic > 0),
        )
        x, y, _ = tf.nest.map_structure(
            lambda tensor: tensor.numpy(), graph(config)(tf.constant(row))
        )
        return x, y

    return read


def label_picture(image, least):
    """Return the label of each pixel by its hue.

    An outline is blurred into black: MIXED is what has less than that part
    of an object's brightness.
    """
    pixels = image[..., None, :].astype(float)  # [h, w, 1, 3]
    colours = COLOURS[:CLASSES]
    share = (pixels * colours).sum(-1) / (colours**2).sum(-1)
    error = np.abs(pixels - share[..., None] * colours).max(-1)
    error[share < least] = np.inf
    labels = np.where(error.min(-1) <= 2, error.argmin(-1), MIXED)
    labels[image.max(-1) == 0] = BLACK
    return labels


def keep_pure(labels):
    """Make MIXED what has a neighbour of another label."""
    padded = np.pad(labels, 1, mode="edge")
    around = np.lib.stride_tricks.sliding_window_view(padded, (3, 3))
    is_pure = (around == labels[..., None, None]).all((2, 3))
    return np.where(is_pure, labels, MIXED)


def check(x, y):
    height, width = x["image_shape"]
    image = x["images"][:height, :width]
    assert not x["images"][height:].any() and not x["images"][:, width:].any()
    batch = tf.nest.map_structure(lambda array: array[None], (x, y))
    contract.check_inputs(batch[0])
    contract.check_targets(batch[1], CLASSES)
    boxes = y["boxes"]
    assert (boxes >= 0).all() and (boxes <= [width, height] * 2).all()
    traces, whole = (label_picture(image, least) for least in (0.1, 0.95))
    pure = keep_pure(whole)
    # A large piece of an object is the object.
    seen, counts = np.unique(pure[pure >= 0], return_counts=True)
    assert set(seen[counts >= 4].tolist()) <= set(y["labels"].tolist())
    for row in np.flatnonzero(y["labels"] >= 0):
        # Two of a kind cannot be told apart.
        if (y["labels"] == y["labels"][row]).sum() == 1:
            thing = {key: y[key][row] for key in KEYS}
            assert thing["has_mask"] == (thing["labels"] % 4 != 2)
            check_box(thing, traces, whole)
            check_mask(thing, pure)
            check_keypoints(thing, pure)


def extent(labels, label):
    rows, columns = np.nonzero(labels == label)
    if len(rows):
        return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


def check_box(thing, traces, whole):
    box, label = thing["boxes"], thing["labels"]
    inner, outer = extent(whole, label), extent(traces, label)
    # A pixel, as they are counted whole, and a cell of the grid.
    cell = np.tile(box[2:] - box[:2], 2) / CONFIG.mask_size
    if inner is not None:
        outside = (box - inner) * [1, 1, -1, -1]
        assert (outside <= 1 + cell).all(), (label, outside)
    if outer is not None and thing["has_mask"]:
        empty = (outer - box) * [1, 1, -1, -1]
        # The tip of a triangle is thin.
        assert (empty <= 3 + cell).all(), (label, empty)


def check_mask(thing, pure):
    if not thing["has_mask"]:
        assert not thing["masks"].any()
        return
    assert thing["masks"].any()
    x1, y1, x2, y2 = thing["boxes"]
    centres = (np.arange(CONFIG.mask_size) + 0.5) / CONFIG.mask_size
    columns = np.minimum(x1 + centres * (x2 - x1), pure.shape[1] - 1)
    rows = np.minimum(y1 + centres * (y2 - y1), pure.shape[0] - 1)
    under = pure[rows.astype(int)][:, columns.astype(int)]
    inside = thing["masks"] == 1
    assert np.isin(under[inside], [thing["labels"], MIXED]).all()
    assert (under[~inside] != thing["labels"]).all()


def check_keypoints(thing, pure):
    for x, y, visibility in thing["keypoints"]:
        if visibility:
            row, column = np.minimum([int(y), int(x)], np.array(pure.shape) - 1)
            under = pure[row, column]
            if visibility == 2:
                assert under in (thing["labels"], MIXED)
            else:  # only what is covered was hidden
                assert under != thing["labels"]


def configs():
    """Configs whose rows four graphs can read."""
    ways = [(0.0, 0.0), (1.0, 0.0), (0.0, 0.6), (0.7, 0.5)]
    return st.builds(
        lambda way, **changes: dataclasses.replace(
            CONFIG, copy_paste=way[0], mosaic=way[1], **changes
        ),
        st.sampled_from(ways),
        horizontal_flip=st.booleans(),
        random_crop=st.sampled_from([1.0, 0.7, 0.4]),
        scale_jitter=st.sampled_from([(1.0, 1.0), (0.5, 1.4)]),
        large_scale_jitter=st.sampled_from([(), (0.1, 2.0), (0.8, 1.5)]),
    )


def check_pixels(painted, reader, num_examples: int) -> None:
    """Check batches of three of so many configs."""
    shapes = np.array([(r.height, r.width) for r in painted.records])

    @hypothesis.settings(
        max_examples=num_examples,
        deadline=None,
        derandomize=True,
        report_multiple_bugs=False,
        phases=[hypothesis.Phase.generate],
    )
    @hypothesis.given(config=configs(), seed=st.integers(0, 2**20))
    def check_one(config, seed):
        rows = next(plan.training_rows(shapes, config, 3, seed, 0))[0]
        for row in rows:
            check(*reader(row, config))

    check_one()


def test_pixels_are_of_the_object_they_are_said_to_be(painted, reader):
    check_pixels(painted, reader, num_examples=16)


@pytest.mark.slow
def test_pixels_of_many_configs_are_of_their_objects(painted, reader):
    check_pixels(painted, reader, num_examples=400)


EVERYTHING = dataclasses.replace(
    CONFIG,
    random_crop=0.5,
    large_scale_jitter=(0.3, 2.0),
    color_jitter=0.4,
    copy_paste=0.5,
    mosaic=0.5,
)


def take(dataset, count):
    return [
        tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)
        for batch in dataset.take(count)
    ]


def test_augmented_batches_are_the_same_again_and_after_resuming(painted):
    start, resumed = (
        pipeline.make_dataset(
            painted, EVERYTHING, batch_size=2, training=True, start_step=step
        )
        for step in (0, 5)
    )
    whole = take(start, 9)
    again = take(start, 9)
    tf.nest.map_structure(np.testing.assert_array_equal, whole, again)
    tf.nest.map_structure(
        np.testing.assert_array_equal, take(resumed, 4), whole[5:]
    )


def test_evaluation_is_not_augmented(painted):
    for config in (CONFIG, EVERYTHING):
        batches = pipeline.make_dataset(
            painted, config, batch_size=6, training=False
        )
        (batch,) = batches
        if config == CONFIG:
            plain = batch
    tf.nest.map_structure(np.testing.assert_array_equal, batch, plain)
