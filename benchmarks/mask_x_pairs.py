"""Does the weight transfer of Mask^X R-CNN segment classes without masks?

    python benchmarks/mask_x_pairs.py --workdir=/tmp/pairs

Draws pairs of objects that share a box (see keras_fair/data/synthetic_pairs),
of which half of the classes never show a mask, and for each seed trains a
Faster R-CNN and on it, frozen, three mask branches for equally many steps: a
class-agnostic one, Mask^X R-CNN's, and an oracle's, which sees all masks.
Prints the mask AP on the classes without and with masks, and draws them.
"""

import dataclasses
import json
import os
import time

import keras
import numpy as np
from absl import flags
from PIL import Image

from keras_fair import config as config_lib
from keras_fair import config_files, visualization
from keras_fair.bin import experiments, train
from keras_fair.data import synthetic_pairs
from keras_fair.models import load_preset

SEEDS = flags.DEFINE_integer("seeds", 3, "How many seeds, from 0 on.")
DETECTOR_STEPS = flags.DEFINE_integer("detector_steps", 900, "Of a seed.")
MASK_STEPS = flags.DEFINE_integer("mask_steps", 600, "Of each mask branch.")

STRATEGIES = ("class-agnostic", "Mask^X", "oracle")
NUM_TRAIN, NUM_VAL, NUM_DRAWN = 1500, 100, 8

# Of a mask branch, twelve times the detector's. A class's own weights in the
# oracle's last layer learn from a sixteenth of the objects: at a rate of 0.2
# they are far behind what all classes share after as many steps.
MASK_LEARNING_RATE = 0.6


