"""A preset: one folder that holds a model and needs nothing else.

config.json        the model's config, its class names with it
model.weights.h5   Keras's weights file, without optimiser state
"""

import json
import pathlib

from keras_fair import config_files

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.weights.h5"


def read_config(folder: str):
    """Return the model config of a preset folder.

    Raises:
        FileNotFoundError: the folder lacks one of the two files.
    """
    for name in (CONFIG_NAME, WEIGHTS_NAME):
        if not (pathlib.Path(folder) / name).is_file():
            raise FileNotFoundError(
                f"Expected a preset folder with {CONFIG_NAME} and "
                f"{WEIGHTS_NAME}, as save_to_preset writes. {folder!r} has no "
                f"{name}."
            )
    text = (pathlib.Path(folder) / CONFIG_NAME).read_text(encoding="utf-8")
    return config_files.from_dict(json.loads(text))
