"""A backbone that keeps little for the gradient and computes it again.

Chen, Xu, Zhang, Guestrin: Training Deep Nets with Sublinear Memory Cost,
2016 (arXiv 1604.06174). Only what lies between blocks waits for the gradient;
a block's inside is computed a second time when its turn comes.
"""

from collections.abc import Callable

import keras

MIN_OPERATIONS = 6  # of a block: less would save nothing


def in_blocks(backbone: keras.Model) -> Callable:
    """Return a function that runs the backbone block by block.

    The features and the gradients are those of the backbone itself.

    Args:
        backbone: see backbones.py; its stages follow one another.

    Returns:
        A function of (pixels, training) that returns the features.

    Raises:
        ValueError: batch normalisation that learns (it would count each
            batch twice), or stages that are no chain.
    """
    _check(backbone)
    features = {id(tensor): name for name, tensor in backbone.output.items()}
    ends = _ends(backbone, set(features))
    blocks = [
        (features.get(id(end)), keras.Model(start, end))
        for start, end in zip([backbone.inputs[0], *ends], ends)
    ]

    def run(pixels, training: bool) -> dict:
        found = {}
        for name, block in blocks:

            def forward(pixels, block=block):
                return block(pixels, training=training)

            pixels = keras.remat(forward)(pixels)
            if name:
                found[name] = pixels
        return found

    return run


def _ends(backbone: keras.Model, features: set[int]) -> list:
    """Return the tensors on which, alone, all that comes later depends."""
    operations = backbone.operations
    last_use = {
        id(tensor): place
        for place, operation in enumerate(operations)
        for tensor in keras.tree.flatten(operation.input)
    }
    ends, start, waiting = [], 0, set()
    for place, operation in enumerate(operations):
        output = operation.output
        waiting = {key for key in waiting if last_use[key] > place}
        is_feature = id(output) in features
        if is_feature and waiting:
            raise ValueError(
                "Expected a backbone in which each feature follows from the "
                f"one before alone. Received: {backbone.name!r}. Set "
                "train.recompute_backbone=False."
            )
        is_long = place - start >= MIN_OPERATIONS and not waiting
        if is_feature or is_long:
            ends.append(output)
            start = place
        # What an end gives is waited for, too: a shortcut may start there.
        if last_use.get(id(output), -1) > place:
            waiting.add(id(output))
    return _up_to_last_feature(ends, features)


def _up_to_last_feature(ends: list, features: set[int]) -> list:
    while id(ends[-1]) not in features:
        ends.pop()
    return ends


def _check(backbone: keras.Model) -> None:
    learning = [
        layer.name
        for layer in backbone.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
    ]
    if learning:
        raise ValueError(
            "Expected backbone.norm=frozen with train.recompute_backbone. "
            f"Received: {len(learning)} layers of batch normalisation that "
            f"learn, the first {learning[0]!r}."
        )
