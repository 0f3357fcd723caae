"""Write a trained detector as a LiteRT file for phones.

    python export/tflite.py --model=/runs/r50/model --height=320 --width=416 \
        --quantisation=int8 --output=detector.tflite photos

The images that follow the flags, or are in the folders that do, calibrate
int8; on the first of them the file is compared with the model before it is
kept. In a wheel it is `python -m keras_fair.export.tflite`. How the file is
used is in docs/serving.md, and in detector.tflite.json beside it. This file is
not called litert.py: run by path it would hide the module that TensorFlow
looks for under that name.
"""

import os

from absl import flags

from keras_fair.bin import experiments
from keras_fair.data import image_files
from keras_fair.models import load_preset
from keras_fair.serving import litert

HEIGHT = flags.DEFINE_integer(
    "height", None, "Of the canvas, pixels.", lower_bound=1
)
WIDTH = flags.DEFINE_integer(
    "width", None, "Of the canvas, pixels.", lower_bound=1
)
QUANTISATION = flags.DEFINE_enum(
    "quantisation", "float32", litert.QUANTISATIONS, "Of the weights."
)


def main(arguments) -> None:
    paths = image_files.find(arguments[1:]) if arguments[1:] else []
    model = load_preset(experiments.model_folder())
    pictures = image_files.read(paths, model.config.pixels)
    output = experiments.OUTPUT.value
    litert.export_litert(
        model,
        output,
        (HEIGHT.value, WIDTH.value),
        QUANTISATION.value,
        [picture.pixels for picture in pictures],
    )
    size = os.path.getsize(output)
    print(f"{output} has {size} bytes; {output}.json describes it.")
    print(f"{output}.parity.json tells how it differs from the model.")


if __name__ == "__main__":
    flags.mark_flags_as_required(["output", "height", "width"])
    experiments.run(main)
