"""Train a small detector on generated shapes and look at what it finds.

    python -m keras_fair.bin.demo --workdir=demo

Minutes on a CPU: writes shapes, trains the config mask_rcnn_tiny_synthetic,
prints COCO AP on held-out images and draws its detections on some of them.
"""

import os

import keras
import numpy as np
from absl import flags
from PIL import Image

from keras_fair import config_files, visualization
from keras_fair.bin import experiments, predict, train
from keras_fair.data import synthetic
from keras_fair.evaluation.scoring import format_report
from keras_fair.models import load_preset

NUM_DRAWN = 12


def main(_) -> None:
    workdir = experiments.WORKDIR.value
    shapes = os.path.join(workdir, "shapes")
    print(f"1/3 Drawing shapes into {shapes}.")
    synthetic.write_shapes(
        shapes,
        num_train=1_000,
        num_val=100,
        image_sizes=((128, 128), (128, 160), (112, 144)),
    )

    print("2/3 Training a Mask R-CNN on ResNet-18 from random weights.")
    experiment = experiments.load("mask_rcnn_tiny_synthetic")
    experiment = config_files.override(experiment, f"data.root={shapes}")
    report = train.train_experiment(experiment, workdir)
    print(format_report(report))

    print("3/3 Drawing its detections on held-out images.")
    val = os.path.join(shapes, "val")
    paths = [os.path.join(val, name) for name in sorted(os.listdir(val))]
    output = os.path.join(workdir, "detections")
    keras.backend.clear_session()
    model = load_preset(os.path.join(workdir, "model"))
    drawings = predict.predict_files(model, paths[:NUM_DRAWN], output, 0.5)
    images = [np.asarray(Image.open(drawing)) for drawing in drawings]
    sheet = os.path.join(workdir, "detections.png")
    visualization.save_image(visualization.draw_grid(images, 4), sheet)
    print(
        f"Box AP {report['AP']:.3f}, mask AP {report['masks']['AP']:.3f}. "
        f"Pictures: {output} and {sheet}."
    )


def run() -> None:
    """Start the program; the console script points here."""
    flags.set_default(experiments.WORKDIR, "demo")
    experiments.run(main)


if __name__ == "__main__":
    run()
