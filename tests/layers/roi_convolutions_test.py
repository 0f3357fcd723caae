import keras
import numpy as np
import pytest

from keras_fair.layers import roi_convolutions
from tests import modes


def _layers(**changes):
    arguments = {"norm": "", "dtype": "float32", **changes}
    return roi_convolutions.convolutions(2, 4, **arguments)


def test_each_convolution_is_followed_by_relu():
    names = [layer.name for layer in _layers()]
    assert names == ["convolution_0", "relu_0", "convolution_1", "relu_1"]


def test_batch_norm_replaces_the_bias():
    layers = _layers(norm="batch")
    assert [layer.name for layer in layers[:3]] == [
        "convolution_0",
        "convolution_norm_0",
        "relu_0",
    ]
    assert not layers[0].use_bias
    assert (layers[1].epsilon, layers[1].momentum) == (1e-5, 0.9)


def test_batch_norm_uses_the_batch_only_in_training():
    layers = _layers(norm="batch")[1:2]
    roi_convolutions.build(layers, (None, 1, 1, 1))
    features = np.array([1.0, 3.0], "float32").reshape(2, 1, 1, 1)
    trained = roi_convolutions.run(layers, features, True)
    # The moving statistics now are a tenth of the mean 2 and 0.9 + 0.1.
    served = roi_convolutions.run(layers, features, False)
    # Epsilon moves both by 5e-6 of their size.
    np.testing.assert_allclose(np.ravel(trained), [-1, 1], rtol=1e-5)
    np.testing.assert_allclose(np.ravel(served), [0.8, 2.8], rtol=1e-5)


def test_building_goes_through_the_shapes_of_the_layers():
    layers = _layers()
    shape = roi_convolutions.build(layers, (None, 7, 7, 3))
    assert shape == (None, 7, 7, 4)
    assert layers[0].kernel.shape == (3, 3, 3, 4)
    assert layers[2].kernel.shape == (3, 3, 4, 4)


def test_convolutions_start_as_caffe2s_msra_fill():
    kernel = roi_convolutions.msra()((3, 3, 64, 32), dtype="float32")
    # Fan out is 9 * 32; 18,432 draws know the deviation to 0.5 %, four times.
    expected = (2 / (9 * 32)) ** 0.5
    assert abs(np.asarray(kernel).std() - expected) < 0.02 * expected


def test_rois_are_merged_and_split_in_order():
    rois = np.arange(2 * 3 * 4.0, dtype="float32").reshape(2, 3, 4)
    merged = roi_convolutions.merge_rois(keras.ops.convert_to_tensor(rois))
    np.testing.assert_array_equal(merged, rois.reshape(6, 4))
    split = roi_convolutions.split_rois(merged, rois)
    np.testing.assert_array_equal(split, rois)


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 3, 4)])
def test_no_rois_are_one_row_of_zeros_and_split_into_none(shape):
    rois = keras.ops.zeros(shape)
    merged = roi_convolutions.merge_rois(rois)
    np.testing.assert_array_equal(merged, np.zeros((1, 4)))
    assert tuple(roi_convolutions.split_rois(merged, rois).shape) == shape


@modes.only_tensorflow
@pytest.mark.parametrize(("num_rois", "num_rows"), [(0, 1), (3, 6)])
def test_a_graph_need_not_know_the_number_of_rois(num_rois, num_rows):
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec((None, None, 4))])
    def there_and_back(rois):
        rows = roi_convolutions.merge_rois(rois)
        return tf.shape(rows)[0], roi_convolutions.split_rois(rows, rois)

    rois = np.ones((2, num_rois, 4), "float32")
    count, split = there_and_back(rois)
    assert count == num_rows
    np.testing.assert_array_equal(split, rois)


@pytest.mark.parametrize("shape", [(2, 14, 14, 8), (2, 3, None, 14, 8)])
def test_other_shapes_than_of_rois_are_refused(shape):
    with pytest.raises(ValueError, match="only B and R may be unknown"):
        roi_convolutions.check_rois(shape)


@pytest.mark.parametrize(
    ("depth", "filters", "norm", "message"),
    [
        (-1, 4, "", "fewer than 0 convolutions"),
        (1, 0, "", "at least one filter"),
        (1, 4, "group", "norm as one of"),
    ],
)
def test_impossible_arguments_are_refused(depth, filters, norm, message):
    with pytest.raises(ValueError, match=message):
        roi_convolutions.convolutions(
            depth, filters, norm=norm, dtype="float32"
        )
