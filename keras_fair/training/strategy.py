"""The strategies of tf.distribute, on one machine or many.

A mirrored model is made within the strategy's scope and has a copy on each
device; the gradients of all devices are summed in each step (optimizers.py).
"""

import os
from collections.abc import Iterable

import keras
import numpy as np

from keras_fair.training import cluster, devices, loop

# The tier is for JAX, too: see layering_test.py.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


class Strategy(devices.OneDevice):
    """All devices of this machine, or one TPU slice: Keras's `fit`.

    Args:
        strategy: a tf.distribute.Strategy.
    """

    def __init__(self, strategy):
        self.strategy = strategy
        self.num_replicas = strategy.num_replicas_in_sync
        self.num_local = self.num_replicas  # of this process
        self._predict_step = (None, None)  # of which model

    def scope(self):
        return self.strategy.scope()

    def batch_to_predict(self, batch_size):
        return max(1, batch_size // self.num_replicas)

    def predict(self, model, dataset):
        """Yield detections; each device takes a batch of its own.

        Keras's predict_on_batch would give every device the same batch.
        """
        step = self._step_of(model)
        for group in _groups(dataset, self.num_local):
            # The last batch stands in for those that are missing.
            full = group + group[-1:] * (self.num_local - len(group))
            found = step(self._per_device([x for x, _ in full]))
            found = self.strategy.experimental_local_results(found)
            for detections, batch in zip(found, group, strict=False):
                detections = devices.to_numpy(detections)
                yield devices.Predicted(detections, *devices.to_numpy(batch))

    def _step_of(self, model):
        """Return the model's compiled prediction, traced once a shape."""
        if self._predict_step[0] is not model:

            def predict(x):
                return model.detections(model(x, training=False))

            def step(x):
                return self.strategy.run(predict, args=(x,))

            # Rank and dtype of a batch are fixed, its size is not.
            self._predict_step = (
                model,
                tf.function(step, reduce_retracing=True, autograph=False),
            )
        return self._predict_step[1]

    def _per_device(self, values: list):
        """Return one of the values for each of this process' devices."""
        return self.strategy.experimental_distribute_values_from_function(
            lambda context: values[
                context.replica_id_in_sync_group % self.num_local
            ]
        )


class MultiWorker(Strategy):
    """The devices of several processes, which TF_CONFIG names.

    Keras's `fit` fails on this strategy: it averages a symbolic batch and
    the metrics of the replicas in a way that only one process can.

    Raises:
        ValueError: no TF_CONFIG, or one that cluster.py refuses.
    """

    def __init__(self):
        named = cluster.read_required(os.environ.get("TF_CONFIG", ""))
        super().__init__(tf.distribute.MultiWorkerMirroredStrategy())
        self.num_processes = len(named.addresses)
        self.process = named.process
        self.num_local = self.num_replicas // self.num_processes

    def fit(self, model, dataset, **options):
        loop.fit(model, self._distributed(dataset), self.strategy, **options)

    def _distributed(self, dataset):
        """Return the data set, each batch divided among local devices."""
        (size,) = {
            spec.shape[0] for spec in tf.nest.flatten(dataset.element_spec)
        }
        part = dataset.rebatch(size // self.num_local, drop_remainder=True)
        return self.strategy.distribute_datasets_from_function(lambda _: part)

    def gather(self, value):
        # Collectives take int32; the length says how much is padding.
        padded = value + b"\0" * (-len(value) % 4)
        content = np.frombuffer(padded, np.int32)
        head = np.array([[self.process, len(value), len(content)]], np.int32)
        heads = self._gather_first(head)
        parts = np.split(
            self._gather_first(content), np.cumsum(heads[:, 2])[:-1]
        )
        values = {
            int(process): part.tobytes()[:length]
            for (process, length, _), part in zip(heads, parts, strict=True)
        }
        return [values[process] for process in sorted(values)]

    def _gather_first(self, array):
        """Return the rows that each process gives, one after the other."""
        nothing = [array[:0]] * (self.num_local - 1)
        values = self._per_device(
            [tf.constant(part) for part in [array, *nothing]]
        )
        return self.strategy.gather(values, axis=0).numpy()


def _groups(dataset: Iterable, size: int):
    """Yield lists of so many batches; the last may be shorter."""
    group = []
    for batch in dataset:
        group.append(batch)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group
