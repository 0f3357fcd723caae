"""One device alone; tests/training/distribution_test.py has two."""

from keras import ops

from keras_fair.ops import replicas


def test_the_sum_over_one_device_is_its_own():
    total, num_devices = replicas.summed(ops.convert_to_tensor([2.0, 3.0]))
    assert ops.convert_to_numpy(total).tolist() == [2.0, 3.0]
    assert num_devices == 1
