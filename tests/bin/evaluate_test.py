import pytest
from absl import app
from absl.testing import flagsaver

from keras_fair.bin import evaluate
from keras_fair.config import DataConfig


@pytest.fixture(autouse=True)
def known_flags():
    evaluate.flags.FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield


def test_short_sides_are_numbers():
    evaluate.flags.FLAGS.short_sides = ["400", "500"]

    assert evaluate.sides(DataConfig()) == [400, 500]


def test_the_default_is_the_size_of_plain_evaluation():
    assert evaluate.sides(DataConfig(short_sides=(640, 800))) == [800]


def test_a_short_side_that_is_no_number_is_an_error():
    evaluate.flags.FLAGS.short_sides = ["400", "big"]

    with pytest.raises(app.UsageError, match="Received: 400,big"):
        evaluate.sides(DataConfig())
