import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from keras_fair import config_files
from keras_fair.data import datasets, synthetic

pytest.importorskip("tensorflow_datasets")


@pytest.fixture
def experiment(tmp_path):
    synthetic.write_shapes(str(tmp_path / "shapes"), num_train=5, num_val=2)
    experiment = config_files.load("mask_rcnn_tiny_synthetic")
    data = dataclasses.replace(
        experiment.data, root=str(tmp_path / "shapes"), mask_rate=0.0
    )
    return dataclasses.replace(experiment, data=data)


def test_what_is_prepared_trains_as_the_files(experiment, tmp_path, capsys):
    from keras_fair.bin import prepare

    folder = prepare.prepare(experiment, str(tmp_path / "out"), "shapes")
    printed = capsys.readouterr().out
    assert "train: 5 images" in printed and "val: 2 images" in printed
    assert f"data.prepared={folder}" in printed
    data = dataclasses.replace(experiment.data, prepared=folder)
    for split in ("train", "val"):
        expected = datasets.open_dataset(experiment.data, split)
        found = datasets.open_dataset(data, split)
        assert found.class_names == expected.class_names
        for one, other in zip(found.records, expected.records, strict=True):
            np.testing.assert_array_equal(one.boxes, other.boxes)
            np.testing.assert_array_equal(one.masks[0], other.masks[0])
    # All masks are there; the training's own config withholds them.
    every = dataclasses.replace(data, mask_rate=1.0)
    train = datasets.open_dataset(every, "train")
    assert all(mask is not None for r in train.records for mask in r.masks)


def test_the_flags_name_the_folder(experiment, tmp_path, capsys):
    from keras_fair.bin import prepare

    flags.FLAGS.mark_as_parsed()
    values = {
        "config": "mask_rcnn_tiny_synthetic",
        "data_dir": str(tmp_path / "out"),
        "data_version": "2.0.0",
        "set": [f"data.root={experiment.data.root}", "data.max_images=1"],
    }
    with flagsaver.flagsaver(**values):
        prepare.main([])
        assert "is there already" not in capsys.readouterr().out
        prepare.main([])
    with (
        flagsaver.flagsaver(
            **{**values, "data_version": "3.0.0"}, beam_options=["--a=b"]
        ),
        pytest.raises(ValueError, match="beam_runner .* Received: --a=b"),
    ):
        prepare.main([])
    folder = os.path.join("mask_rcnn_tiny_synthetic", "2.0.0")
    assert f"{folder} is there already" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["", "a/b", "a/"])
def test_a_name_that_is_no_folder_s_is_refused(experiment, tmp_path, name):
    from keras_fair.bin import prepare

    with pytest.raises(ValueError, match=f"Expected --name .*: '{name}'"):
        prepare.prepare(experiment, str(tmp_path), name)
    assert not os.path.exists(tmp_path / "keras_fair_instances")


WITHOUT_TFDS = """
import sys

sys.modules["tensorflow_datasets"] = None
from keras_fair.bin import prepare

prepare.run()
"""


def test_a_missing_package_is_a_message(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-c", WITHOUT_TFDS),
            *("--config=tiny_synthetic", f"--data_dir={tmp_path}"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "Install it: pip install 'keras-fair[tfds]'" in done.stderr
    assert "Traceback" not in done.stderr
