"""Turn weights of torchvision or Detectron into a preset folder, or back.

    python -m keras_fair.bin.convert \
        --preset=torchvision/maskrcnn_resnet50_fpn \
        --weights=maskrcnn_resnet50_fpn_coco.pth --output=/models/mask_rcnn
    python -m keras_fair.bin.convert --model=/models/mask_rcnn \
        --target=torchvision --output=back.pth

The folder is all that the other programs and `from_preset` need. The file is
a state dict for `load_state_dict` of a model built in the same way.
"""

from absl import app, flags

from keras_fair import presets
from keras_fair.bin import experiments
from keras_fair.checkpoints import convert
from keras_fair.models import MODELS, load_preset

PRESET = flags.DEFINE_string(
    "preset", None, "Model of the weights: library/name."
)
WEIGHTS = flags.DEFINE_string("weights", None, "The library's file.")
NUM_CLASSES = flags.DEFINE_integer(
    "num_classes", None, "Start the layers that know classes anew, for these."
)
TARGET = flags.DEFINE_enum(
    "target", None, list(convert.TARGETS), "Library to write weights for."
)


def import_weights(name: str, weights: str, output: str, num_classes) -> None:
    """Write another library's weights as a preset folder."""
    model_class = MODELS[type(presets.library_config(name))]
    model = model_class.from_preset(
        name, weights=weights, num_classes=num_classes
    )
    model.save_to_preset(output)
    presets.write_origin(output, name, weights)
    report = model.loading_report
    print(f"{len(report.loaded)} weights of {weights} are in {output}.")
    for title, names in (
        ("As initialised", report.kept),
        ("Not needed", report.ignored),
    ):
        if names:
            print(f"{title}: {', '.join(names)}.")


def main(_) -> None:
    if PRESET.value and WEIGHTS.value and not TARGET.value:
        import_weights(
            PRESET.value,
            WEIGHTS.value,
            experiments.OUTPUT.value,
            NUM_CLASSES.value,
        )
    elif TARGET.value and not PRESET.value:
        model = load_preset(experiments.model_folder())
        convert.export_weights_to(model, experiments.OUTPUT.value, TARGET.value)
        print(
            f"The weights for {TARGET.value} are in {experiments.OUTPUT.value}."
        )
    else:
        raise app.UsageError(
            "Give --preset and --weights, or --model and --target."
        )


def run() -> None:
    """Start the program; the console script points here."""
    flags.mark_flag_as_required("output")
    experiments.run(main)


if __name__ == "__main__":
    run()
