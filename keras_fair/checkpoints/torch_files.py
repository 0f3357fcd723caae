"""Tensors in files of torch.save, read without torch.

Three formats: since 1.6 a zip archive (`data.pkl` beside one record for each
storage); before that, five pickles in a row and then the storages; before
0.1.10 (2017), a tar archive. In each, a pickle names the storages by
persistent ids. The storages stay in the mapped file; tensors are views.
"""

import io
import mmap
import struct
import zipfile
import zlib
from collections.abc import Mapping

from keras_fair.checkpoints import torch_tensors, unpickler

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL = 1001
LOCAL_HEADER = struct.Struct("<4s22xHH")  # ..., lengths of name and extra


def is_legacy(head: bytes) -> bool:
    """Tell whether a file that begins so is one of torch before 1.6."""
    magic = MAGIC_NUMBER.to_bytes(10, "little")
    return head.startswith(b"\x80") and magic in head[:32]


class Members(Mapping):
    """The stored members of a zip archive as views of the mapped file."""

    def __init__(self, mapped: mmap.mmap, archive: zipfile.ZipFile, folder):
        self._mapped, self._folder = memoryview(mapped), folder
        self._members = {info.filename: info for info in archive.infolist()}
        self._checked = {}

    def __iter__(self):
        return iter(self._members)

    def __len__(self) -> int:
        return len(self._members)

    def __getitem__(self, name: str) -> memoryview:
        """Return the bytes, compared with their checksum once."""
        if name not in self._checked:
            info = self._members.get(self._folder + name)
            if info is None:
                raise ValueError(f"the archive has no {self._folder + name!r}")
            self._checked[name] = self._bytes(info)
        return self._checked[name]

    def _bytes(self, info: zipfile.ZipInfo) -> memoryview:
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1:
            raise ValueError(f"{info.filename!r} is compressed or encrypted")
        header = self._mapped[info.header_offset :][: LOCAL_HEADER.size]
        signature, name_size, extra_size = LOCAL_HEADER.unpack(header)
        start = info.header_offset + LOCAL_HEADER.size + name_size + extra_size
        content = self._mapped[start : start + info.file_size]
        if signature != b"PK\x03\x04" or len(content) != info.file_size:
            raise ValueError(f"{info.filename!r} lies outside the file")
        if zlib.crc32(content) != info.CRC:
            raise ValueError(f"{info.filename!r} has a wrong checksum")
        return content


def read_zip(mapped: mmap.mmap, archive: zipfile.ZipFile):
    """Return what torch.save was given, tensors not made yet.

    Raises:
        ValueError: no or several `data.pkl`, or a damaged member.
    """
    names = archive.namelist()
    pickles = [n for n in names if n.rsplit("/", 1)[-1] == "data.pkl"]
    if len(pickles) != 1 or len(set(names)) != len(names):
        raise ValueError("expected one data.pkl and no name twice in the zip")
    folder = pickles[0].removesuffix("data.pkl")
    members = Members(mapped, archive, folder)
    order = "<"
    if f"{folder}byteorder" in names:
        order = {b"little": "<", b"big": ">"}.get(bytes(members["byteorder"]))
    if order is None:
        raise ValueError("the byte order is neither little nor big")
    buffers = Members(mapped, archive, f"{folder}data/")
    machine = unpickler.Unpickler(
        torch_tensors.builders(order),
        lambda identity: torch_tensors.storage(identity, buffers),
    )
    return machine.load(io.BytesIO(members["data.pkl"]))


def read_legacy(mapped: mmap.mmap):
    """Return what torch.save was given, before torch 1.6.

    Raises:
        ValueError: another protocol, or a damaged file.
    """
    buffers, kinds = {}, {}

    def load_storage(identity):
        storage = torch_tensors.storage(identity, buffers)
        kinds.setdefault(storage.key, storage.kind)
        return storage

    machine = unpickler.Unpickler(torch_tensors.builders("<"), load_storage)
    if machine.load(mapped) != MAGIC_NUMBER or machine.load(mapped) != PROTOCOL:
        raise ValueError("expected torch's magic number and protocol 1001")
    machine.load(mapped)  # sizes of C types where it was written
    content, keys = machine.load(mapped), machine.load(mapped)
    keys = [torch_tensors.checked_key(key) for key in keys]
    if set(keys) != kinds.keys():
        raise ValueError("damaged file: not the storages that tensors use")
    for key in keys:
        buffers[key] = next_storage(mapped, kinds[key].dtype.itemsize)
    return content


def next_storage(mapped: mmap.mmap, width: int) -> memoryview:
    """Return the storage at the file's position and move behind it.

    It is an int64 count, then so many numbers of `width` bytes.
    """
    (count,) = struct.unpack("<q", mapped.read(8))
    start = mapped.tell()
    content = memoryview(mapped)[start : start + max(count, 0) * width]
    if len(content) != count * width:
        raise ValueError("damaged file: it ends within a storage")
    mapped.seek(start + len(content))
    return content
