"""Pictures: checked, side by side, written to files."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image

from keras_fair import files

GAP = 4  # pixels between the cells of a grid


def as_picture(image) -> Image.Image:
    """Return a new RGB Pillow image of the array or picture."""
    array = np.asarray(image)
    if array.dtype != np.uint8:
        raise TypeError(
            "Expected a uint8 image with values 0..255. Received: "
            f"{array.dtype}. Scale to 0..255 and use .astype('uint8')."
        )
    if array.ndim != 3 or array.shape[2] != 3 or 0 in array.shape:
        raise ValueError(
            "Expected one RGB image [height, width, 3]. Received: "
            f"{list(array.shape)}. For a grey image [height, width] use "
            "np.stack([image] * 3, axis=-1); for RGBA drop the last channel."
        )
    return Image.fromarray(np.array(array))


def draw_grid(images: Sequence, columns: int) -> Image.Image:
    """Return the images side by side on a white sheet, row by row.

    Args:
        images: uint8 [H, W, 3] arrays or RGB Pillow images, of any sizes;
            each is centred in a cell of the largest.
        columns: images in a row.

    Raises:
        ValueError: no images, or less than one column.
    """
    pictures = [as_picture(image) for image in images]
    if not pictures or columns < 1:
        raise ValueError(
            "Expected at least one image and one column. Received: "
            f"{len(pictures)} images, {columns} columns."
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    largest = np.max([picture.size for picture in pictures], axis=0)
    width, height = (largest + GAP).tolist()
    size = (columns * width + GAP, rows * height + GAP)
    sheet = Image.new("RGB", size, "white")
    for cell, picture in enumerate(pictures):
        row, column = divmod(cell, columns)
        left = GAP + column * width + (width - GAP - picture.width) // 2
        top = GAP + row * height + (height - GAP - picture.height) // 2
        sheet.paste(picture, (left, top))
    return sheet


def save_image(image, path: str | os.PathLike) -> None:
    """Write the image in the format of the path's suffix, atomically.

    Args:
        image: uint8 [H, W, 3], RGB, or an RGB Pillow image.
        path: in an existing folder; the suffix is .png, .jpg or the like.

    Raises:
        ValueError: a suffix that Pillow does not know.
    """
    path = pathlib.Path(path)
    image_format = Image.registered_extensions().get(path.suffix.lower())
    if image_format not in Image.SAVE:
        raise ValueError(
            "Expected a path that ends in .png, .jpg or another format that "
            f"Pillow writes. Received: {str(path)!r}."
        )
    with files.replacing(path) as part:
        as_picture(image).save(part, image_format)
