"""What a training refuses before it starts, on generated shapes."""

import dataclasses
import os

import pytest
import tensorflow as tf

from keras_fair import config as config_lib
from keras_fair import config_files
from keras_fair.bin import experiments, train
from keras_fair.data import datasets, synthetic


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(
        str(folder), num_train=2, num_val=1, image_sizes=((128, 128),)
    )
    loaded = config_files.load("mask_rcnn_tiny_synthetic")
    return config_files.override(loaded, f"data.root={folder}")


@pytest.fixture
def workdir(experiment, tmp_path):
    """A work directory with a checkpoint and the config of its training."""
    data = datasets.open_dataset(experiment.data, "train")
    model = experiments.complete_model_config(
        experiment.model, data, experiment.data
    )
    saved = dataclasses.replace(experiment, model=model)
    config_files.save(saved, str(tmp_path / "config.json"))
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "step-000000300.weights.h5").touch()
    return tmp_path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("model.masks=agnostic", "model.masks is 'agnostic' and was 'class'"),
        (
            "data.mask_classes=circle",
            r"data.mask_classes is \"\['circle'\]\" and was '\[\]'",
        ),
        ("data.short_sides=96", "data.short_sides is"),
        ("train.seed=1", "train.seed is '1' and was '0'"),
        ("train.ema_momentum=0.9", "train.ema_momentum is '0.9' and was"),
        ("train.accumulation=2", "train.accumulation is '2' and was '1'"),
        ("train.policy=mixed_float16", "train.policy is 'mixed_float16'"),
    ],
)
def test_another_experiment_does_not_go_on_in_a_workdir(
    experiment, workdir, change, message
):
    before = (workdir / "config.json").read_text()
    other = config_files.override(experiment, change)

    with pytest.raises(ValueError, match=f"{message}.*Give another --workdir"):
        train.train_experiment(other, str(workdir))

    assert (workdir / "config.json").read_text() == before


@pytest.mark.parametrize(
    "change",
    [
        "train.steps=900",
        "train.evaluate_steps=600",
        "train.checkpoint_steps=100",
        "train.learning_rate=0.01",
        "data.root=/elsewhere",
        "data.val_images=/elsewhere/val",
        "data.on_bad_record=skip",
    ],
)
def test_schedule_and_paths_may_change_on_the_way(workdir, change):
    saved = config_files.load(str(workdir / "config.json"))

    train.check_same_run(config_files.override(saved, change), str(workdir))


def test_the_paths_of_sources_may_change_but_not_their_kind(workdir):
    def with_source(**values):
        data = config_lib.DataConfig(
            train_sources=(config_lib.SourceConfig(**values),)
        )
        return config_lib.Experiment(data=data)

    path = str(workdir / "config.json")
    config_files.save(with_source(annotations="/a", images="/b"), path)

    train.check_same_run(with_source(images="/c"), str(workdir))
    with pytest.raises(ValueError, match="data.train_sources.0.kind is 'voc'"):
        train.check_same_run(with_source(kind="voc"), str(workdir))


def test_a_remote_workdir_is_looked_into(workdir):
    remote = f"ram://check/{workdir.name}"
    tf.io.gfile.makedirs(f"{remote}/checkpoints")
    for name in ("config.json", "checkpoints/step-000000300.weights.h5"):
        tf.io.gfile.copy(str(workdir / name), f"{remote}/{name}")
    saved = config_files.load(str(workdir / "config.json"))

    train.check_same_run(saved, remote)
    with pytest.raises(ValueError, match="train.seed is '1'"):
        train.check_same_run(
            config_files.override(saved, "train.seed=1"), remote
        )


def test_a_workdir_without_checkpoints_takes_any_experiment(workdir):
    (workdir / "checkpoints" / "step-000000300.weights.h5").unlink()

    train.check_same_run(config_lib.Experiment(), str(workdir))


def test_a_frozen_detector_without_weights_is_refused(experiment, tmp_path):
    frozen = config_files.override(experiment, "model.freeze_detector=true")

    with pytest.raises(ValueError, match="--set train.initial_weights="):
        train.train_experiment(frozen, os.fspath(tmp_path))
