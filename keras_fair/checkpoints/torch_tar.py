"""The tar files of torch before 0.1.10 (2017): storages, tensors, a pickle."""

import mmap
import reprlib
import struct
import tarfile

from keras_fair.checkpoints import torch_files, torch_tensors, unpickler


def read(mapped: mmap.mmap, archive: tarfile.TarFile):
    """Return what torch.save was given, tensors not made yet.

    Nothing is extracted: the members are read where they lie.

    Raises:
        ValueError: a missing or damaged member.
    """
    storages = _read_storages(mapped, archive)
    tensors = _read_tensors(mapped, archive, storages)

    def load_tensor(identity):
        key = torch_tensors.checked_key(identity)
        if key not in tensors:
            raise ValueError(f"no tensor {key}")
        return tensors[key]

    _seek(mapped, archive, "pickle")
    builders = torch_tensors.builders("<")
    return unpickler.Unpickler(builders, load_tensor).load(mapped)


def _seek(mapped: mmap.mmap, archive: tarfile.TarFile, name: str) -> None:
    members = [m for m in archive.getmembers() if m.name == name]
    if len(members) != 1 or not members[0].isreg():
        raise ValueError(f"expected one file {name!r} in the tar")
    mapped.seek(members[0].offset_data)


def _read_storages(mapped: mmap.mmap, archive: tarfile.TarFile) -> dict:
    """Return storage key -> storage, and the views of storages likewise."""
    machine = unpickler.Unpickler(torch_tensors.builders("<"))
    buffers, storages = {}, {}
    _seek(mapped, archive, "storages")
    for _ in range(_count(machine.load(mapped))):
        key, kind = _triple(machine.load(mapped))[::2]
        if not isinstance(kind, torch_tensors.StorageType):
            raise ValueError(f"storage {key} has no type")
        width = kind.dtype.itemsize
        buffers[key] = torch_files.next_storage(mapped, width)
        size = len(buffers[key]) // width
        storages[key] = torch_tensors.Storage(kind, key, size, buffers)
    for view, key, start, size in machine.load(mapped):
        key = torch_tensors.checked_key(key)
        if key not in buffers:
            raise ValueError(f"no storage {key}")
        storages[torch_tensors.checked_key(view)] = torch_tensors.Storage(
            storages[key].kind, key, _count(size), buffers, _count(start)
        )
    return storages


def _read_tensors(
    mapped: mmap.mmap, archive: tarfile.TarFile, storages: dict
) -> dict:
    """Return tensor key -> tensor."""
    names = [f"torch {n}Tensor" for n in torch_tensors.STORAGE_TYPES]
    machine = unpickler.Unpickler(dict.fromkeys(names, ""))
    tensors = {}
    _seek(mapped, archive, "tensors")
    for _ in range(_count(machine.load(mapped))):
        key, storage_key = _triple(machine.load(mapped))[:2]
        if storage_key not in storages:
            raise ValueError(f"no storage {storage_key}")
        # The rank lies in 8 bytes, of which the upper 4 hold nothing.
        (rank,) = struct.unpack("<i4x", mapped.read(8))
        numbers = mapped.read(8 * (2 * _count(rank) + 1))
        *sides, offset = struct.unpack(f"<{2 * rank + 1}q", numbers)
        tensors[key] = torch_tensors.rebuild_tensor(
            storages[storage_key], offset, sides[:rank], sides[rank:]
        )
    return tensors


def _count(number) -> int:
    if type(number) is not int or number < 0:
        raise ValueError(f"expected a count, found {reprlib.repr(number)}")
    return number


def _triple(entry) -> tuple:
    """Return (key, device or storage key, type) with the keys as text."""
    if not isinstance(entry, tuple) or len(entry) != 3:
        raise ValueError(f"expected three parts, found {reprlib.repr(entry)}")
    key, second = map(torch_tensors.checked_key, entry[:2])
    return key, second, entry[2]
