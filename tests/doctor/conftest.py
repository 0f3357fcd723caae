"""The good data set, examined once, and a place to break it."""

import pytest

from keras_fair.doctor import examination
from tests.doctor import broken_datasets


@pytest.fixture(scope="session")
def good_images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "images"
    broken_datasets.write_images(folder)
    return folder


@pytest.fixture
def files(tmp_path, good_images):
    """A copy of the good data set."""
    return broken_datasets.Files(tmp_path, good_images)


@pytest.fixture
def examined(files):
    """The good data set's examination; the test may add findings."""
    return examination.examine(*files.write())