def at_steps(experiment, steps: int, seed: int, weights: str):
    """Return the experiment with that schedule and start."""
    rate = experiment.train.learning_rate
    settings = dataclasses.replace(
        experiment.train,
        learning_rate=MASK_LEARNING_RATE if weights else rate,
        steps=steps,
        drop_steps=(steps * 4 // 5,),
        checkpoint_steps=steps,
        evaluate_steps=steps,
        seed=seed,
        initial_weights=weights,
    )
    return dataclasses.replace(experiment, train=settings)


def detector(experiment):
    """Return the experiment of the Faster R-CNN underneath."""
    values = as_dict(experiment.model, config_lib.FasterRCNNConfig)
    return dataclasses.replace(
        experiment,
        model=config_lib.FasterRCNNConfig(**values),
        data=dataclasses.replace(
            experiment.data, with_masks=False, mask_classes=()
        ),
    )


def strategy(experiment, name: str):
    """Return the experiment of one mask branch on a frozen detector."""
    model, data = experiment.model, experiment.data
    if name != "Mask^X":
        values = as_dict(model, config_lib.MaskRCNNConfig)
        values["masks"] = "agnostic" if name == "class-agnostic" else "class"
        model = config_lib.MaskRCNNConfig(**values)
    if name == "oracle":
        data = dataclasses.replace(data, mask_classes=())
    model = dataclasses.replace(model, freeze_detector=True)
    return dataclasses.replace(experiment, model=model, data=data)


def as_dict(config, config_class) -> dict:
    """Return those values that the class has, too."""
    fields = dataclasses.fields(config_class)
    return {field.name: getattr(config, field.name) for field in fields}


def run_seed(experiment, seed: int, workdir: str) -> dict:
    """Train everything of one seed; return mask AP by strategy."""
    folder = os.path.join(workdir, f"seed{seed}", "detector")
    train.train_experiment(
        at_steps(detector(experiment), DETECTOR_STEPS.value, seed, ""), folder
    )
    start = os.path.join(folder, "model")
    found = {}
    for name in STRATEGIES:
        keras.backend.clear_session()
        report = train.train_experiment(
            at_steps(strategy(experiment, name), MASK_STEPS.value, seed, start),
            os.path.join(workdir, f"seed{seed}", name),
        )
        per_class = report["masks"]["per_class"]
        chosen = experiment.data.mask_classes
        rest = [each for each in per_class if each not in chosen]
        found[name] = {
            "without": float(np.nanmean([per_class[each] for each in rest])),
            "with": float(np.nanmean([per_class[each] for each in chosen])),
            "box": report["AP"],
        }
    return found


def drawn_paths(data: config_lib.DataConfig) -> list[str]:
    """Return images of classes that show no masks."""
    with open(os.path.join(data.root, data.val_annotations)) as file:
        content = json.load(file)
    rest = {
        category["id"]
        for category in content["categories"]
        if category["name"] not in data.mask_classes
    }
    chosen = {
        annotation["image_id"]
        for annotation in content["annotations"]
        if annotation["category_id"] in rest
    }
    return [
        os.path.join(data.root, data.val_images, image["file_name"])
        for image in content["images"]
        if image["id"] in chosen
    ][:NUM_DRAWN]


def draw(experiment, workdir: str) -> str:
    """Draw seed 0: rows of images, then of each strategy's masks."""
    paths = drawn_paths(experiment.data)
    images = [np.asarray(Image.open(path)) for path in paths]
    rows = [image.repeat(3, 0).repeat(3, 1) for image in images]
    for name in STRATEGIES:
        keras.backend.clear_session()
        model = load_preset(os.path.join(workdir, "seed0", name, "model"))
        found = model.predict(np.stack(images), verbose=0)
        for index, image in enumerate(images):
            objects = {key: value[index] for key, value in found.items()}
            objects["boxes"] = objects["boxes"] * 3
            # Only the classes that never showed a mask.
            shown = [
                label >= 0
                and model.config.class_names[label]
                not in experiment.data.mask_classes
                for label in objects["labels"]
            ]
            objects["scores"] = np.where(shown, objects["scores"], 0)
            drawing = visualization.draw_detections(
                image.repeat(3, 0).repeat(3, 1),
                objects,
                model.config.class_names,
            )
            rows.append(np.asarray(drawing))
    path = os.path.join(workdir, "masks.png")
    visualization.save_image(visualization.draw_grid(rows, NUM_DRAWN), path)
    return path


def table(results: list[dict]) -> str:
    """Return mask AP of each seed and strategy."""
    lines = ["seed  strategy        without masks  with masks  boxes"]
    for seed, found in enumerate(results):
        for name, values in found.items():
            lines.append(
                f"{seed:<6}{name:<16}{values['without']:>13.3f}"
                f"{values['with']:>12.3f}{values['box']:>7.3f}"
            )
    for seed, found in enumerate(results):
        each = [found[name]["without"] for name in STRATEGIES]
        ordered = "is" if each[0] < each[1] <= each[2] else "IS NOT"
        lines.append(
            f"seed {seed}: class-agnostic < Mask^X <= oracle {ordered} so "
            "on the classes without masks"
        )
    for name in STRATEGIES:
        means = [
            np.mean([found[name][key] for found in results])
            for key in ("without", "with", "box")
        ]
        lines.append(
            f"mean  {name:<16}{means[0]:>13.3f}{means[1]:>12.3f}"
            f"{means[2]:>7.3f}"
        )
    return "\n".join(lines)


def main(_) -> None:
    begin = time.monotonic()
    workdir = experiments.WORKDIR.value
    data = os.path.join(workdir, "pairs")
    synthetic_pairs.write_pairs(data, NUM_TRAIN, NUM_VAL)
    experiment = config_files.override(
        config_files.load("mask_x_rcnn_tiny_pairs"), f"data.root={data}"
    )
    results = []
    for seed in range(SEEDS.value):
        results.append(run_seed(experiment, seed, workdir))
        with open(os.path.join(workdir, "results.json"), "w") as file:
            json.dump(results, file, indent=1)
    picture = draw(experiment, workdir)
    print(table(results))
    minutes = (time.monotonic() - begin) / 60
    print(f"{minutes:.1f} minutes. Picture: {picture}.")


if __name__ == "__main__":
    flags.mark_flag_as_required("workdir")
    experiments.run(main)
