"""Draw what a config trains on: augmented images, boxes, masks, keypoints.

    python benchmarks/augmentation_sheet.py --config=mask_rcnn_r50_fpn_1x_coco \
        --set data.root=coco_tiny --set data.mosaic=0.3 --output=sheet.png
"""

from absl import flags

from keras_fair import visualization
from keras_fair.bin import experiments
from keras_fair.data import datasets
from keras_fair.data.pipeline import make_dataset

IMAGES = flags.DEFINE_integer("images", 12, "How many.")
COLUMNS = flags.DEFINE_integer("columns", 4, "Side by side.")
SEED = flags.DEFINE_integer("seed", 0, "Of the training.")


def draw(x: dict, y: dict, class_names: tuple):
    """Draw the only image of a batch, without its padding."""
    height, width = x["image_shape"][0].numpy()
    objects = {
        key: y[key][0].numpy()
        for key in ("boxes", "labels", "masks", "has_mask", "keypoints")
        if key in y
    }
    return visualization.draw_detections(
        x["images"][0, :height, :width].numpy(), objects, class_names
    )


def main(_) -> None:
    data = experiments.load(experiments.CONFIG.value).data
    dataset = datasets.open_dataset(data, "train")
    batches = make_dataset(
        dataset, data, batch_size=1, training=True, seed=SEED.value
    )
    pictures = [
        draw(x, y, dataset.class_names) for x, y in batches.take(IMAGES.value)
    ]
    visualization.save_image(
        visualization.draw_grid(pictures, COLUMNS.value),
        experiments.OUTPUT.value,
    )


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "output"])
    experiments.run(main)
