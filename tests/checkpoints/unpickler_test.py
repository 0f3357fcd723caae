import collections
import copyreg
import functools
import io
import os
import pickle
import struct
import subprocess

import numpy as np
import pytest

from keras_fair.checkpoints import pickled_arrays, torch_tensors, unpickler

BUILDERS = torch_tensors.builders("<")
PLAIN = {
    "text": ["", "é", "x" * 300],
    "numbers": (0, -1, 255, 70_000, 2**70, -(2**33), 1.5, True, False, None),
    "bytes": [b"", b"\xff" * 300],
    "tuples": ((), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)),
    7: {"nested": {}, "list": []},
}


def load(content: bytes, builders=BUILDERS, persistent_load=None):
    machine = unpickler.Unpickler(builders, persistent_load)
    return machine.load(io.BytesIO(content))


class Payload:
    """Pickles as a call, as an attacker writes it."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


# In protocol 2, Python 3 writes bytes as text, which they stay.
@pytest.mark.parametrize("protocol", [3, 4, 5])
def test_plain_containers_equal_what_was_pickled(protocol):
    assert load(pickle.dumps(PLAIN, protocol)) == PLAIN


@pytest.mark.parametrize("protocol", [0, 1, 2])
def test_old_protocols_are_read(protocol):
    plain = {key: value for key, value in PLAIN.items() if key != "bytes"}
    assert load(pickle.dumps(plain, protocol)) == plain


def test_shared_and_recursive_objects_stay_so():
    shared = [1]
    first, second, third = load(pickle.dumps([shared, shared, {}]))
    assert first is second and third == {}
    loop = []
    loop.append(loop)
    result = load(pickle.dumps(loop))
    assert result[0] is result


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "container",
    [collections.OrderedDict(b=1, a=2), collections.Counter({5: 2, 3: 1})],
)
def test_dictionary_classes_become_dictionaries(protocol, container):
    assert list(load(pickle.dumps(container, protocol)).items()) == list(
        container.items()
    )


def test_attributes_of_a_dictionary_are_dropped():
    content = collections.OrderedDict(a=1)
    content._metadata = {"version": 2}  # as torch leaves them there
    assert load(pickle.dumps(content)) == {"a": 1}


def test_a_stream_is_left_just_behind_the_object():
    stream = io.BytesIO(pickle.dumps(1) + pickle.dumps("two") + b"rest")
    machine = unpickler.Unpickler({})
    assert [machine.load(stream), machine.load(stream)] == [1, "two"]
    assert stream.read() == b"rest"


MARKER = "unpickler_test_was_here"
SHELL = f"echo > {MARKER}"
PAYLOADS = {
    "posix.system": Payload(os.system, SHELL),
    "builtins.eval": Payload(eval, f"open('{MARKER}', 'w')"),
    "builtins.exec": Payload(exec, f"open('{MARKER}', 'w')"),
    "builtins.getattr": Payload(getattr, "text", "upper"),
    "subprocess.Popen": Payload(subprocess.Popen, SHELL),
    "functools.partial": functools.partial(os.system, SHELL),
    "builtins.dict": dict,
    "copyreg._reconstructor": Payload(
        copyreg._reconstructor, dict, object, None
    ),
}


@pytest.mark.parametrize("protocol", [0, 2, 4])
@pytest.mark.parametrize("name", PAYLOADS)
def test_a_malicious_pickle_runs_nothing(name, protocol, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = pickle.dumps(
        {"weight": PAYLOADS[name]}, protocol, fix_imports=False
    )
    with pytest.raises(ValueError, match=f"refused '{name}'"):
        load(content)
    assert os.listdir(tmp_path) == []


def test_the_payloads_are_real(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(PAYLOADS["posix.system"]))
    assert os.listdir(tmp_path) == [MARKER]


def stack_global(module: str, name: str) -> bytes:
    texts = [t.encode() for t in (module, name)]
    return b"".join(b"\x8c" + bytes([len(t)]) + t for t in texts) + b"\x93"


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("numpy", "os.system"),  # attributes of attributes
        ("numpy.testing._private.utils", "runstring"),
        ("numpy.f2py.crackfortran", "getlincoef"),
        ("numpy.core.multiarray", "_reconstruct.__globals__"),
        ("collections", "OrderedDict.__init__.__globals__"),
        ("torch._utils", "_rebuild_tensor_v2.__class__"),
        ("torch.hub", "load"),
        ("torch.serialization", "load"),
        ("", ""),
        ("numpy", "dtype system"),
    ],
)
def test_names_beside_the_allowed_ones_are_refused(module, name):
    with pytest.raises(ValueError, match="only arrays and plain containers"):
        load(b"\x80\x04" + stack_global(module, name) + b".")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x80\x04K\x01K\x02\x93.", "expected a str, found int"),
        (b"\x80\x02\x82\x01.", "refused the pickle instruction EXT1"),
        (b"\x80\x02\x83\x01\x00.", "refused the pickle instruction EXT2"),
        (b"\x80\x02\x84\x01\x00\x00\x00.", "pickle instruction EXT4"),
        (b"(ios\nsystem\n.", "refused the pickle instruction INST"),
        (b"(cos\nsystem\no.", "refused 'os.system'"),
        (b"\x80\x05\x97.", "pickle instruction NEXT_BUFFER"),
        (b"\x80\x04\x8f.", "pickle instruction EMPTY_SET"),
        (b"Vtext\nQ.", "refused a persistent id"),
        (b"Ptext\n.", "refused a persistent id"),
        (b"Vtext\n(tR.", "refused to call a str"),
        (b"ccollections\nOrderedDict\n}b.", "expected a Buildable"),
        (b"ctorch._utils\n_rebuild_tensor_v2\n}b.", "found function"),
        (b"ccollections\nOrderedDict\n(I1\ntR.", "what a dictionary is made"),
        (b"ccollections\nOrderedDict\n((I1\nltR.", "not made of pairs"),
        (b"ctorch\nSize\n(I1\nI2\ntR.", "takes from 0 to 1"),
        (b"}((tI1\ns.", "damaged pickle"),
        (b"}(tI1\ns.", "refused a tuple as a key"),
        (b"}(I1\nu.", "a key without a value"),
        (b"]I1\nu.", "no mark"),
        (b"I1\nI2\na.", "expected a list, found int"),
        (b"g7\n.", "nothing stored as 7"),
        (b".", "found nothing"),
        (b"", "exhausted"),
        (b"}", "exhausted"),
        (b"\xfe.", "unknown"),
        (b"Vtext", "no newline"),
    ],
)
def test_other_instructions_and_damage_are_refused(content, reason):
    with pytest.raises(ValueError, match=reason):
        load(content)


def test_a_class_takes_no_state():
    # pickle would set the attributes of the class itself.
    content = b"cnumpy\ndtype\n}Vset_state\nI1\nsb."
    with pytest.raises(ValueError, match="expected a Buildable, found type"):
        load(content)
    assert callable(pickled_arrays.PickledDtype.set_state)


@pytest.mark.parametrize(
    "content",
    [
        b"B" + struct.pack("<I", 2**32 - 1) + b".",
        b"\x8e" + struct.pack("<Q", 2**62) + b".",
        b"\x8d" + struct.pack("<Q", 2**40) + b".",
        b"\x8b" + struct.pack("<i", 2**31 - 1) + b".",
        b"\x80\x05\x96" + struct.pack("<Q", 2**62) + b".",
    ],
)
def test_a_claimed_length_takes_no_memory(content):
    with pytest.raises(ValueError, match="expected .* but only|not enough"):
        load(content)


def test_a_large_memo_index_takes_no_memory():
    # pickle's own memo is an array as long as the largest index.
    assert load(b"]r" + struct.pack("<I", 2**32 - 1) + b".") == []


def test_deep_nesting_is_harmless():
    depth = 100_000
    result = load(b"(" * depth + b"t" * depth + b".")
    assert isinstance(result, tuple)


def test_copies_of_one_list_take_no_memory():
    build = b"ccollections\nOrderedDict\n"
    content = b"(" + build + b"(((I1\nI2\ntlp0\ntR" + build + b"(g0\ntRt."
    assert load(content) == ({1: 2}, {})


def test_numpy_scalars_and_dtypes_are_no_callables():
    content = pickle.dumps({"a": np.dtype("f4")}, 2)
    assert isinstance(load(content)["a"], pickled_arrays.PickledDtype)
