import pytest

from keras_fair.layers import levels


def test_a_shared_layer_is_built_for_any_size_and_the_channels_of_all():
    shapes = {"P2": (2, 16, 24, 8), "P3": (2, 8, 12, 8)}
    assert levels.one_level(shapes) == (None, None, None, 8)


def test_levels_of_different_channels_are_refused():
    shapes = {"P2": (2, 16, 24, 8), "P3": (2, 8, 12, 4)}
    with pytest.raises(ValueError, match="same number of channels on every"):
        levels.one_level(shapes)
