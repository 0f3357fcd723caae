import pytest
import tensorflow as tf

from keras_fair.data import file_parts, transforms


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "a#bytes=x\n.bin"  # a name that looks like a part's
    path.write_bytes(bytes(range(100)))
    return str(path)


def test_a_part_is_read_by_its_name(path):
    name = file_parts.name_of(path, slice(9, 20))
    assert name == f"{path}#bytes=9-20"
    assert file_parts.read(name) == bytes(range(9, 20))
    assert file_parts.read(name.encode()) == bytes(range(9, 20))
    assert file_parts.read(file_parts.name_of(path, slice(5, 5))) == b""


def test_any_other_name_is_a_whole_file(path):
    assert file_parts.read(path) == bytes(range(100))


def test_a_file_that_is_too_short_is_an_error(path):
    with pytest.raises(OSError, match="ends before byte 101"):
        file_parts.read(file_parts.name_of(path, slice(90, 101)))
    with pytest.raises(FileNotFoundError):
        file_parts.read("nothing#bytes=0-1")


def test_an_image_decodes_from_a_part(tmp_path):
    pixels = tf.random.uniform([4, 5, 3], 0, 255, tf.int32, seed=0)
    pixels = tf.cast(pixels, tf.uint8)
    encoded = tf.io.encode_png(pixels).numpy()
    path = tmp_path / "shard"
    path.write_bytes(b"before" + encoded + b"after")
    name = file_parts.name_of(str(path), slice(6, 6 + len(encoded)))
    found = tf.data.Dataset.from_tensors(name).map(transforms.read_image)
    tf.debugging.assert_equal(found.get_single_element(), pixels)


@pytest.mark.parametrize("part", [slice(0, 9), slice(0, 1000)])
def test_a_part_that_is_no_image_is_an_empty_one(path, part):
    name = tf.constant(file_parts.name_of(path, part))
    assert transforms.read_image(name).shape == (0, 0, 3)


def test_a_part_of_a_remote_file_is_read(path, tmp_path):
    remote = f"ram://{tmp_path}/a.bin"
    tf.io.gfile.copy(path, remote, overwrite=True)
    name = file_parts.name_of(remote, slice(9, 20))
    assert file_parts.read(name.encode()) == bytes(range(9, 20))
    with pytest.raises(OSError, match="ends before byte 101"):
        file_parts.read(file_parts.name_of(remote, slice(90, 101)))
    with pytest.raises(tf.errors.NotFoundError):
        file_parts.read(f"{remote}.none#bytes=0-1")
