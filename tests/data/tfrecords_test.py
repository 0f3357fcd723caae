import numpy as np
import pytest
import tensorflow as tf

from keras_fair.data import tfrecords

EDGES = [0, 1, -1, 127, 128, 300, 2**63 - 1, -(2**63)]


def feature(value) -> tf.train.Feature:
    if isinstance(value[0], bytes):
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=value))
    if isinstance(value[0], float):
        return tf.train.Feature(float_list=tf.train.FloatList(value=value))
    return tf.train.Feature(int64_list=tf.train.Int64List(value=value))


def write(path, *examples) -> str:
    """Write dicts of lists as TensorFlow does."""
    with tf.io.TFRecordWriter(str(path)) as writer:
        for example in examples:
            features = {name: feature(v) for name, v in example.items()}
            message = tf.train.Example(
                features=tf.train.Features(feature=features)
            )
            writer.write(message.SerializeToString())
    return str(path)


def test_reads_what_tensorflow_writes(tmp_path):
    large = np.random.default_rng(0).bytes(100_000)
    path = write(
        tmp_path / "a",
        {"image": [large], "ids": EDGES, "box": [0.25, -1.5, 1e30]},
        {"text": [b"", b"abc", b""], "ids": [5]},
    )
    content = tfrecords.map_file(path)
    first, second = tfrecords.read_examples(content)
    (span,) = first["image"]
    assert content[span] == large
    assert first["ids"].tolist() == EDGES
    np.testing.assert_array_equal(
        first["box"], np.array([0.25, -1.5, 1e30], np.float32)
    )
    assert [content[s] for s in second["text"]] == [b"", b"abc", b""]
    assert set(second) == {"text", "ids"}


def test_empty_lists_are_empty_or_absent(tmp_path):
    path = str(tmp_path / "a")
    features = {
        "none": tf.train.Feature(),
        "floats": tf.train.Feature(float_list=tf.train.FloatList()),
    }
    message = tf.train.Example(features=tf.train.Features(feature=features))
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(message.SerializeToString())
        writer.write(tf.train.Example().SerializeToString())
    first, second = tfrecords.read_examples(tfrecords.map_file(path))
    assert set(first) == {"floats"} and first["floats"].shape == (0,)
    assert second == {}


def test_a_file_without_records_is_one(tmp_path):
    content = tfrecords.map_file(write(tmp_path / "a"))
    assert list(tfrecords.read_examples(content)) == []


@pytest.mark.parametrize("left", [-1, -20, 5])
def test_a_file_that_is_cut_off_says_where(tmp_path, left):
    path = write(tmp_path / "a", {"ids": [1]}, {"ids": [2]})
    content = open(path, "rb").read()[:left]
    with pytest.raises(ValueError, match="cut off .*at byte"):
        list(tfrecords.read_examples(content))


@pytest.mark.parametrize("seed", range(20))
def test_another_content_is_an_error_and_no_crash(tmp_path, seed):
    garbage = np.random.default_rng(seed).bytes(200)
    path = str(tmp_path / "a")
    with tf.io.TFRecordWriter(path) as writer:
        writer.write(garbage)
    with pytest.raises(ValueError, match="tf.train.Example"):
        list(tfrecords.read_examples(tfrecords.map_file(path)))
