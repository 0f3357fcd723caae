"""All devices of JAX, on one host or many: Keras's DataParallel.

The compiled step sees the whole batch, so what a loss or a batch
normalisation counts is counted over all devices.
"""

import os

import keras
import numpy as np

from keras_fair.training import cluster, devices

# The tier is for TensorFlow, too: see layering_test.py.
if keras.backend.backend() == "jax":
    import jax
    from jax.experimental import multihost_utils


class JaxDevices(devices.OneDevice):
    """The devices of one host.

    Args:
        local: jax devices; by default all that there are.
    """

    def __init__(self, local: list | None = None):
        # Each process reads its own part of a batch.
        self.parallel = keras.distribution.DataParallel(
            devices=local, auto_shard_dataset=False
        )
        self.num_replicas = self.parallel.num_model_replicas

    def scope(self):
        return self.parallel.scope()

    def fit(self, model, dataset, **options):
        with self.scope():
            super().fit(model, dataset, **options)

    def predict(self, model, dataset):
        for x, y in dataset:
            x, y = devices.to_numpy((x, y))
            size = len(x["images"])
            # The last image stands in where the devices get unequal parts.
            whole = -(-size // self.num_replicas) * self.num_replicas
            rows = np.minimum(np.arange(whole), size - 1)
            with self.scope():
                detections = model.predict_on_batch(_take(x, rows))
            yield devices.Predicted(_take(detections, slice(size)), x, y)


class JaxHosts(JaxDevices):
    """The devices of several processes, which TF_CONFIG names.

    The first of them leads the others to each other. Must be made before JAX
    computes anything.

    Raises:
        ValueError: no TF_CONFIG, or one that cluster.py refuses.
    """

    def __init__(self):
        named = cluster.read_required(os.environ.get("TF_CONFIG", ""))
        keras.distribution.initialize(
            named.addresses[0], len(named.addresses), named.process
        )
        super().__init__()
        self.num_processes = jax.process_count()
        self.process = jax.process_index()
        self._local = JaxDevices(jax.local_devices())
        self._copies = {}  # of a model, on this process' devices

    def predict(self, model, dataset):
        """Yield detections of this process' batches.

        The processes have unequal numbers of them, so each predicts alone,
        with a copy of the weights.
        """
        if id(model) not in self._copies:
            with self._local.scope():
                copy = type(model).from_config(model.get_config())
            self._copies = {id(model): copy}
        copy = self._copies[id(model)]
        copy.set_weights(model.get_weights())
        return self._local.predict(copy, dataset)

    def gather(self, value):
        content = np.frombuffer(value, np.uint8)
        sizes = multihost_utils.process_allgather(np.array([len(content)]))
        padded = np.zeros(sizes.max(), np.uint8)
        padded[: len(content)] = content
        gathered = multihost_utils.process_allgather(padded)
        return [
            row[:size].tobytes()
            for row, size in zip(gathered, sizes[:, 0], strict=True)
        ]


def _take(tree, rows):
    """Return those rows of every array."""
    return keras.tree.map_structure(lambda values: values[rows], tree)
