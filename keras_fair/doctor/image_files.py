"""Check the image files, with the decoder that training has."""

import collections
import hashlib
import io
import os
import pathlib
import re
from collections.abc import Callable, Iterable
from concurrent import futures
from typing import NamedTuple

import tensorflow as tf
from PIL import ExifTags, Image

from keras_fair import files
from keras_fair.data import exports, file_parts, transforms
from keras_fair.data import image_files as data_files
from keras_fair.doctor import findings as findings_lib
from keras_fair.doctor import survey as survey_lib

FORMATS = ("JPEG", "MPO", "PNG", "BMP", "GIF", "WEBP")  # MPO is a JPEG
PARALLEL = 8  # images that are decoded at a time; bounds the memory
MAX_UNLISTED = 10  # names in the report


class File(NamedTuple):
    """What is in an image file, and what it says of itself."""

    num_bytes: int
    digest: bytes  # of the content
    decoded: tuple[int, int]  # height and width; zeros where that fails
    format: str  # Pillow's name of it; "" where it is no image
    orientation: int  # EXIF's; 5 to 8 exchange height and width
    mode: str  # Pillow's name of the kind of pixels


@tf.function(input_signature=[tf.TensorSpec([], tf.string)])
def _decoded_shape(path):
    return tf.shape(transforms.read_image(path))[:2]


def read(path: str, decoded_shape: Callable = _decoded_shape) -> File:
    """Read a file with the decoder that training has."""
    content = file_parts.read(path)
    digest = hashlib.sha1(content).digest()
    decoded = tuple(decoded_shape(tf.constant(path)).numpy().tolist())
    try:
        with Image.open(io.BytesIO(content)) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            header = (image.format, orientation, image.mode)
    # Pillow raises whatever it likes on damaged headers.
    except Exception:
        header = ("", 1, "")
    return File(len(content), digest, decoded, *header)


def _read_if_possible(path: str, decoded_shape: Callable) -> File | Exception:
    """Return what is in a file, or what kept it from being read."""
    try:
        return read(path, decoded_shape)
    except (OSError, tf.errors.OpError) as error:
        return error


def find(folder: str, name: str) -> str:
    """Return the path of an image file, or of the part of a shard.

    Args:
        folder: of the files.
        name: of the record.

    Raises:
        FileNotFoundError: there is no such file.
    """
    shard, _, part = name.rpartition("#bytes=")
    if ".tfrecord" in shard and re.fullmatch(r"\d+-\d+", part):
        if files.system(folder).exists(files.join(folder, shard)):
            return files.join(folder, name)
    return exports.find_image(folder, name)


def check(
    survey: survey_lib.Survey,
    folder: str,
    findings: findings_lib.Findings,
    progress: Callable = lambda num_done, num_all: None,
) -> None:
    """Check that the files are there, whole, and of the size that is said.

    Args:
        survey: whose images' names and shapes are compared with the files.
        folder: of the files.
        findings: faults are added to it.
        progress: is called with the images done and all.
    """
    if not files.system(folder).isdir(folder):
        findings.add("image-folder", folder)
        return
    listed = _listed(folder)
    similar = _similar(listed.values())
    present = []  # (image, path)
    for image in survey.images.values():
        try:
            if image.has_name:
                path = find(folder, image.name)
                present.append((image, path))
        except (FileNotFoundError, ValueError):  # the latter: of an address
            hint = _hint(image.name, similar)
            findings.add("image-missing", hint, image=image.name)
    _check_contents(present, findings, progress)
    known = {os.path.realpath(path) for _, path in present}
    rest = [name for path, name in listed.items() if path not in known]
    if rest:
        shown = ", ".join(rest[:MAX_UNLISTED])
        findings.add("image-unlisted", shown, count=len(rest))


def _listed(folder: str) -> dict[str, str]:
    """Return the folder's image files: {real path: name in the folder}."""
    return {
        os.path.realpath(path): str(path.relative_to(folder))
        for path in sorted(pathlib.Path(folder).rglob("*"))
        if path.suffix.lower() in data_files.SUFFIXES
    }


def _similar(names: Iterable[str]) -> dict[str, str]:
    """Return the files by what of a name is most often right."""
    paths = [pathlib.PurePath(name) for name in names]
    by_stem = {path.stem.lower(): str(path) for path in paths}
    return {**by_stem, **{path.name.lower(): str(path) for path in paths}}


def _hint(name: str, similar: dict[str, str]) -> str:
    """Return where the file may be instead."""
    wanted = pathlib.PurePath(name.replace("\\", "/"))
    for part in (wanted.name.lower(), wanted.stem.lower()):
        if part in similar:
            return f"is it {similar[part]}?"
    return ""


def _check_contents(present: list, findings, progress: Callable) -> None:
    """Read every file once."""
    progress(0, len(present))
    names = collections.defaultdict(list)  # by the content's hash
    # Traced here, once; threads would trace it each.
    decoded_shape = _decoded_shape.get_concrete_function()
    with futures.ThreadPoolExecutor(PARALLEL) as threads:
        all_read = threads.map(
            lambda pair: _read_if_possible(pair[1], decoded_shape), present
        )
        for number, ((image, _), file) in enumerate(
            zip(present, all_read), start=1
        ):
            progress(number, len(present))
            if isinstance(file, Exception):
                findings.add("image-corrupt", str(file), image=image.name)
                continue
            _check_file(image, file, findings)
            names[file.digest].append(image.name)
    for first, *others in names.values():
        for name in others:
            findings.add("image-same", f"as {first}", image=name)


def _check_file(image: survey_lib.Image, file: File, findings) -> None:
    """Compare a file with its record."""

    def report(code: str, detail: str = "") -> None:
        findings.add(code, detail, image=image.name)

    if not all(file.decoded):
        if file.format and file.format not in FORMATS:
            report("image-format", file.format)
        else:
            report("image-corrupt", f"{file.num_bytes} bytes")
        return
    if file.mode.startswith("I"):  # "I;16", or "I" of older Pillows
        report("image-16-bit")
    if image.shape == file.decoded:
        if file.orientation in range(2, 9):
            report("image-exif", f"orientation {file.orientation}")
    elif image.shape:
        height, width = file.decoded
        is_turned = image.shape == (width, height)
        if is_turned and file.orientation in range(5, 9):
            report("image-size-turned", f"orientation {file.orientation}")
            return
        detail = (
            f"the file is {width} x {height} (width x height), the record "
            f"says {image.shape[1]} x {image.shape[0]}"
        )
        report("image-size-wrong", detail + ": exchanged" * is_turned)
