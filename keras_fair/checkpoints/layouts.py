"""How the rows and columns of other libraries' layers lie beside ours.

Everything here is in torch's layout: the first axis is a layer's outputs.
"""

import numpy as np

# How torch ends the name of each variable of a layer.
TORCH_VARIABLES = {
    "kernel": ".weight",
    "bias": ".bias",
    "gamma": ".weight",
    "beta": ".bias",
    "moving_mean": ".running_mean",
    "moving_variance": ".running_var",
}


def to_ours(array: np.ndarray) -> np.ndarray:
    """Turn torch's layout into Keras's; vectors are the same in both.

    A convolution's (out, in, height, width) becomes (height, width, in,
    out), a transposed one's (in, out, height, width) likewise (height,
    width, out, in), a dense one's (out, in) becomes (in, out).
    """
    if array.ndim == 4:
        return array.transpose(2, 3, 1, 0)
    return array.T if array.ndim == 2 else array


def to_theirs(array: np.ndarray) -> np.ndarray:
    """Undo `to_ours`."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array


def channels_last(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Reorder a dense layer's inputs from channel, y, x to y, x, channel.

    Args:
        kernel: [units, channels * S * S]; another shape is returned as is.
        channels: of the features that were flattened.
    """
    if kernel.ndim != 2 or kernel.shape[1] % channels:
        return kernel
    by_channel = kernel.reshape(len(kernel), channels, -1)
    return by_channel.swapaxes(1, 2).reshape(kernel.shape)


def channels_first(kernel: np.ndarray, channels: int) -> np.ndarray:
    """Undo `channels_last`."""
    by_cell = kernel.reshape(len(kernel), -1, channels)
    return by_cell.swapaxes(1, 2).reshape(kernel.shape)


def take_slots(
    array: np.ndarray, num_slots: int, slots: tuple[int, ...], size: int = 1
) -> np.ndarray:
    """Select the outputs of some classes, in that order.

    Args:
        array: [outer * num_slots * size, ...], outputs first.
        num_slots: classes in the array.
        slots: those to take.
        size: outputs of each class; 4 where a class has a box.

    Returns:
        [outer * len(slots) * size, ...].
    """
    rest = array.shape[1:]
    by_slot = array.reshape(-1, num_slots, size, *rest)
    return by_slot[:, list(slots)].reshape(-1, *rest)


def put_slots(
    array: np.ndarray,
    num_slots: int,
    slots: tuple[int, ...],
    size: int = 1,
    fill: float = 0.0,
) -> np.ndarray:
    """Undo `take_slots`; what was not taken becomes `fill`."""
    rest = array.shape[1:]
    by_slot = array.reshape(-1, len(slots), size, *rest)
    shape = (len(by_slot), num_slots, *by_slot.shape[2:])
    full = np.full(shape, fill, array.dtype)
    full[:, list(slots)] = by_slot
    return full.reshape(-1, *rest)
