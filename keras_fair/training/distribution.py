"""Which devices train: one, all of this machine, or those of many hosts.

The global batch is `train.batch_size` however many devices divide it, and
the learning rate is for that batch. So the number of devices changes the
speed of a training, not its course. Whoever wants a larger batch sets both,
by the linear rule (Goyal et al., arXiv 1706.02677): twice the images, twice
the rate, half the steps.
"""

import os

import keras
from absl import logging

from keras_fair.config import TrainConfig
from keras_fair.training import cluster, devices, jax_devices, strategy

# The tier is for JAX, too: see layering_test.py.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

NAMES = ("auto", "none", "mirrored", "multi_worker", "tpu")


def choose(name: str) -> devices.OneDevice:
    """Return the devices of that name.

    "auto" is multi_worker where TF_CONFIG names workers, mirrored where the
    machine has several GPUs (on JAX: devices), else none. On JAX all are
    `keras.distribution.DataParallel`, "multi_worker" over several hosts.

    Args:
        name: one of `NAMES`.

    Raises:
        ValueError: another name, one that this backend does not have, a
            TPU that is not there, or a TF_CONFIG that cluster.py refuses.
    """
    if name not in NAMES:
        raise ValueError(
            f"Expected --distribution of {', '.join(NAMES)}. Received: "
            f"{name!r}."
        )
    backend = keras.backend.backend()
    choose_on = {"tensorflow": _on_tensorflow, "jax": _on_jax}
    if backend not in choose_on and name not in ("auto", "none"):
        raise ValueError(
            f"Expected --distribution=none on the {backend} backend. "
            f"Received: {name!r}."
        )
    if name == "auto" and cluster.read(os.environ.get("TF_CONFIG", "")):
        # Before anything, even a list of devices, starts the backend.
        name = "multi_worker"
    if name == "none" or backend not in choose_on:
        return devices.OneDevice()
    return choose_on[backend](name)


def _on_tensorflow(name: str) -> devices.OneDevice:
    if name == "auto":
        gpus = tf.config.list_logical_devices("GPU")
        name = "mirrored" if len(gpus) > 1 else "none"
    if name == "mirrored":
        # By itself it would take the devices of all hosts in TF_CONFIG.
        local = tf.config.list_logical_devices("GPU")
        local = local or tf.config.list_logical_devices("CPU")
        return strategy.Strategy(
            tf.distribute.MirroredStrategy([device.name for device in local])
        )
    if name == "multi_worker":
        return strategy.MultiWorker()
    if name == "tpu":
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
        return strategy.Strategy(tf.distribute.TPUStrategy(resolver))
    return devices.OneDevice()


def _on_jax(name: str) -> devices.OneDevice:
    if name == "multi_worker":
        return jax_devices.JaxHosts()
    found = keras.distribution.list_devices()
    if name == "tpu" and not found[0].startswith("tpu"):
        raise ValueError(
            f"Expected a TPU. Received: {', '.join(found)}. Take "
            "--distribution=auto."
        )
    if name == "auto" and keras.distribution.get_device_count() == 1:
        return devices.OneDevice()
    return jax_devices.JaxDevices()


def batch_of_process(config: TrainConfig, chosen: devices.OneDevice) -> int:
    """Return the images of a step that this process reads, and log the rate.

    Raises:
        ValueError: a batch that the devices cannot divide; accumulation or
            XLA under tf.distribute, where Keras's optimisers cannot.
    """
    if isinstance(chosen, strategy.Strategy):
        _check_alone(config)
    parts = chosen.num_replicas * config.accumulation
    if config.batch_size % parts:
        raise ValueError(
            "Expected train.batch_size divisible by the number of devices "
            f"times train.accumulation, {parts}. Received: "
            f"{config.batch_size}."
        )
    logging.info(
        "A step takes %d images, %d on each of %d devices in %d parts, at "
        "the learning rate %g. The rate is for that batch: scale both alike.",
        config.batch_size,
        config.batch_size // parts,
        chosen.num_replicas,
        config.accumulation,
        config.learning_rate,
    )
    return config.batch_size // chosen.num_processes


def _check_alone(config: TrainConfig) -> None:
    """Refuse what works on one device only."""
    if config.accumulation > 1:
        raise ValueError(
            "Expected train.accumulation=1 under tf.distribute, or "
            f"--distribution=none. Received: {config.accumulation}."
        )
    if config.jit_compile == "true":
        raise ValueError(
            'Expected train.jit_compile "auto" or "false" under '
            'tf.distribute, or --distribution=none. Received: "true".'
        )
