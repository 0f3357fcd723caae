import mmap
import struct
import zipfile

import numpy as np
import pytest

from keras_fair.checkpoints import torch_files
from tests.checkpoints import torch_writer

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def mapped(path):
    with open(path, "rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def read_zip(path):
    with zipfile.ZipFile(path) as archive:
        content = torch_files.read_zip(mapped(path), archive)
    return {name: tensor.array() for name, tensor in content.items()}


def read_legacy(path):
    content = torch_files.read_legacy(mapped(path))
    return {name: tensor.array() for name, tensor in content.items()}


def zip_file(tmp_path, **records):
    path = tmp_path / "weights.pth"
    described, storages = torch_writer.state_dict({"a": ARRAY})
    torch_writer.write_zip(path, described, storages, **records)
    return path


def test_a_zip_gives_its_tensors_as_views(tmp_path):
    arrays = read_zip(zip_file(tmp_path, byteorder=b"little"))
    np.testing.assert_array_equal(arrays["a"], ARRAY)
    assert not arrays["a"].flags.owndata


def test_big_endian_storages_are_read(tmp_path):
    path = tmp_path / "weights.pth"
    described, storages = torch_writer.state_dict({"a": ARRAY})
    storages = {"0": ARRAY.astype(">f4").tobytes()}
    torch_writer.write_zip(path, described, storages, byteorder=b"big")
    np.testing.assert_array_equal(read_zip(path)["a"], ARRAY)


def test_an_unknown_byte_order_is_refused(tmp_path):
    with pytest.raises(ValueError, match="neither little nor big"):
        read_zip(zip_file(tmp_path, byteorder=b"middle"))


def test_two_pickles_are_refused(tmp_path):
    path = zip_file(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("other/data.pkl", b"")
    with pytest.raises(ValueError, match=r"expected one data\.pkl"):
        read_zip(path)


# Two readers of a zip may take different ones of two members of one name.
@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_twice_is_refused(tmp_path):
    path = zip_file(tmp_path)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/data/0", bytes(24))
    with pytest.raises(ValueError, match="no name twice"):
        read_zip(path)


@pytest.mark.parametrize("key", ["../data.pkl", "/etc/passwd", "1"])
def test_a_storage_outside_the_archive_is_refused(tmp_path, key):
    path = tmp_path / "weights.pth"
    stored = torch_writer.storage(key, "Float", 6)
    described = {"a": torch_writer.tensor(stored, 0, (6,), (1,))}
    torch_writer.write_zip(path, described, {"0": ARRAY.tobytes()})
    with pytest.raises(ValueError, match="the archive has no"):
        read_zip(path)


def test_a_changed_byte_is_noticed(tmp_path):
    path = zip_file(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content.replace(ARRAY.tobytes(), bytes(24)))
    with pytest.raises(ValueError, match="'archive/data/0' has a wrong check"):
        read_zip(path)


def test_compressed_members_are_refused(tmp_path):
    path = zip_file(tmp_path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ValueError, match="is compressed or encrypted"):
        read_zip(path)


def test_a_member_beyond_the_file_is_refused(tmp_path):
    path = zip_file(tmp_path)
    content = path.read_bytes()
    # The sizes of data/0 in the directory at the end, 24 bytes each.
    entry = content.rindex(b"archive/data/0") - 46
    sizes = struct.pack("<II", 2**31, 2**31)
    path.write_bytes(content[: entry + 20] + sizes + content[entry + 28 :])
    with pytest.raises(ValueError, match="lies outside the file"):
        read_zip(path)


def legacy_file(tmp_path, arrays, *view):
    path = tmp_path / "weights.pth"
    described, storages = torch_writer.state_dict(arrays, *view)
    torch_writer.write_legacy(path, described, storages)
    return path


@pytest.mark.parametrize("view", [(), (None,)])
def test_a_legacy_file_gives_its_tensors(tmp_path, view):
    arrays = {"a": ARRAY, "b": ARRAY[0] + 7}
    path = legacy_file(tmp_path, arrays, *view)
    assert torch_files.is_legacy(path.read_bytes()[:512])
    read = read_legacy(path)
    assert list(read) == ["a", "b"]
    np.testing.assert_array_equal(read["a"], arrays["a"])
    np.testing.assert_array_equal(read["b"], arrays["b"])


def test_a_legacy_view_of_a_storage_starts_within_it(tmp_path):
    path = tmp_path / "weights.pth"
    stored = torch_writer.storage("0", "Float", 6, ("1", 2, 4))
    described = {"a": torch_writer.tensor(stored, 1, (3,), (1,))}
    torch_writer.write_legacy(path, described, {"0": ARRAY.tobytes()})
    np.testing.assert_array_equal(read_legacy(path)["a"], [3.0, 4.0, 5.0])


def test_a_truncated_legacy_file_is_refused(tmp_path):
    path = legacy_file(tmp_path, {"a": ARRAY})
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match="ends within a storage"):
        read_legacy(path)


@pytest.mark.parametrize("count", [-1, 2**62])
def test_a_claimed_count_takes_no_memory(tmp_path, count):
    path = legacy_file(tmp_path, {"a": ARRAY})
    content = path.read_bytes()
    path.write_bytes(content[:-32] + struct.pack("<q", count) + content[-24:])
    with pytest.raises(ValueError, match="ends within a storage"):
        read_legacy(path)


def test_storages_that_are_not_listed_are_refused(tmp_path):
    path = tmp_path / "weights.pth"
    described, _ = torch_writer.state_dict({"a": ARRAY})
    torch_writer.write_legacy(path, described, {})
    with pytest.raises(ValueError, match="not the storages that tensors use"):
        read_legacy(path)


def test_another_protocol_is_refused(tmp_path):
    path = legacy_file(tmp_path, {"a": ARRAY})
    protocol = (1001).to_bytes(16, "little")
    content = path.read_bytes().replace(protocol, bytes(16))
    path.write_bytes(content)
    with pytest.raises(ValueError, match="magic number and protocol 1001"):
        read_legacy(path)
