import argparse
import collections
import os
import pickle
import struct
import tracemalloc

import h5py
import numpy as np
import pytest

from keras_fair.checkpoints import readers
from tests.checkpoints import torch_writer

ARRAYS = {
    "conv.weight": np.arange(24, dtype="f4").reshape(2, 3, 2, 2),
    "bn.running_mean": np.array([0.5, -1.0], "f4"),
    "bn.num_batches_tracked": np.array(7, "i8"),
    "half": np.array([1.0, 2.0], "f2"),
    "flags": np.array([True, False]),
}


def write_torch_zip(path):
    torch_writer.write_zip(path, *torch_writer.state_dict(ARRAYS))


def write_pickle(path):
    content = {"model": ARRAYS, "__author__": "somebody", "epoch": 3}
    path.write_bytes(pickle.dumps(content, 2))


def write_detectron(path):
    content = {"blobs": ARRAYS, "cfg": "a: 1\n"}
    path.write_bytes(pickle.dumps(content, 2))


def write_text_pickle(path):
    path.write_bytes(pickle.dumps(ARRAYS, 0))


def write_npz(path):
    with open(path, "wb") as file:
        np.savez(file, **ARRAYS)


def write_hdf5(path):
    with h5py.File(path, "w") as file:
        for name, array in ARRAYS.items():
            file[name] = array


WRITERS = [
    write_torch_zip,
    write_pickle,
    write_detectron,
    write_text_pickle,
    write_npz,
    write_hdf5,
]


# No suffix: the content decides.
@pytest.mark.parametrize("write", WRITERS)
def test_each_format_gives_the_named_arrays(tmp_path, write):
    path = tmp_path / "weights"
    write(path)
    check(readers.read(path), ARRAYS)


def check(arrays, expected):
    assert sorted(arrays) == sorted(expected)
    for name, array in arrays.items():
        assert array.dtype == expected[name].dtype and array.dtype.isnative
        np.testing.assert_array_equal(array, expected[name], strict=True)


FLOAT = {"a": ARRAYS["conv.weight"]}


def test_legacy_torch_files_are_read(tmp_path):
    path = tmp_path / "weights"
    torch_writer.write_legacy(path, *torch_writer.state_dict(FLOAT))
    check(readers.read(path), FLOAT)


def test_tar_files_are_read(tmp_path):
    path = tmp_path / "weights"
    torch_writer.write_tar(path, ["a"], FLOAT["a"])
    check(readers.read(str(path)), FLOAT)


def test_safetensors_are_read(tmp_path):
    path = tmp_path / "weights"
    header = b'{"a":{"dtype":"F32","shape":[2,3,2,2],"data_offsets":[0,96]}}'
    length = struct.pack("<Q", len(header))
    path.write_bytes(length + header + FLOAT["a"].tobytes())
    check(readers.read(path), FLOAT)


@pytest.mark.parametrize("wrapper", readers.WRAPPERS)
def test_weights_are_found_beside_other_state(tmp_path, wrapper):
    path = tmp_path / "weights"
    described, storages = torch_writer.state_dict(FLOAT)
    momentum, _ = torch_writer.state_dict({"momentum_buffer": FLOAT["a"]})
    arguments = torch_writer.Call(
        torch_writer.Name("argparse", "Namespace"), (), {"lr": 1}
    )
    content = {
        "optimizer": {"state": {0: momentum}, "param_groups": [{"lr": 1}]},
        wrapper: described,
        "args": arguments,
        "epoch": 3,
    }
    torch_writer.write_zip(path, content, storages)
    check(readers.read(path), FLOAT)


def test_arrays_of_another_byte_order_become_native(tmp_path):
    path = tmp_path / "weights"
    path.write_bytes(pickle.dumps({"a": ARRAYS["conv.weight"].astype(">f4")}))
    check(readers.read(path), FLOAT)


def test_tied_weights_are_read_under_each_name(tmp_path):
    path = tmp_path / "weights"
    described, storages = torch_writer.state_dict(FLOAT)
    content = {"a": described["a"], "b": described["a"]}
    torch_writer.write_zip(path, content, storages)
    check(readers.read(path), {"a": FLOAT["a"], "b": FLOAT["a"]})


def test_a_large_file_is_not_loaded_twice(tmp_path):
    path = tmp_path / "weights"
    array = np.zeros(2**20, "f4")
    torch_writer.write_zip(path, *torch_writer.state_dict({"a": array}))
    tracemalloc.start()
    readers.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < array.nbytes / 2  # the mapped file itself does not count


