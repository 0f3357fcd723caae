"""Orientation: Pillow writes the files and is the reference."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from keras_fair.serving import exif

find = tf.function(
    exif.orientation, input_signature=[tf.TensorSpec([], tf.string)]
)


def picture() -> Image.Image:
    """Return six large blocks, so that JPEG changes little."""
    colours = np.random.default_rng(0).integers(0, 256, (2, 3, 3), np.uint8)
    return Image.fromarray(colours.repeat(16, 0).repeat(16, 1))


def encode(kind: str, orientation: int | None = None, **options) -> bytes:
    file, tags = io.BytesIO(), Image.Exif()
    tags[0x010F] = "a maker of cameras"  # stored outside the directory
    if orientation is not None:
        tags[exif.TAG] = orientation
    picture().save(file, kind, exif=tags, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_pillow_turns_it(kind, orientation):
    encoded = encode(
        kind, orientation, **{"JPEG": {"quality": 95}}.get(kind, {})
    )
    found = find(encoded)
    assert int(found) == orientation
    stored = tf.io.decode_image(encoded, 3)
    turned = exif.upright(stored, found).numpy()
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(encoded)))
    assert turned.shape == np.asarray(expected).shape
    # Two decoders of JPEG; neighbouring blocks differ by far more.
    np.testing.assert_allclose(turned, np.asarray(expected), atol=4)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
@pytest.mark.parametrize("orientation", [None, 0, 9])
def test_without_a_known_orientation_a_picture_stays(kind, orientation):
    assert int(find(encode(kind, orientation))) == 1


def with_exif(tiff: bytes, before: bytes = b"") -> bytes:
    """Return the start of a JPEG with that TIFF block."""
    segment = b"Exif\0\0" + tiff
    length = struct.pack(">H", len(segment) + 2)
    return b"\xff\xd8" + before + b"\xff\xe1" + length + segment + b"\xff\xda"


LITTLE = b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"
BIG = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0"


@pytest.mark.parametrize("tiff", [LITTLE, BIG])
def test_both_byte_orders_are_read(tiff):
    assert int(find(with_exif(tiff))) == 6


def test_other_segments_and_filling_bytes_come_before():
    other = b"\xff\xe1\x00\x08http:/\xff\xff\xff"
    assert int(find(with_exif(LITTLE, other))) == 6


@pytest.mark.parametrize("length", range(len(LITTLE)))
def test_a_block_that_breaks_off_is_no_orientation(length):
    # The value's last three bytes are zeros, as is what comes after the end.
    expected = 6 if length > len(LITTLE) - 4 else 1
    encoded = with_exif(LITTLE)[: -2 - len(LITTLE) + length]
    assert int(find(encoded)) == expected


@pytest.mark.parametrize(
    "encoded",
    [
        b"",
        b"text",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\x89PNG\r\n\x1a\n",
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xffIDAT",
        with_exif(b"II*\0\xff\xff\xff\xff"),
        with_exif(b"II*\0\x08\0\0\0\xff\xff"),
    ],
)
def test_what_is_no_picture_has_no_orientation(encoded):
    assert int(find(encoded)) == 1


def test_pictures_from_random_bytes_end():
    rng = np.random.default_rng(0)
    for start in (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"):
        for _ in range(20):
            noise = rng.integers(0, 256, 500, np.uint8).tobytes()
            assert 1 <= int(find(start + noise)) <= 8
