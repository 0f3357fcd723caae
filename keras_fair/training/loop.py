"""Keras's `fit` for a strategy of several processes, in one screen."""

from collections.abc import Iterable

import keras

# The tier is for JAX, too: see layering_test.py.
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf


def fit(
    model: keras.Model,
    dataset: Iterable,
    strategy,
    *,
    epochs: range,
    steps_per_epoch: int,
    callbacks: list[keras.callbacks.Callback],
) -> None:
    """Train as `model.fit` does, with its callbacks and logs.

    Args:
        model: compiled within the strategy's scope, all weights built.
        dataset: distributed batches, endless.
        strategy: a tf.distribute.Strategy.
        epochs: the numbers of those to train, from 0 on.
        steps_per_epoch: batches.
        callbacks: as of `fit`.
    """
    calls = keras.callbacks.CallbackList(
        callbacks,
        add_history=True,
        add_progbar=True,
        verbose=1,
        epochs=epochs.stop,
        steps=steps_per_epoch,
        model=model,
    )
    step = _make_step(model, strategy)
    batches = iter(dataset)
    model.stop_training = False
    calls.on_train_begin()
    for epoch in epochs:
        model.reset_metrics()
        calls.on_epoch_begin(epoch)
        for index in range(steps_per_epoch):
            calls.on_train_batch_begin(index)
            step(next(batches))
            # Reading a metric sums it over the processes, so all must read.
            logs = model.get_metrics_result()
            calls.on_train_batch_end(index, logs)
        calls.on_epoch_end(epoch, logs)
        if model.stop_training:
            break
    model.optimizer.finalize_variable_values(model.trainable_variables)
    calls.on_train_end(logs)


def _make_step(model: keras.Model, strategy):
    """Return the compiled step on a distributed batch."""

    def on_replica(batch):
        model.train_step(batch)

    @tf.autograph.experimental.do_not_convert
    def step(batch):
        strategy.run(on_replica, args=(batch,))

    return tf.function(step, reduce_retracing=True)
