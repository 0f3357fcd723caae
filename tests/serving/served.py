"""Ask an exported model in a process without Keras and this package."""

import subprocess
import sys

import numpy as np

from keras_fair.data import image_files, transforms

PROGRAM = """
import sys
sys.modules["keras"] = sys.modules["keras_fair"] = None  # not to be imported
import numpy as np
import tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
for path in sys.argv[2:]:
    given = dict(np.load(path, allow_pickle=True))
    ask = model.signatures[str(given.pop("signature"))]
    try:
        answer = ask(**{k: tf.constant(v.tolist(), tf.string)
                        if v.dtype == object else tf.constant(v)
                        for k, v in given.items()})
        answer = {k: v.numpy() for k, v in answer.items()}
    except tf.errors.InvalidArgumentError as error:
        answer = {"error": str(error)}
    np.savez(path, **answer)
"""


def ask(saved_model, folder, requests: dict) -> list[dict]:
    """Return the answers to requests, made one after the other.

    Args:
        saved_model: the folder of a version.
        folder: for the files that pass between the processes.
        requests: (signature, inputs by name); a list of bytes is a string
            tensor.

    Returns:
        The outputs by name, or the message of a refusal as `error`.
    """
    paths = []
    for number, (signature, inputs) in enumerate(requests):
        inputs = {
            name: np.array(value, object) if isinstance(value, list) else value
            for name, value in inputs.items()
        }
        paths.append(f"{folder}/{number}.npz")
        np.savez(paths[-1], signature=signature, **inputs)
    subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM, str(saved_model), *paths],
        check=True,
        timeout=300,
    )
    return [dict(np.load(path)) for path in paths]


def expected(model, encoded: bytes, folder) -> dict:
    """Return what `keras-fair-predict` finds in a file, a batch of one."""
    path = folder / "picture"
    path.write_bytes(encoded)
    (file,) = image_files.read([str(path)], model.config.pixels)
    found = model.predict_on_batch(file.x)
    boxes = transforms.to_original(
        found["boxes"], file.x["image_shape"], [file.pixels.shape[:2]]
    )
    return {**found, "boxes": boxes}


def assert_equal(found: dict, wanted: dict) -> None:
    """Compare detections of graphs with other kernels: float32's rounding."""
    assert sorted(found) == sorted(wanted)
    for name in ("labels", "num_detections"):
        np.testing.assert_array_equal(found[name], wanted[name])
    # Roundings of a pixel and of a probability.
    for name, tolerance in (("boxes", 1e-3), ("scores", 1e-5), ("masks", 1e-4)):
        if name in found:
            np.testing.assert_allclose(
                found[name], wanted[name], atol=tolerance
            )
