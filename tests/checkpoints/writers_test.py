import zipfile

import numpy as np
import pytest

from keras_fair.checkpoints import readers, writers

ARRAYS = {
    "a.weight": np.arange(24, dtype="f4").reshape(2, 3, 4),
    "a.bias": np.array([0.5, -1.0], "f2"),
    "counter": np.array(3),
    "none": np.zeros((0, 4), "f4"),
}


@pytest.mark.parametrize("name", ["weights.pth", "weights.safetensors"])
def test_what_is_written_is_read_back_bit_for_bit(name, tmp_path):
    path = tmp_path / name
    writers.write(path, ARRAYS)
    found = readers.read(path)
    assert list(found) == list(ARRAYS)
    for key, array in ARRAYS.items():
        assert found[key].dtype == array.dtype
        np.testing.assert_array_equal(found[key], array)
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_transposed_view_is_written_by_its_values(tmp_path):
    view = np.arange(6, dtype="f4").reshape(2, 3).T
    writers.write(tmp_path / "w.pth", {"view": view})
    np.testing.assert_array_equal(
        readers.read(tmp_path / "w.pth")["view"], view
    )


def test_the_zip_is_laid_out_as_torch_does(tmp_path):
    writers.write(tmp_path / "w.pth", ARRAYS)
    with zipfile.ZipFile(tmp_path / "w.pth") as archive:
        names = archive.namelist()
        assert archive.read("weights/version") == b"3\n"
        compression = {i.compress_type for i in archive.infolist()}
    assert names[0] == "weights/data.pkl" and "weights/data/0" in names
    assert compression == {zipfile.ZIP_STORED}


def test_torch_itself_reads_the_file(tmp_path):
    torch = pytest.importorskip("torch")
    writers.write(tmp_path / "w.pth", ARRAYS)
    found = torch.load(tmp_path / "w.pth", weights_only=True)
    for key, array in ARRAYS.items():
        np.testing.assert_array_equal(found[key].numpy(), array)


def test_a_dtype_without_a_storage_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="a of float64"):
        writers.write(tmp_path / "w.pth", {"a": np.zeros(1)})
    assert not list(tmp_path.iterdir())
