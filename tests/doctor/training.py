"""What training makes of a data set: it refuses what the doctor calls error."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from keras_fair.config import DataConfig
from keras_fair.data import pipeline

CONFIG = DataConfig(
    short_sides=(64,), max_long_side=64, canvases=((64, 64),), max_objects=8
)


def attempt(open_dataset: Callable, places: Sequence[str], decodes: bool):
    """Read for training; return what it did, or an error of a wrong kind.

    Args:
        open_dataset: returns the data set.
        places: paths, of which a refusal has to name one.
        decodes: also read the image files, where all records are good.
    """
    try:
        dataset = open_dataset()
        if decodes and not dataset.skipped:
            size = max(1, len(dataset.records))
            batches = pipeline.make_dataset(
                dataset, CONFIG, batch_size=size, training=True
            )
            next(iter(batches))  # an epoch
        return "skipped" if dataset.skipped else "accepted"
    except (ValueError, OSError, tf.errors.InvalidArgumentError) as error:
        is_named = any(place in str(error) for place in places)
        return "refused" if is_named else error
    except Exception as error:
        return error
