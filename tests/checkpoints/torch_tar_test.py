import io
import mmap
import tarfile

import numpy as np
import pytest

from keras_fair.checkpoints import torch_tar
from tests.checkpoints import torch_writer

ARRAY = np.arange(6, dtype=np.float32).reshape(2, 3)


def read(path):
    with open(path, "rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    with tarfile.open(path, "r:") as archive:
        return torch_tar.read(mapped, archive)


def changed(tmp_path, **members):
    """Write a good file with some members replaced (None: left out)."""
    path = tmp_path / "weights.pth"
    torch_writer.write_tar(path, ["a"], ARRAY)
    with tarfile.open(path) as archive:
        contents = {
            m.name: archive.extractfile(m).read() for m in archive.getmembers()
        }
    with tarfile.open(path, "w") as archive:
        for name, content in (contents | members).items():
            if content is not None:
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def test_a_tar_gives_its_tensors(tmp_path):
    path = tmp_path / "weights.pth"
    torch_writer.write_tar(path, ["a", "b"], ARRAY.T)
    content = read(path)
    assert list(content) == ["a", "b"]
    # The writer keeps the strides of the transposed array.
    stored = ARRAY.T.tobytes()
    expected = np.ndarray((3, 2), "f4", stored, strides=(4, 12))
    np.testing.assert_array_equal(content["a"].array(), expected)


def test_a_missing_member_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one file 'tensors' in the tar"):
        read(changed(tmp_path, tensors=None))


def test_a_link_is_refused(tmp_path):
    path = changed(tmp_path, storages=None)
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo("storages")
        member.type, member.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(member)
    with pytest.raises(ValueError, match="one file 'storages' in the tar"):
        read(path)


NO_STORAGE = torch_writer.pickled(0) + torch_writer.pickled([])
VIEW = torch_writer.pickled(0) + torch_writer.pickled([("8", "7", 0, 6)])
UNTYPED = torch_writer.pickled(1) + torch_writer.pickled(("7", "cpu", "f4"))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"storages": NO_STORAGE}, "no storage 8"),
        ({"storages": VIEW}, "no storage 7"),
        ({"storages": UNTYPED}, "storage 7 has no type"),
        ({"storages": torch_writer.pickled(-1)}, "a count, found -1"),
        ({"tensors": torch_writer.pickled(0)}, "no tensor 5"),
        (
            {"tensors": torch_writer.pickled(1) + torch_writer.pickled("x")},
            "expected three parts, found 'x'",
        ),
        ({"pickle": b"cos\nsystem\n."}, "refused 'os.system'"),
    ],
)
def test_damage_is_refused(tmp_path, members, reason):
    with pytest.raises(ValueError, match=reason):
        read(changed(tmp_path, **members))
