"""One device: how a model trains and predicts on it.

The strategies of tf.distribute (strategy.py) and the devices of JAX
(jax_devices.py) offer the same.
"""

import contextlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import keras
import numpy as np


class Predicted(NamedTuple):
    """Detections of a batch and the batch, all NumPy; see contract.py."""

    detections: dict
    x: dict
    y: dict


class OneDevice:
    """Keras's own way."""

    num_replicas = 1  # devices that divide a batch
    num_processes = 1  # processes that divide the data
    process = 0  # this one; the first writes the files

    def scope(self) -> contextlib.AbstractContextManager:
        """Return the context in which the model is made and compiled."""
        return contextlib.nullcontext()

    def fit(
        self,
        model: keras.Model,
        dataset: Iterable,
        *,
        epochs: range,
        steps_per_epoch: int,
        callbacks: list[keras.callbacks.Callback],
    ) -> None:
        """Train as `model.fit` does.

        Args:
            model: compiled within `scope`.
            dataset: this process' part of each batch, endless.
            epochs: the numbers of those to train, from 0 on.
            steps_per_epoch: batches.
            callbacks: of `fit`.
        """
        model.fit(
            dataset,
            shuffle=False,  # the data set is in its order already
            initial_epoch=epochs.start,
            epochs=epochs.stop,
            steps_per_epoch=steps_per_epoch,
            callbacks=callbacks,
        )

    def batch_to_predict(self, batch_size: int) -> int:
        """Return the images of a batch for `predict`, by those of a step."""
        return batch_size

    def predict(
        self, model: keras.Model, dataset: Iterable
    ) -> Iterator[Predicted]:
        """Yield the detections of each of this process' batches once."""
        for x, y in dataset:
            yield Predicted(model.predict_on_batch(x), *to_numpy((x, y)))

    def gather(self, value: bytes) -> list[bytes]:
        """Return the values of all processes, in their order."""
        return [value]


def to_numpy(tree):
    """Return the tree with arrays in the place of tensors."""
    return keras.tree.map_structure(np.asarray, tree)
