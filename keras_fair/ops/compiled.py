"""Run a loop-heavy function under XLA inside an ordinary TensorFlow graph.

A loop of small steps costs a TensorFlow graph twenty times what it costs
XLA; a whole detector under XLA loses on a CPU and recompiles for each image
size. So single functions are compiled, as islands. On JAX the caller's
`jax.jit` does this already.
"""

import contextlib
import contextvars
import functools

import keras

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

_PLAIN_GRAPH = contextvars.ContextVar("plain_graph", default=False)


@contextlib.contextmanager
def plain_graph():
    """Trace without XLA islands, as a file to be exported must be.

    Some servers refuse XLA inside a SavedModel, others compile again for
    each size, and LiteRT converts builtin operators only. The setting
    belongs to the thread that traces.
    """
    token = _PLAIN_GRAPH.set(True)
    try:
        yield
    finally:
        _PLAIN_GRAPH.reset(token)


def in_plain_graph() -> bool:
    """Tell whether an export is being traced, see `plain_graph`."""
    return _PLAIN_GRAPH.get()


def inside_xla() -> bool:
    """Tell whether the code being traced will be compiled by XLA.

    `tf.function(jit_compile=True)`, which Keras's trainer uses too, traces
    its function within an XLA control flow context. A graph nested in it (a
    loop's body, another function) has it in one of its outer graphs.
    TensorFlow offers no public way to ask. A `tf.function` that was traced
    outside XLA is not traced again when XLA code calls it: pass its Python
    function instead, or XLA refuses the sparse operators.
    """
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False


def allows_dynamic_shapes() -> bool:
    """Tell whether a size may depend on the data: TensorFlow outside XLA."""
    if keras.backend.backend() != "tensorflow" or in_plain_graph():
        return False
    return not inside_xla()


def compiled(function):
    """Return the function as an XLA island.

    It compiles once for each set of tensor shapes and Python values, however
    it is called: eagerly, in a graph, or inside another compiled function.

    Args:
        function: takes tensors, Python numbers and None; needs no gradient.

    Returns:
        A function with the same arguments. On JAX, `function` itself.
    """
    if keras.backend.backend() != "tensorflow":
        return function
    island = tf.function(function, jit_compile=True, autograph=False)

    @functools.wraps(function)
    def call(*args, **kwargs):
        if _PLAIN_GRAPH.get():
            return function(*args, **kwargs)
        return island(*args, **kwargs)

    return call
