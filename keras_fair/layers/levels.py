"""The features of a pyramid, which the heads of all papers take."""


def one_level(input_shape: dict) -> tuple:
    """Return the shape that a layer shared by the levels is built for.

    Args:
        input_shape: dict "P2" ... "P7" of [B, H, W, channels].

    Returns:
        (None, None, None, channels).

    Raises:
        ValueError: levels of different numbers of channels.
    """
    channels = {shape[-1] for shape in input_shape.values()}
    if len(channels) != 1:
        raise ValueError(
            "Expected the same number of channels on every level. "
            f"Received: {dict(input_shape)}."
        )
    return (None, None, None, *channels)
