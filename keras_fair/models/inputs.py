"""From a batch of uint8 images to the network's input."""

import numpy as np
from keras import ops

from keras_fair import contract
from keras_fair.config import PixelConfig


def unpack(x):
    """Return images and the size of their valid part.

    Args:
        x: the dict `x` of contract.py, or images alone: uint8 (or any real
            type with values 0..255) [B, H, W, 3] RGB without padding.

    Returns:
        images [B, H, W, 3] as given; image_shape int32 [B, 2].

    Raises:
        ValueError: no "images", or images of another rank or channel count.
    """
    if isinstance(x, dict):
        missing = {"images", "image_shape"} - set(x)
        if missing:
            raise ValueError(
                "Expected the keys images and image_shape, or images alone. "
                f"Received: {sorted(x)}."
            )
        images, image_shape = x["images"], x["image_shape"]
    else:
        images, image_shape = x, None
    if len(images.shape) != 4 or images.shape[-1] != 3:
        raise ValueError(
            "Expected images [B, H, W, 3], RGB 0..255. Received: "
            f"{tuple(images.shape)}. Give one image as images[None]."
        )
    if image_shape is None:
        batch, height, width = ops.shape(images)[:3]
        size = ops.stack([_scalar(height), _scalar(width)])
        image_shape = ops.tile(size[None], [batch, 1])
    return images, image_shape


def _scalar(side):
    return ops.cast(side, "int32")


def normalize(images, image_shape, pixels: PixelConfig, dtype: str):
    """Order the channels, standardise, and zero what is not image.

    A canvas that does not divide by the stride of C5 is padded with zeros at
    the right and the bottom until it does.

    Args:
        images: [B, H, W, 3], RGB 0..255.
        image_shape: int32 [B, 2], height and width of the valid part.
        pixels: channel order, mean and standard deviation.
        dtype: of the result; the arithmetic is float32.

    Returns:
        `dtype` [B, H', W', 3], H' and W' multiples of 32.
    """
    height, width = ops.shape(images)[1:3]
    images = ops.cast(images, "float32")
    if pixels.channel_order == "bgr":
        images = ops.flip(images, axis=-1)
    mean = np.asarray(pixels.mean, "float32")
    images = (images - mean) / np.asarray(pixels.std, "float32")
    rows = ops.arange(height, dtype="int32")[None, :, None, None]
    columns = ops.arange(width, dtype="int32")[None, None, :, None]
    inside = ops.logical_and(
        rows < image_shape[:, 0][:, None, None, None],
        columns < image_shape[:, 1][:, None, None, None],
    )
    # A select, not a product: infinity or NaN in the padding must not count.
    images = ops.where(inside, images, 0.0)
    bottom, right = (-side % contract.STRIDE for side in (height, width))
    images = ops.pad(images, [[0, 0], [0, bottom], [0, right], [0, 0]])
    return ops.cast(images, dtype)
