import functools

import numpy as np
import pytest

from keras_fair.ops import anchors
from tests import modes, reference, shared

RATIOS = (0.5, 1.0, 2.0)
RCNN = {
    "strides": (4, 8, 16, 32, 64),
    "sizes": ((32,), (64,), (128,), (256,), (512,)),
}
RETINANET = {
    "strides": (8, 16, 32, 64, 128),
    "sizes": tuple(
        tuple(base * 2 ** (third / 3) for third in range(3))
        for base in (32, 64, 128, 256, 512)
    ),
}


def feature_shapes(strides, height=96, width=160):
    return [(-(-height // s), -(-width // s)) for s in strides]


def test_a_hand_sized_pyramid():
    boxes = anchors.pyramid_anchors(
        [(1, 2), (1, 1)], (4, 8), ((4,), (8,)), (1.0, 4.0)
    )
    assert boxes.tolist() == [
        [-2, -2, 2, 2],
        [-1, -4, 1, 4],  # four times as high as wide
        [2, -2, 6, 2],
        [3, -4, 5, 4],
        [-4, -4, 4, 4],
        [-2, -8, 2, 8],
    ]


def test_offset_moves_anchors_by_a_part_of_the_stride():
    boxes = anchors.pyramid_anchors([(1, 1)], (8,), ((4,),), (1.0,), 0.5)
    assert boxes.tolist() == [[2, 2, 6, 6]]


@pytest.mark.parametrize("pyramid", [RCNN, RETINANET])
@pytest.mark.parametrize("offset", [0.0, 0.5])
def test_static_shapes_give_a_constant_equal_to_the_reference(pyramid, offset):
    shapes = feature_shapes(pyramid["strides"])
    boxes = anchors.pyramid_anchors(
        shapes, **pyramid, aspect_ratios=RATIOS, offset=offset
    )
    assert isinstance(boxes, np.ndarray)
    assert boxes.dtype == "float32"
    expected = reference.pyramid_anchors(
        shapes, **pyramid, aspect_ratios=RATIOS, offset=offset
    )
    # Float32 rounding of coordinates up to 500.
    np.testing.assert_allclose(boxes, expected, atol=5e-5)


def test_scalar_tensors_as_shapes_give_the_same_anchors():
    shapes = feature_shapes(RETINANET["strides"])

    def from_tensors(*sides):
        pairs = list(zip(sides[::2], sides[1::2]))
        return anchors.pyramid_anchors(
            pairs, **RETINANET, aspect_ratios=RATIOS, offset=0.5
        )

    sides = [np.int32(side) for shape in shapes for side in shape]
    expected = anchors.pyramid_anchors(
        shapes, **RETINANET, aspect_ratios=RATIOS, offset=0.5
    )
    assert (modes.run(from_tensors, *sides) == expected).all()


@modes.only_tensorflow
def test_one_graph_serves_any_image_size():
    tf = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.float32)])
    def tile(feature):
        height, width = tf.unstack(tf.shape(feature))
        return anchors.pyramid_anchors(
            [(height, width)], (8,), ((32, 40),), RATIOS
        )

    for shape in ((3, 5), (4, 2)):
        expected = anchors.pyramid_anchors([shape], (8,), ((32, 40),), RATIOS)
        assert (tile(tf.zeros(shape)).numpy() == expected).all()


@pytest.mark.parametrize(
    "name, pyramid", [("d2_rcnn", RCNN), ("d2_retina", RETINANET)]
)
def test_anchors_equal_detectron2(name, pyramid):
    golden = shared.fixture("ops_anchors.npz")
    boxes = anchors.pyramid_anchors(
        feature_shapes(pyramid["strides"]), **pyramid, aspect_ratios=RATIOS
    )
    assert (boxes == golden[name]).all()


@pytest.mark.parametrize(
    "name, pyramid", [("tv_rcnn", RCNN), ("tv_retina", RETINANET)]
)
def test_rounded_anchors_equal_torchvision(name, pyramid):
    golden = shared.fixture("ops_anchors.npz")
    shapes = feature_shapes(pyramid["strides"])
    boxes = anchors.pyramid_anchors(
        shapes,
        # torchvision divides the image by the feature map, in each direction.
        [(96 // height, 160 // width) for height, width in shapes],
        [tuple(int(size) for size in level) for level in pyramid["sizes"]],
        RATIOS,
        cell=anchors.rounded_cell_anchors,
    )
    assert boxes.dtype == "float32"
    assert (boxes == golden[name]).all()


def test_levels_must_agree():
    with pytest.raises(ValueError, match="2 shapes, 1 strides and 1 tuples"):
        anchors.pyramid_anchors([(1, 1), (2, 2)], (8,), ((4,),), (1.0,))


def test_quantized_anchors_equal_detectron_s():
    # Its table of stride 16 and sizes 128 to 512, whose boxes end with their
    # last pixel; pixels are counted from 1, as in Matlab.
    table = [
        *([-83, -39, 100, 56], [-175, -87, 192, 104], [-359, -183, 376, 200]),
        *([-55, -55, 72, 72], [-119, -119, 136, 136], [-247, -247, 264, 264]),
        *([-35, -79, 52, 96], [-79, -167, 96, 184], [-167, -343, 184, 360]),
    ]
    found = [
        anchors.pyramid_anchors(
            [(1, 1)],
            [16],
            [(size,)],
            (ratio,),
            offset=0.5,
            cell=functools.partial(anchors.quantized_cell_anchors, stride=16),
        )[0]
        for ratio in (0.5, 1.0, 2.0)
        for size in (128, 256, 512)
    ]
    np.testing.assert_array_equal(found + np.float32([1, 1, 0, 0]), table)
