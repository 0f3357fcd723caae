"""A SavedModel for TensorFlow Serving, in its layout of versions.

    FOLDER/1/saved_model.pb, variables/          the graph and the weights
    FOLDER/1/assets.extra/config.json            the model's config, resolved
    FOLDER/1/assets.extra/class_names.txt        line n names label n
    FOLDER/1/assets.extra/tf_serving_warmup_requests
    FOLDER/1/assets.extra/parity.json            see parity.py

See endpoints.py for what it can be asked.
"""

import contextlib
import os
import pathlib
import shutil
from collections.abc import Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from keras_fair import config_files, files
from keras_fair.ops import compiled
from keras_fair.serving import endpoints, parity, warmup
from keras_fair.serving import images as image_lib

CONFIG_NAME = "config.json"
CLASS_NAMES_NAME = "class_names.txt"
PARITY_NAME = "parity.json"
# A VGA picture: sizes are free, so any will start up what there is to start.
WARMUP_SHAPE = (1, 480, 640)


def export_saved_model(
    model,
    folder: str,
    version: int | None = None,
    images: Iterable[np.ndarray] = (),
    *,
    warmup_shapes: tuple[tuple[int, int, int], ...] = (WARMUP_SHAPE,),
) -> str:
    """Write a detector as the next version of a served model.

    A server that watches the folder sees a version when it is complete, and
    when it was shown to find what the model finds.

    Args:
        model: a detector; computed in float32 whatever its policy.
        folder: of the model; made where it is missing.
        version: 1 or more, not there yet; by default the next number.
        images: uint8 [h, w, 3], see `certify`.
        warmup_shapes: (batch, height, width), pixels, of the requests that a
            server makes to itself before it answers; () for none.

    Returns:
        The version's folder.

    Raises:
        ValueError: a version below 1; see also endpoints.in_float32.
        FileExistsError: the version is there.
        RuntimeError: the file does not find what the model finds.
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
        certificate = certify(model, str(part), images)
        files.write_json(extra / PARITY_NAME, certificate, indent=2)
    return str(target)


def certify(model, folder: str, images: Iterable[np.ndarray] = ()) -> dict:
    """Compare what a SavedModel answers with `predict_on_batch`.

    The SavedModel is loaded as TensorFlow Serving does, and asked its
    signature `serving_default`.

    Args:
        model: the float32 model.
        folder: of one version.
        images: uint8 [h, w, 3] of any sizes, such as the model was trained
            for; the first parity.NUM_IMAGES count. By default
            parity.drawn_image, in which a model may find little.

    Returns:
        parity.certificate.

    Raises:
        RuntimeError: see `parity.certificate`.
    """
    with _loaded(folder) as ask:
        return parity.certify(
            lambda image: predict(model, image),
            lambda image: ask(image[None]),
            images,
            threshold=getattr(model.config, "score_threshold", 0.0),
        )


@contextlib.contextmanager
def _loaded(folder: str) -> Iterator:
    """Give a function of uint8 [B, h, w, 3]: what a server's session finds."""
    graph = tf.Graph()
    # Its own `with` would make the graph the caller's as well.
    with contextlib.closing(tf.compat.v1.Session(graph=graph)) as session:
        with graph.as_default():
            found = tf.compat.v1.saved_model.load(session, ["serve"], folder)
        signature = found.signature_def["serving_default"]
        outputs = {k: info.name for k, info in signature.outputs.items()}
        source = signature.inputs["images"].name
        yield lambda images: session.run(outputs, {source: images})


def predict(model, image: np.ndarray) -> dict:
    """Return what a model finds in an image, as its SavedModel would.

    Args:
        model: the float32 model.
        image: uint8 [h, w, 3].

    Returns:
        detections, NumPy, a batch of one, in pixels of the image.
    """
    x, original_shape = image_lib.resize(
        tf.constant(image[None]), model.config.pixels
    )
    found = {
        name: tf.constant(value)
        for name, value in model.predict_on_batch(x).items()
    }
    found = image_lib.to_callers(found, x["image_shape"], original_shape)
    return {name: value.numpy() for name, value in found.items()}


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
