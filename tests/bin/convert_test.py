import json

import numpy as np
import pytest
from absl import app, flags
from absl.testing import flagsaver

from keras_fair import models, presets
from keras_fair.bin import convert as program
from keras_fair.checkpoints import coco_categories, convert, readers
from tests.checkpoints import small


@pytest.fixture(scope="module")
def model():
    return small.model()


@pytest.fixture
def weights(model, tmp_path, monkeypatch):
    """A file of torchvision's model "small"."""
    monkeypatch.setitem(
        presets.LIBRARIES, "torchvision", {"small": small.MASK_RCNN}
    )
    path = tmp_path / "small.pth"
    convert.export_weights_to(model, path, "torchvision")
    return str(path)


def values(model) -> dict:
    named = convert.weights_by_name(model)
    return {path: np.asarray(weight) for path, weight in named.items()}


def test_conversion_writes_a_folder_with_classes_and_origin(
    model, weights, tmp_path, capsys
):
    folder = str(tmp_path / "preset")
    program.import_weights("torchvision/small", weights, folder, None)
    assert f"{len(model.weights)} weights" in capsys.readouterr().out
    made = models.load_preset(folder)
    assert made.config.class_names[0] == "person"
    assert made.config.category_ids == coco_categories.IDS
    found = values(made)
    for path, array in values(model).items():
        np.testing.assert_array_equal(found[path], array)
    with open(tmp_path / "preset" / "origin.json", encoding="utf-8") as file:
        origin = json.load(file)
    assert origin["model"] == "torchvision/small"
    assert origin["licence"].startswith("BSD-3-Clause")
    assert origin["file"] == "small.pth" and len(origin["sha256"]) == 64


def test_conversion_lists_what_starts_anew(weights, tmp_path, capsys):
    folder = str(tmp_path / "preset")
    program.import_weights("torchvision/small", weights, folder, 3)
    assert "As initialised: box_head/class_logits/kernel, " in (
        capsys.readouterr().out
    )


def test_a_folder_becomes_the_library_s_file_again(model, weights, tmp_path):
    folder, back = str(tmp_path / "preset"), str(tmp_path / "back.pth")
    model.save_to_preset(folder)
    flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver(model=folder, target="torchvision", output=back):
        program.main([])
    expected = readers.read(weights)
    found = readers.read(back)
    assert list(found) == list(expected)
    for name, array in expected.items():
        np.testing.assert_array_equal(found[name], array)


def test_flags_that_name_no_work_are_explained():
    flags.FLAGS.mark_as_parsed()
    with pytest.raises(app.UsageError, match="--preset and --weights, or"):
        program.main([])
