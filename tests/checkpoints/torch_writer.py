"""Writes the three formats of torch.save by hand, for tests without torch."""

import io
import struct
import tarfile
import typing
import zipfile

import numpy as np

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
STORAGES = {"f4": "Float", "f2": "Half", "i8": "Long", "b1": "Bool"}


class Name(typing.NamedTuple):
    """A global that the pickle names."""

    module: str
    name: str


class Call(typing.NamedTuple):
    """A call of a global, and the state given to its result."""

    function: Name
    arguments: tuple
    state: object = None


class Identity(typing.NamedTuple):
    """A persistent id."""

    value: object


def pickled(value) -> bytes:
    """Return a whole pickle of protocol 2."""
    return b"\x80\x02" + opcodes(value) + b"."


def opcodes(value) -> bytes:
    """Return the instructions that push the value."""
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, Identity):
        return opcodes(value.value) + b"Q"
    if isinstance(value, Call):
        code = opcodes(value.function) + opcodes(value.arguments) + b"R"
        return (
            code if value.state is None else code + opcodes(value.state) + b"b"
        )
    if isinstance(value, dict):
        items = [opcodes(k) + opcodes(v) + b"s" for k, v in value.items()]
        return b"}" + b"".join(items)
    if isinstance(value, (list, tuple)):
        end = b"t" if isinstance(value, tuple) else b"l"
        return b"(" + b"".join(map(opcodes, value)) + end
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, bytes):
        return b"B" + struct.pack("<I", len(value)) + value
    if isinstance(value, int):
        content = value.to_bytes(16, "little", signed=True)
        return b"\x8a\x10" + content
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def storage(key: str, kind: str, size: int, *view) -> Identity:
    """Name a storage, e.g. of kind "Float"; view None is for write_legacy."""
    kind = Name("torch", f"{kind}Storage")
    return Identity(("storage", kind, key, "cpu", size, *view))


def tensor(stored: Identity, offset: int, shape: tuple, strides: tuple) -> Call:
    """Describe a tensor as torch 0.4 and later do."""
    hooks = Call(Name("collections", "OrderedDict"), ())
    return Call(
        Name("torch._utils", "_rebuild_tensor_v2"),
        (stored, offset, shape, strides, False, hooks),
    )


def state_dict(arrays: dict, *view) -> tuple[dict, dict]:
    """Return the description of arrays, and key -> their bytes."""
    described, storages = {}, {}
    for key, (name, array) in enumerate(arrays.items()):
        strides = tuple(s // array.itemsize for s in array.strides)
        kind = STORAGES[array.dtype.str[1:]]
        stored = storage(str(key), kind, array.size, *view)
        described[name] = tensor(stored, 0, array.shape, strides)
        storages[str(key)] = array.tobytes()
    return described, storages


def write_zip(path, content, storages: dict, **records: bytes) -> None:
    """Write the format since torch 1.6."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", pickled(content))
        archive.writestr("archive/version", b"3\n")
        for key, buffer in storages.items():
            archive.writestr(f"archive/data/{key}", buffer)
        for name, buffer in records.items():
            archive.writestr(f"archive/{name}", buffer)


def write_legacy(path, content, storages: dict, width: int = 4) -> None:
    """Write the format before torch 1.6; `width` bytes for a number.

    Persistent ids end with None there, or with a view of a storage.
    """
    header = (MAGIC_NUMBER, 1001, {"little_endian": True}, content)
    parts = [pickled(part) for part in (*header, list(storages))]
    for buffer in storages.values():
        parts += [struct.pack("<q", len(buffer) // width), buffer]
    path.write_bytes(b"".join(parts))


def write_tar(path, names: list[str], array: np.ndarray) -> None:
    """Write the format before torch 0.1.10: names for one float32 array."""
    size = array.size
    storages = pickled(1) + pickled(("7", "cpu", Name("torch", "FloatStorage")))
    storages += struct.pack("<q", size) + array.tobytes()
    storages += pickled([("8", "7", 0, size)])
    tensors = pickled(1) + pickled((5, "8", Name("torch", "FloatTensor")))
    strides = tuple(s // array.itemsize for s in array.strides)
    tensors += struct.pack("<q", array.ndim)
    tensors += struct.pack(f"<{2 * array.ndim + 1}q", *array.shape, *strides, 0)
    content = pickled({name: Identity(5) for name in names})
    members = {"storages": storages, "tensors": tensors, "pickle": content}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, buffer in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(buffer)
            archive.addfile(member, io.BytesIO(buffer))
