import io
import json
import mmap
import struct
import zipfile

import h5py
import numpy as np
import pytest

from keras_fair.checkpoints import array_files

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)
ENTRY = {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]}


def safetensors(tmp_path, header, content=b""):
    """Write a file with that header (a dict, or its text) and map it."""
    text = header if isinstance(header, str) else json.dumps(header)
    path = tmp_path / "weights.safetensors"
    length = struct.pack("<Q", len(text.encode()))
    path.write_bytes(length + text.encode() + content)
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def test_safetensors_are_read_as_views(tmp_path):
    header = {"__metadata__": {"format": "pt"}, "a": ENTRY}
    mapped = safetensors(tmp_path, header, ARRAY.tobytes())
    assert array_files.is_safetensors(mapped[:512], len(mapped))
    arrays = array_files.read_safetensors(mapped)
    assert list(arrays) == ["a"] and not arrays["a"].flags.owndata
    np.testing.assert_array_equal(arrays["a"], ARRAY)


def test_safetensors_bfloat16_becomes_float32(tmp_path):
    header = {"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}
    halves = (np.float32([1.5, -2]).view("u4") >> 16).astype("<u2")
    mapped = safetensors(tmp_path, header, halves.tobytes())
    array = array_files.read_safetensors(mapped)["a"]
    assert array.dtype == np.float32
    np.testing.assert_array_equal(array, [1.5, -2.0])


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        ({"a": ENTRY | {"data_offsets": [0, 25]}}, "needs 24 bytes"),
        ({"a": ENTRY | {"data_offsets": [8, 32]}}, r"has \[8, 32\] of 24"),
        ({"a": ENTRY | {"data_offsets": [0]}}, "needs 24 bytes"),
        ({"a": ENTRY | {"data_offsets": [-24, 0]}}, "expected a shape"),
        ({"a": ENTRY | {"shape": [2**40]}}, "needs 4398046511104 bytes"),
        ({"a": ENTRY | {"shape": [-2, -3]}}, "expected a shape"),
        ({"a": ENTRY | {"shape": "23"}}, "expected a shape"),
        ({"a": ENTRY | {"dtype": "F8_E4M3"}}, "unknown dtype 'F8_E4M3'"),
        ({"a": {"dtype": "F32"}}, "lacks dtype, shape or data_offsets"),
        ({"a": 1}, "lacks dtype, shape or data_offsets"),
        ('{"a": {}, "a": {}}', "a name stands twice"),
        ('{"a"', "delimiter"),
    ],
)
def test_wrong_safetensors_are_refused(tmp_path, header, reason):
    mapped = safetensors(tmp_path, header, bytes(24))
    with pytest.raises(ValueError, match=reason):
        array_files.read_safetensors(mapped)


@pytest.mark.parametrize(
    ("head", "size"),
    [(b"", 0), (struct.pack("<Q", 100) + b"{", 50), (b"\x80\x02}q" * 4, 99)],
)
def test_other_files_are_no_safetensors(head, size):
    assert not array_files.is_safetensors(head, size)


def read_npz(path):
    with zipfile.ZipFile(path) as archive:
        return array_files.read_npz(path, archive)


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_npz_files_are_read(tmp_path, save):
    path = tmp_path / "weights.npz"
    save(path, a=ARRAY, zeros=np.zeros((1000, 1000)), empty=np.zeros((0, 2)))
    arrays = read_npz(path)
    assert list(arrays) == ["a", "zeros", "empty"]
    np.testing.assert_array_equal(arrays["a"], ARRAY)
    assert arrays["zeros"].shape == (1000, 1000)


def test_npz_with_objects_is_refused(tmp_path):
    path = tmp_path / "weights.npz"
    np.savez(path, a=np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        read_npz(path)


@pytest.mark.parametrize(
    "compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]
)
def test_an_npz_shape_beyond_its_bytes_takes_no_memory(tmp_path, compression):
    path = tmp_path / "weights.npz"
    member = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        member,
        {"descr": "<f4", "fortran_order": False, "shape": (2**40,)},
    )
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("a.npy", member.getvalue())
    with pytest.raises(ValueError, match="needs 4398046511104 bytes"):
        read_npz(path)


def hdf5(tmp_path, **options):
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("conv/kernel:0", **options)
    return path


@pytest.mark.parametrize("compression", [None, "gzip"])
def test_hdf5_files_are_read(tmp_path, compression):
    path = hdf5(tmp_path, data=ARRAY, compression=compression)
    arrays = array_files.read_hdf5(path)
    assert list(arrays) == ["conv/kernel:0"]
    np.testing.assert_array_equal(arrays["conv/kernel:0"], ARRAY)


def test_hdf5_does_not_reach_other_files(tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(24))
    external = [(str(secret), 0, 24)]
    path = hdf5(tmp_path, shape=(6,), dtype="f4", external=external)
    with pytest.raises(ValueError, match="numbers lie in another file"):
        array_files.read_hdf5(path)


def test_hdf5_links_to_other_files_are_not_followed(tmp_path):
    path = hdf5(tmp_path, data=ARRAY)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["secret"] = ARRAY
    with h5py.File(path, "a") as file:
        file["link"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "secret")
    assert list(array_files.read_hdf5(path)) == ["conv/kernel:0"]


def test_hdf5_virtual_data_is_refused(tmp_path):
    layout = h5py.VirtualLayout(shape=(2, 3), dtype="f4")
    layout[:] = h5py.VirtualSource("other.h5", "secret", shape=(2, 3))
    path = tmp_path / "weights.h5"
    with h5py.File(path, "w") as file:
        file.create_virtual_dataset("a", layout)
    with pytest.raises(ValueError, match="numbers lie in another file"):
        array_files.read_hdf5(path)


def test_hdf5_text_is_refused(tmp_path):
    path = hdf5(tmp_path, data=["text"])
    with pytest.raises(ValueError, match="refused 'conv/kernel:0' of dtype"):
        array_files.read_hdf5(path)


def test_hdf5_space_never_written_takes_no_memory(tmp_path):
    path = hdf5(tmp_path, shape=(2**40,), dtype="f4", chunks=(1024,))
    with pytest.raises(ValueError, match="needs 4398046511104 bytes"):
        array_files.read_hdf5(path)
