import io
import math
import pickle

import numpy as np
import pytest

from keras_fair.checkpoints import pickled_arrays, unpickler


def load(content: bytes):
    machine = unpickler.Unpickler(pickled_arrays.BUILDERS)
    return machine.load(io.BytesIO(content))


ARRAYS = {
    "float32": np.arange(6, dtype="f4").reshape(2, 3),
    "fortran": np.asfortranarray(np.arange(6, dtype="f8").reshape(2, 3)),
    "big_endian": np.arange(3, dtype=">i4"),
    "half": np.arange(3, dtype="f2"),
    "bool": np.array([True, False]),
    "strided": np.arange(24).reshape(2, 3, 4)[:, ::2, 1:],
    "transposed": np.arange(24).reshape(2, 3, 4).transpose(1, 2, 0),
    "empty": np.zeros((0, 3), "f4"),
    "no_axes": np.array(3.5),
    "scalar": np.float32(1.25),
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_equals_what_was_pickled(name, protocol):
    expected = ARRAYS[name]
    described = load(pickle.dumps(expected, protocol))
    array = described.array()
    assert array.dtype == expected.dtype
    np.testing.assert_array_equal(array, expected)
    assert described.nbytes == expected.nbytes


@pytest.mark.parametrize("package", ["numpy.core", "numpy._core"])
def test_python_2_and_numpy_1_are_read(package):
    # As Python 2 wrote them: bytes are `str`, here SHORT_BINSTRING (U).
    def short(text):
        return b"U" + bytes([len(text)]) + text

    described = load(
        f"\x80\x02c{package}.multiarray\n_reconstruct\n".encode("latin-1")
        + b"cnumpy\nndarray\nK\x00\x85"
        + short(b"b")
        + b"\x87R(K\x01K\x02\x85cnumpy\ndtype\n"
        + short(b"f4")
        + b"K\x00K\x01\x87R(K\x03"
        + short(b"<")
        + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + short(np.array([1.5, -2.0], "<f4").tobytes())
        + b"tb."
    )
    np.testing.assert_array_equal(described.array(), np.float32([1.5, -2.0]))


def test_arrays_of_objects_are_refused():
    content = pickle.dumps(np.array([{}, None], dtype=object))
    with pytest.raises(ValueError, match="array of dtype 'O8'"):
        load(content)


@pytest.mark.parametrize(
    "array",
    [np.array(["text"]), np.zeros(2, "f4,i4"), np.array(["2020"], "M8[D]")],
)
def test_arrays_of_other_than_numbers_are_refused(array):
    with pytest.raises(ValueError, match="refused"):
        load(pickle.dumps(array))


def test_subclasses_of_arrays_are_refused():
    with pytest.raises(ValueError, match=r"refused 'numpy.*matrix'"):
        load(pickle.dumps(np.asmatrix([[1.0]])))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"shape": (2**40,)}, "needs 4398046511104 bytes and has 8"),
        ({"shape": (1,)}, "needs 4 bytes and has 8"),
        ({"shape": (-2,)}, "expected a shape"),
        ({"shape": 2}, "expected a shape"),
        ({"shape": (1,) * 65}, "expected a shape"),
        ({"raw": [1.0, 2.0]}, "refused an array of lists"),
        ({"dtype": "f4"}, "without a dtype"),
    ],
)
def test_parts_that_do_not_fit_are_refused(changes, reason):
    parts = {
        "shape": (2,),
        "dtype": pickled_arrays.PickledDtype("f4"),
        "raw": bytes(8),
    } | changes
    state = (1, parts["shape"], parts["dtype"], False, parts["raw"])
    with pytest.raises(ValueError, match=reason):
        pickled_arrays.PickledArray().set_state(state)


def test_a_short_state_is_refused():
    with pytest.raises(ValueError, match="state of an array"):
        pickled_arrays.PickledArray().set_state((1, (2,)))


def test_an_array_without_a_state_is_refused():
    with pytest.raises(ValueError, match="without a state"):
        pickled_arrays.PickledArray().array()


def test_text_beyond_bytes_is_refused():
    dtype = pickled_arrays.PickledDtype("u1")
    array = pickled_arrays.PickledArray()
    array.set_state((1, (1,), dtype, False, "\u0100"))
    with pytest.raises(ValueError, match="latin-1"):
        array.array()


@pytest.mark.parametrize(
    ("state", "reason"),
    [
        ((3, "<", (), None, None), "not a plain number"),
        ((3, "!", None, None, None), "byte order '!'"),
        ("<", "not a plain number"),
    ],
)
def test_states_of_a_dtype_are_checked(state, reason):
    with pytest.raises(ValueError, match=reason):
        pickled_arrays.PickledDtype("f4").set_state(state)


@pytest.mark.parametrize("name", ["O", "V8", "f4,f4", "(9,9)f4", 4, "f3"])
def test_dtypes_other_than_numbers_are_refused(name):
    with pytest.raises(ValueError, match="refused an array of dtype"):
        pickled_arrays.PickledDtype(name)


@pytest.mark.parametrize(
    ("name", "arguments", "reason"),
    [
        ("_codecs encode", ("x", "zip"), "other than to latin1"),
        ("_codecs encode", (b"x", "latin1"), "other than to latin1"),
        (
            "numpy.core.multiarray _reconstruct",
            (dict, (0,), "b"),
            "subclass of numpy.ndarray",
        ),
        (
            "numpy._core.numeric _frombuffer",
            (b"", None, (0,), "A"),
            "order C or F, found 'A'",
        ),
    ],
)
def test_arguments_of_the_builders_are_checked(name, arguments, reason):
    with pytest.raises(ValueError, match=reason):
        pickled_arrays.BUILDERS[name](*arguments)


def test_nothing_is_allocated_before_the_array_is_made():
    shape = (2**20, 2**20)
    build = pickled_arrays.BUILDERS["numpy.core.multiarray _reconstruct"]
    described = build(pickled_arrays.NDARRAY, shape, "b")
    assert described.nbytes == 0 < math.prod(shape)
