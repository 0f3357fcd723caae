import threading

import keras
import numpy as np
import pytest

from keras_fair.ops import compiled
from tests import modes


def halvings(x):
    """Count how often each value halves until it is below 1."""

    def body(x, count):
        return ops.where(x >= 1, x / 2, x), count + ops.cast(x >= 1, "int32")

    ops = keras.ops
    start = (x, ops.zeros_like(x, dtype="int32"))
    return ops.while_loop(lambda x, _: ops.any(x >= 1), body, start)[1]


VALUES = np.array([0.5, 1.0, 7.0, 8.0], "float32")
COUNTS = [0, 1, 3, 4]


@modes.every_mode
def test_an_island_gives_the_same_in_every_mode(mode):
    island = compiled.compiled(halvings)
    assert modes.run(island, VALUES, mode=mode).tolist() == COUNTS


def test_a_plain_graph_gives_the_same():
    with compiled.plain_graph():
        counts = modes.run(compiled.compiled(halvings), VALUES)
    assert counts.tolist() == COUNTS


def test_an_island_keeps_its_name_and_docstring():
    island = compiled.compiled(halvings)
    assert island.__name__ == "halvings"
    assert island.__doc__ == halvings.__doc__


@pytest.mark.skipif(modes.on_tensorflow(), reason="about the other backends")
def test_other_backends_get_the_function_itself():
    assert compiled.compiled(halvings) is halvings


def is_compiled(function) -> bool:
    """Whether a trace of the function holds an XLA island."""
    tf = pytest.importorskip("tensorflow")
    spec = [tf.TensorSpec([4], tf.float32)]
    traced = tf.function(function, input_signature=spec, autograph=False)
    return any(
        operation.type in ("PartitionedCall", "StatefulPartitionedCall")
        and operation.get_attr("_XlaMustCompile")
        for operation in traced.get_concrete_function().graph.get_operations()
        if "_XlaMustCompile" in operation.node_def.attr
    )


@modes.only_tensorflow
def test_only_graphs_for_export_hold_no_island():
    island = compiled.compiled(halvings)
    assert is_compiled(island)
    with compiled.plain_graph():
        assert not is_compiled(island)
    assert is_compiled(island)


@modes.only_tensorflow
def test_a_failed_export_switches_the_islands_on_again():
    island = compiled.compiled(halvings)
    with pytest.raises(RuntimeError), compiled.plain_graph():
        raise RuntimeError
    assert is_compiled(island)


@modes.only_tensorflow
def test_an_export_leaves_other_threads_alone():
    island = compiled.compiled(halvings)
    found = []
    with compiled.plain_graph():
        thread = threading.Thread(
            target=lambda: found.append(is_compiled(island))
        )
        thread.start()
        thread.join()
    assert found == [True]


@modes.only_tensorflow
def test_an_island_compiles_once_for_each_shape():
    traces = []

    @compiled.compiled
    def double(x):
        traces.append(x.shape)
        return x + x

    for length in (3, 3, 4, 3):
        double(keras.ops.zeros((length,)))
    assert len(traces) <= 2


@modes.only_tensorflow
def test_an_island_runs_under_a_distribution_strategy():
    tf = pytest.importorskip("tensorflow")
    island = compiled.compiled(halvings)
    strategy = tf.distribute.MirroredStrategy(["CPU:0"])

    @tf.function
    def step():
        return strategy.run(lambda: island(tf.constant(VALUES)))

    assert step().numpy().tolist() == COUNTS