def test_a_large_pickle_is_loaded_once(tmp_path):
    path = tmp_path / "weights"
    array = np.ones(2**20, "f4")
    path.write_bytes(pickle.dumps({"a": array, "b": array + 1}, 4))
    tracemalloc.start()
    readers.read(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2.2 * array.nbytes


class Payload:
    def __reduce__(self):
        return os.system, ("echo > here",)


def malicious(path, name):
    content = pickle.dumps({"a": Payload()}, 2)
    if name == "pickle":
        path.write_bytes(content)
    elif name == "legacy":
        parts = (torch_writer.MAGIC_NUMBER, 1001, {})
        header = b"".join(map(torch_writer.pickled, parts))
        path.write_bytes(header + content + torch_writer.pickled([]))
    else:
        evil = torch_writer.Call(
            torch_writer.Name("posix", "system"), ("echo > here",)
        )
        torch_writer.write_zip(path, {"a": evil}, {})


@pytest.mark.parametrize("name", ["pickle", "legacy", "zip"])
def test_a_malicious_file_runs_nothing(tmp_path, name, monkeypatch):
    monkeypatch.chdir(tmp_path)
    malicious(tmp_path / "evil.pth", name)
    with pytest.raises(
        ValueError,
        match=r"Cannot read weights from .*evil\.pth: refused 'posix",
    ):
        readers.read(tmp_path / "evil.pth")
    assert os.listdir(tmp_path) == ["evil.pth"]


def test_a_whole_module_is_refused_by_name(tmp_path):
    path = tmp_path / "weights"
    module = torch_writer.Call(
        torch_writer.Name("torch.nn.modules.conv", "Conv2d"), ()
    )
    torch_writer.write_zip(path, module, {})
    with pytest.raises(
        ValueError, match=r"'torch.nn.modules.conv.Conv2d'.* state dict alone"
    ):
        readers.read(path)


def expanded(count):
    stored = torch_writer.storage("0", "Float", 1)
    tensor = torch_writer.tensor(stored, 0, (count,), (0,))
    return {"a": tensor}, {"0": bytes(4)}


def test_a_tensor_repeated_beyond_the_file_is_refused(tmp_path):
    path = tmp_path / "weights"
    torch_writer.write_zip(path, *expanded(2**40))
    with pytest.raises(ValueError, match="its arrays need 4398046511104 bytes"):
        readers.read(path)


def test_a_name_repeated_beyond_the_file_is_refused(tmp_path):
    path = tmp_path / "weights"
    array = np.zeros(1000, ">f4")
    path.write_bytes(pickle.dumps({str(i): array for i in range(100)}))
    with pytest.raises(ValueError, match="its arrays need 400000 bytes"):
        readers.read(path)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "it is empty"),
        (b"<!DOCTYPE html>", "begins with b'<!DOCTYPE html>'"),
        (b"version https://git-lfs", "begins with b'version https:"),
        (b"PK\x03\x04 not a zip", "not a zip file"),
        (b"\x89HDF\r\n\x1a\n cut", "OSError"),
        (pickle.dumps([1]), "a dictionary of weights, found list"),
        (pickle.dumps({"a": 1, "b": {}}), "found the keys 'a', 'b'"),
        (pickle.dumps({"model": {}}), "expected named arrays"),
        (bytes(257) + b"ustar" + bytes(300), "expected|empty|ReadError"),
    ],
)
def test_what_holds_no_weights_is_one_error_with_the_name(
    tmp_path, content, reason
):
    path = tmp_path / "weights.pth"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=reason) as caught:
        readers.read(path)
    assert str(caught.value).startswith(f"Cannot read weights from {path}: ")


@pytest.mark.parametrize("write", WRITERS)
def test_a_truncated_file_is_an_error_with_the_name(tmp_path, write):
    path = tmp_path / "weights"
    write(path)
    content = path.read_bytes()
    for size in range(1, len(content), max(1, len(content) // 40)):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match="Cannot read weights from"):
            readers.read(path)


def outcome(path):
    try:
        readers.read(path)
    except ValueError as error:
        return str(error)
    return "read"


# Whatever the damage: arrays, or the one error; never another exception. Not
# HDF5, whose library is C and none of ours to try in this process.
@pytest.mark.parametrize("write", WRITERS[:-1])
def test_a_damaged_byte_is_never_another_exception(tmp_path, write):
    path = tmp_path / "weights"
    write(path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(content)
        for place in generator.integers(len(content), size=2):
            damaged[place] = generator.integers(256)
        path.write_bytes(damaged)
        result = outcome(path)
        assert result == "read" or result.startswith("Cannot read weights")


def test_a_missing_file_is_the_usual_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        readers.read(tmp_path / "nowhere")


@pytest.mark.parametrize("zipped", [True, False])
def test_files_of_torch_itself_are_read(tmp_path, zipped):
    torch = pytest.importorskip("torch", reason="compares with torch")
    base = torch.arange(24.0).reshape(4, 6)
    tensors = collections.OrderedDict(
        base=base,
        transposed=base.t(),
        part=base[1:3, ::2],
        bfloat16=base.bfloat16(),
        last=torch.ones(1, 3, 4, 4).to(memory_format=torch.channels_last),
        parameter=torch.nn.Parameter(torch.ones(2)),
    )
    content = {"model": tensors, "args": argparse.Namespace(lr=0.1)}
    path = tmp_path / "weights.pth"
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    expected = {k: v.detach().float().numpy() for k, v in tensors.items()}
    check(readers.read(path), expected)
