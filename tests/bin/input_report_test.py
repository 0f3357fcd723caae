"""The report of where the time of the input goes, on generated shapes."""

import dataclasses
import shutil

import pytest

from keras_fair import config_files
from keras_fair.bin import input_report
from keras_fair.data import synthetic
from keras_fair.data.coco import CocoDataset
from tests.bin import programs_test


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """The folder of six images to train on."""
    folder = tmp_path_factory.mktemp("data") / "shapes"
    synthetic.write_shapes(
        str(folder), num_train=6, num_val=1, image_sizes=((96, 128),)
    )
    return str(folder)


@pytest.mark.parametrize(
    "changes",
    [
        {"copy_paste": 0.5, "mosaic": 0.5, "max_objects": 50},
        {"with_masks": False},
    ],
)
def test_each_part_of_the_work_is_measured(shapes, changes):
    config = config_files.load("mask_rcnn_tiny_synthetic").data
    config = dataclasses.replace(config, root=shapes, **changes)
    done = []

    seconds = input_report.measure(
        CocoDataset.from_config(config, "train"),
        config,
        batch_size=2,
        num_images=4,
        progress=lambda *counts: done.append(counts),
    )

    parts = ["reading files", "decoding", "resizing", "all else", "batching"]
    if config.with_masks:
        parts.insert(3, "masks")
    assert list(seconds) == parts
    assert all(each.cpu > 0 and each.wall > 0 for each in seconds.values())
    assert done == [(n, len(parts)) for n in range(len(parts) + 1)]


def test_a_file_that_is_skipped_stops_no_measurement(shapes, tmp_path):
    shutil.copytree(shapes, tmp_path, dirs_exist_ok=True)
    broken, *_ = sorted((tmp_path / "train").iterdir())
    broken.write_bytes(b"no image")
    config = config_files.load("mask_rcnn_tiny_synthetic").data
    config = dataclasses.replace(
        config, root=str(tmp_path), on_bad_record="skip", with_masks=False
    )
    dataset = CocoDataset.from_config(config, "train")
    assert input_report.measure(dataset, config, 3, num_images=6)


def test_the_shares_are_of_what_a_part_adds():
    seconds = {
        "reading files": input_report.Seconds(wall=0.001, cpu=0.002),
        "decoding": input_report.Seconds(wall=0.004, cpu=0.007),
        "batching": input_report.Seconds(wall=0.01, cpu=0.02),
    }

    first, _, *rows = input_report.format_report(seconds).splitlines()

    assert first == "100.0 images a second, 50.0 a second of CPU time"
    assert rows[1].split() == ["decoding", "5.00", "25%", "250.0"]
    assert rows[2].split() == ["batching", "13.00", "65%", "100.0"]


@pytest.mark.slow
def test_the_program_prints_the_report(shapes):
    output = programs_test.run(
        "benchmark",
        "--input",
        "--limit=4",
        "--config=mask_rcnn_tiny_synthetic",
        f"--set=data.root={shapes}",
    )
    assert "6 images" in output and "input: 6 of 6 measurements" in output
    assert "images a second" in output and "resizing" in output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--input"], "Give --config or --workdir for --input"),
        (["--model=a"], "Give --annotations and --images, or --input"),
    ],
)
def test_missing_flags_are_named(arguments, message):
    assert message in programs_test.run("benchmark", *arguments, fails=True)
