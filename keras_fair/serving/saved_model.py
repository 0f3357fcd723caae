"""A SavedModel for TensorFlow Serving, in its layout of versions.

    FOLDER/1/saved_model.pb, variables/          the graph and the weights
    FOLDER/1/assets.extra/config.json            the model's config, resolved
    FOLDER/1/assets.extra/class_names.txt        line n names label n
    FOLDER/1/assets.extra/tf_serving_warmup_requests

See endpoints.py for what it can be asked.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterator

import keras
import tensorflow as tf

from keras_fair import config_files
from keras_fair.ops import compiled
from keras_fair.serving import endpoints, warmup

CONFIG_NAME = "config.json"
CLASS_NAMES_NAME = "class_names.txt"
# A VGA picture: sizes are free, so any will start up what there is to start.
WARMUP_SHAPE = (1, 480, 640)


def export_saved_model(
    model,
    folder: str,
    version: int | None = None,
    *,
    warmup_shapes: tuple[tuple[int, int, int], ...] = (WARMUP_SHAPE,),
) -> str:
    """Write a detector as the next version of a served model.

    A server that watches the folder sees a version when it is complete.

    Args:
        model: a detector; computed in float32 whatever its policy.
        folder: of the model; made where it is missing.
        version: 1 or more, not there yet; by default the next number.
        warmup_shapes: (batch, height, width), pixels, of the requests that a
            server makes to itself before it answers; () for none.

    Returns:
        The version's folder.

    Raises:
        ValueError: a version below 1; see also endpoints.in_float32.
        FileExistsError: the version is there.
    """
    model = endpoints.in_float32(model)
    signatures = endpoints.endpoints(model)
    target = version_folder(folder, version)
    with complete_or_absent(target) as part:
        write_graphs(model, signatures, str(part))
        extra = part / "assets.extra"
        extra.mkdir()
        config_files.save(model.config, str(extra / CONFIG_NAME))
        names = "".join(f"{name}\n" for name in model.config.class_names)
        (extra / CLASS_NAMES_NAME).write_text(names, encoding="utf-8")
        warmup.write(str(extra), list(signatures), warmup_shapes)
    return str(target)


def version_folder(folder: str, version: int | None) -> pathlib.Path:
    """Return where a version belongs; see `export_saved_model`."""
    path = pathlib.Path(folder)
    if version is None:
        names = os.listdir(path) if path.is_dir() else []
        numbers = [int(name) for name in names if name.isdigit()]
        version = max(numbers, default=0) + 1
    if version < 1:
        raise ValueError(f"Expected a version from 1 on. Received: {version}.")
    if (path / str(version)).exists():
        raise FileExistsError(
            f"{path / str(version)} exists, and a server may have read it. "
            "Give another version, or none for the next."
        )
    return path / str(version)


@contextlib.contextmanager
def complete_or_absent(target: pathlib.Path) -> Iterator[pathlib.Path]:
    """Give a new folder that becomes the target unless something fails."""
    # No number, so that no server takes it for a version.
    part = target.parent / f"part.{os.getpid()}.{target.name}"
    part.mkdir(parents=True)
    try:
        yield part
        os.rename(part, target)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def write_graphs(model, signatures: dict, folder: str) -> None:
    """Write the graphs of endpoints, and the weights, as a SavedModel."""
    # What tf.saved_model.save writes of a Keras model loads in Python, but
    # not by the session loader of servers, which misses its variables.
    archive = keras.export.ExportArchive()
    archive.track(model)
    # XLA inside a SavedModel compiles anew for every size, and some servers
    # refuse it.
    with compiled.plain_graph():
        for name, (function, inputs) in signatures.items():
            archive.add_endpoint(name, _traced(function, inputs), inputs)
        archive.write_out(folder, verbose=False)


def _traced(function, inputs: list):
    """Return a function that calls the graph of that one.

    TensorFlow traces what it is given twice, once more to save it; a graph
    stays as it is.
    """
    graph = tf.function(function, autograph=False)
    graph = graph.get_concrete_function(*inputs)
    return lambda *tensors: graph(*tensors)
