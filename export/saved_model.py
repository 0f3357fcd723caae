"""Write a trained detector as the next version of a served model.

    python export/saved_model.py --model=/runs/r50/model --output=/served/r50 \
        photos
    tensorflow_model_server --model_name=r50 --model_base_path=/served/r50

On the first of the images that follow the flags, or are in the folders that
do, the version is compared with the model before it appears; without any, on a
drawn one, in which a model may find little. In a wheel it is
`python -m keras_fair.export.saved_model`. What the file can be asked is in
docs/serving.md.
"""

from absl import app, flags

from keras_fair.bin import experiments
from keras_fair.data import image_files
from keras_fair.models import load_preset
from keras_fair.serving import saved_model

VERSION = flags.DEFINE_integer(
    "version", None, "Of the model; by default the next.", lower_bound=1
)
WARMUP = flags.DEFINE_list(
    "warmup",
    ["1x480x640"],
    "Sizes BATCHxHEIGHTxWIDTH of the requests that a server makes to itself "
    "before it answers; empty for none.",
)


def warmup_shapes() -> tuple[tuple[int, ...], ...]:
    """Return the sizes that --warmup names."""
    try:
        shapes = [tuple(map(int, s.split("x"))) for s in WARMUP.value]
    except ValueError:
        shapes = [()]
    if any(len(shape) != 3 or min(shape) < 1 for shape in shapes):
        raise app.UsageError(
            "Expected --warmup as sizes such as 1x480x640. Received: "
            f"{','.join(WARMUP.value)}."
        )
    return tuple(shapes)


def main(arguments) -> None:
    shapes = warmup_shapes()
    paths = image_files.find(arguments[1:]) if arguments[1:] else []
    model = load_preset(experiments.model_folder())
    pictures = image_files.read(paths, model.config.pixels)
    path = saved_model.export_saved_model(
        model,
        experiments.OUTPUT.value,
        VERSION.value,
        (picture.pixels for picture in pictures),
        warmup_shapes=shapes,
    )
    print(f"The SavedModel is in {path}.")
    print("Its assets.extra/parity.json tells how it differs from the model.")


if __name__ == "__main__":
    flags.mark_flag_as_required("output")
    experiments.run(main)
