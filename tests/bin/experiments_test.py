"""What programs share, called directly on generated shapes."""

import dataclasses

import pytest

from keras_fair import config_files
from keras_fair.bin import experiments
from keras_fair.data import synthetic
from keras_fair.data.coco import CocoDataset
from tests.models import tiny


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Return small images, in batches of two."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(
        str(folder), num_train=1, num_val=3, image_sizes=((96, 96), (64, 96))
    )
    loaded = config_files.load("mask_rcnn_tiny_synthetic")
    data = dataclasses.replace(
        loaded.data,
        root=str(folder),
        short_sides=(64,),
        max_long_side=96,
        canvases=((64, 96),),
    )
    train = dataclasses.replace(loaded.train, batch_size=2)
    return dataclasses.replace(loaded, data=data, train=train)


def test_test_time_augmentation_scores_every_image(experiment, monkeypatch):
    monkeypatch.setattr(experiments, "IMAGES_OF_PART", 2)  # and then one
    dataset = CocoDataset.from_config(experiment.data, "val")

    report, evaluator = experiments.evaluate_augmented(
        # Scores of random weights stay near the prior.
        tiny.retinanet(prior=0.2),
        dataset,
        experiment,
        short_sides=[64, 96],
        flip=True,
    )

    assert report["num_images"] == 3
    assert evaluator.results()


def test_an_image_without_canvas_is_found_before_the_work(experiment):
    data = dataclasses.replace(experiment.data, canvases=((64, 64),))
    experiment = dataclasses.replace(experiment, data=data)
    dataset = CocoDataset.from_config(data, "val")

    with pytest.raises(ValueError, match="fit none of the canvases"):
        experiments.evaluate_augmented(
            tiny.retinanet(), dataset, experiment, short_sides=[64], flip=True
        )
