import numpy as np
import pytest

from keras_fair.checkpoints import torch_tensors

FLOAT = torch_tensors.builders("<")["torch FloatStorage"]
NUMBERS = np.arange(12, dtype="<f4")


def described(offset, shape, strides, size=12, buffer=None):
    buffers = {"0": NUMBERS.tobytes() if buffer is None else buffer}
    storage = torch_tensors.Storage(FLOAT, "0", size, buffers)
    return torch_tensors.rebuild_tensor(storage, offset, shape, strides)


@pytest.mark.parametrize(
    ("offset", "shape", "strides", "expected"),
    [
        (0, (3, 4), (4, 1), NUMBERS.reshape(3, 4)),
        (0, (4, 3), (1, 4), NUMBERS.reshape(3, 4).T),
        (5, (2, 2), (4, 2), [[5, 7], [9, 11]]),
        (3, (), (), 3),
        (0, (0, 3), (3, 1), np.zeros((0, 3))),
        (2, (2, 3), (0, 1), [[2, 3, 4], [2, 3, 4]]),  # expanded
    ],
)
def test_offset_and_strides_choose_the_numbers(
    offset, shape, strides, expected
):
    array = described(offset, shape, strides).array()
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [
        (0, (13,), (1,)),
        (1, (12,), (1,)),
        (0, (2, 2), (11, 2)),
        (2**60, (1,), (1,)),
        (0, (2,), (2**60,)),
    ],
)
def test_a_tensor_beyond_its_storage_is_refused(offset, shape, strides):
    with pytest.raises((ValueError, OverflowError)):
        described(offset, shape, strides).array()


@pytest.mark.parametrize(
    ("offset", "shape", "strides"),
    [(-1, (1,), (1,)), (0, (2,), (-1,)), (0, (-2,), (1,)), (0, "12", (1,))],
)
def test_a_negative_place_is_refused(offset, shape, strides):
    with pytest.raises(ValueError, match="expected a shape"):
        described(offset, shape, strides)


def test_a_rank_that_differs_is_refused():
    with pytest.raises(ValueError, match="without storage or strides"):
        described(0, (2, 2), (1,))


def test_a_short_storage_is_refused():
    tensor = described(0, (1,), (1,), size=13)
    with pytest.raises(ValueError, match="storage 0 is too short for 13"):
        tensor.array()


@pytest.mark.parametrize("order", "<>")
def test_bfloat16_becomes_float32_exactly(order):
    expected = np.float32([1.0, -2.5, 0.0, np.inf])
    halves = (expected.view(np.uint32) >> 16).astype(f"{order}u2")
    kind = torch_tensors.builders(order)["torch BFloat16Storage"]
    storage = torch_tensors.Storage(kind, "0", 4, {"0": halves.tobytes()})
    tensor = torch_tensors.rebuild_tensor(storage, 0, (2, 2), (1, 2))
    array = tensor.array()
    assert array.dtype == np.float32 and tensor.nbytes == array.nbytes
    np.testing.assert_array_equal(array, expected.reshape(2, 2).T)


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("Half", "f2"), ("Long", "i8"), ("Bool", "?"), ("ComplexFloat", "c8")],
)
@pytest.mark.parametrize("module", ["torch", "torch.cuda"])
def test_storages_of_all_types_and_devices_are_known(module, name, dtype):
    kind = torch_tensors.builders("<")[f"{module} {name}Storage"]
    assert kind.dtype == dtype


def test_a_parameter_is_its_tensor():
    rebuild = torch_tensors.BUILDERS["torch._utils _rebuild_parameter"]
    tensor = described(0, (1,), (1,))
    assert rebuild(tensor, True, {}) is tensor
    with pytest.raises(ValueError, match="a parameter that is no tensor"):
        rebuild("tensor", True, {})


def test_a_torch_size_is_a_tuple():
    assert torch_tensors.BUILDERS["torch Size"]((2, 3)) == (2, 3)


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (("storage", FLOAT, "0", "cpu"), "the id of a storage"),
        (("module", FLOAT, "0", "cpu", 12), "the id of a storage"),
        (("storage", "f4", "0", "cpu", 12), "the id of a storage"),
        ("storage", "the id of a storage"),
        (("storage", FLOAT, ["0"], "cpu", 12), "refused a list as the key"),
        (("storage", FLOAT, "0", "cpu", -1), "expected a shape"),
    ],
)
def test_an_identity_that_names_no_storage_is_refused(identity, reason):
    with pytest.raises(ValueError, match=reason):
        torch_tensors.storage(identity, {})
