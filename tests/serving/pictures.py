"""Encoded pictures, good and bad, for tests of served models."""

import io
import struct

import numpy as np
from PIL import Image


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return uint8 [height, width, 3]: soft noise, so that JPEG is kind."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), np.uint8)
    image = Image.fromarray(coarse).resize((width, height), Image.BILINEAR)
    return np.asarray(image)


def encode(image, kind: str = "PNG", orientation: int = 1, mode="RGB") -> bytes:
    """Return the bytes of a file.

    Args:
        image: uint8 [h, w, 3].
        kind: "PNG" or "JPEG" or another of Pillow's.
        orientation: EXIF's.
        mode: Pillow's, such as "L" and "CMYK".
    """
    file, tags = io.BytesIO(), Image.Exif()
    tags[0x0112] = orientation
    Image.fromarray(image).convert(mode).save(file, kind, exif=tags)
    return file.getvalue()


def png_header(height: int, width: int) -> bytes:
    """Return a PNG that states a size and has no pixels."""
    content = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"\0\0\0\x0dIHDR" + content + b"\0" * 16


def jpeg_of(height: int, width: int) -> bytes:
    """Return a JPEG that states a size and has the pixels of another."""
    file = bytearray(encode(pixels(40, 50), "JPEG"))
    # After the marker of the frame: its length, the bits, height and width.
    at = file.index(b"\xff\xc0") + 5
    file[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(file)


JPEG = encode(pixels(40, 50), "JPEG")
PNG = encode(pixels(40, 50))
# Files that become RGB.
OTHER = {
    mode: encode(pixels(40, 50), "JPEG", mode=mode) for mode in ("L", "CMYK")
}
BAD = {
    "empty": b"",
    "text": b"This is no picture.",
    "truncated JPEG": JPEG[: len(JPEG) // 2],
    "truncated PNG": PNG[: len(PNG) // 2],
    "JPEG's start": JPEG[:3],
    "BMP": encode(pixels(40, 50), "BMP"),
    "PNG of 100 megapixels": png_header(10_000, 10_000),
    "JPEG of 100 megapixels": jpeg_of(10_000, 10_000),
    "negative size": png_header(2**32 - 1, 2**32 - 1),
}
