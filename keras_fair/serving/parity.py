"""Proof that an exported file finds what the model finds.

An export runs the file that it wrote beside the model, on the same images, and
keeps the comparison with the file; one that is not the model is not kept.
"""

import contextlib
import itertools
import platform
from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf
from absl import logging

from keras_fair.serving import comparison

NUM_IMAGES = 8  # of those that the caller gives, the first so many
# Of the rows. Where two boxes overlap by just the threshold of suppression,
# rounding decides, also about what comes after them.
DIFFERING = 0.02
FOUND = 0.5  # share of the sure objects that a quantised file must find


def drawn_image() -> np.ndarray:
    """Return bright boxes on noise, uint8 [480, 640, 3]; always the same."""
    random = np.random.default_rng(0)
    image = random.integers(0, 60, (480, 640, 3), np.uint8)
    for _ in range(24):
        x, y = random.integers(0, 600), random.integers(0, 440)
        width, height = random.integers(16, 240, 2)
        colour = random.integers(60, 256, 3, np.uint8)
        image[y : y + height, x : x + width] = colour
    return image


def chosen(images: Iterable[np.ndarray]) -> list[np.ndarray]:
    """Return the images to compare on, see `NUM_IMAGES`; or the drawn one."""
    return list(itertools.islice(images, NUM_IMAGES)) or [drawn_image()]


@contextlib.contextmanager
def full_precision() -> Iterator[None]:
    """Let a GPU multiply in float32, as the machines of the files do."""
    config = tf.config.experimental
    before = config.tensor_float_32_execution_enabled()
    config.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        config.enable_tensor_float_32_execution(before)


def certify(
    of_model: Callable[[np.ndarray], dict],
    of_file: Callable[[np.ndarray], dict],
    images: Iterable[np.ndarray],
    *,
    threshold: float,
    long_side: int | None = None,
    quantisation: str = "float32",
) -> dict:
    """Compare what the model and its file find in the same images.

    Args:
        of_model: from uint8 [h, w, 3] to detections, see `comparison.compare`.
        of_file: the same, of what was exported.
        images: see `chosen`.
        threshold: see `comparison.compare`.
        long_side: see `comparison.compare`; by default that of the image.
        quantisation: of the file.

    Returns:
        `certificate`.

    Raises:
        RuntimeError: see `certificate`.
    """
    comparisons = []
    with full_precision():
        for image in chosen(images):
            compared = comparison.compare(
                of_model(image),
                of_file(image),
                long_side or max(image.shape[:2]),
                threshold,
            )
            comparisons.append(compared)
    return certificate(comparisons, quantisation)


def certificate(
    comparisons: list[comparison.Comparison], quantisation: str
) -> dict:
    """Sum up what was compared, as values of JSON.

    Args:
        comparisons: one an image.
        quantisation: of the file.

    Raises:
        RuntimeError: a float32 file of which more than `DIFFERING` of the
            rows are not the model's; or a quantised one that finds less than
            `FOUND` of the objects of which the model is sure. What quantising
            may cost else is the user's to judge, by AP; a file below that is
            no detector any more.
    """
    largest = {
        name: max(each.largest[name] for each in comparisons)
        for name in comparisons[0].largest
    }
    ious = [iou for each in comparisons for iou in each.sure_ious]
    result = {
        "quantisation": quantisation,
        "num_images": len(comparisons),
        "num_detections": [list(each.num_detections) for each in comparisons],
        "num_rows": sum(each.num_rows for each in comparisons),
        "num_differing_rows": sum(each.num_differing for each in comparisons),
        "largest_differences": largest,
        "sure_objects": len(ious),
        "sure_objects_found": sum(iou > 0 for iou in ious),
        "sure_objects_mean_iou": float(np.mean(ious)) if ious else None,
        "tolerances": {**comparison.TOLERANCES, "differing_rows": DIFFERING},
        "versions": {
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
            "python": platform.python_version(),
        },
    }
    _check(result)
    return result


def _check(result: dict) -> None:
    differing, rows = result["num_differing_rows"], result["num_rows"]
    found, sure = result["sure_objects_found"], result["sure_objects"]
    if not rows or (result["quantisation"] != "float32" and not sure):
        logging.warning(
            "The model finds %s in the images that exporting compares on, so "
            "they do not show that the exported file is the model. Give "
            "images=... with objects in them.",
            "nothing it is sure of" if rows else "nothing",
        )
    if result["quantisation"] == "float32" and differing > DIFFERING * rows:
        problem = f"{differing} of {rows} detections differ"
    elif found < FOUND * sure:
        problem = f"it finds {found} of {sure} objects"
    else:
        return
    largest = result["largest_differences"].items()
    figures = ", ".join(f"{name} {value:.3g}" for name, value in largest)
    raise RuntimeError(
        f"Expected an exported file that is the model. Received: {problem}; "
        f"where both find an object, by up to {figures} (tolerances: "
        f"{comparison.TOLERANCES}, of boxes and keypoints as a share of the "
        "image's longer side). The file was not kept. If it happens with other "
        "images too, report it with the versions of the packages."
    )
