import keras
import pytest

from keras_fair.config import BackboneConfig
from keras_fair.layers import FeaturePyramid
from keras_fair.models import backbones


@pytest.fixture(autouse=True)
def shapes_only():
    """Build models without drawing their weights: only shapes are read."""
    with keras.StatelessScope(initialize_variables=False):
        yield
    keras.utils.clear_session()  # forget the weights that wait for values


def _convolution(x, filters, name, strides=2):
    return keras.layers.Conv2D(
        filters, 3, strides=strides, padding="same", name=name
    )(x)


def _chain(size=None):
    """Strides 2, 4, 4, 8, 16, 32 by layers named a to f."""
    x = inputs = keras.Input((size, size, 3))
    for filters, (name, strides) in enumerate(
        [("a", 2), ("b", 2), ("c", 1), ("d", 2), ("e", 2), ("f", 2)], start=1
    ):
        x = _convolution(x, filters, name, strides)
    return keras.Model(inputs, x, name="chain")


def _sources(backbone):
    """Return the name of the layer behind each feature."""
    model = backbone.output
    return {
        level: next(
            layer.name for layer in backbone.layers if layer.output is tensor
        )
        for level, tensor in model.items()
    }


@pytest.mark.parametrize("size", [None, 64])
def test_the_last_layer_of_each_stride_is_taken(size):
    backbone = backbones.as_backbone(_chain(size))
    assert _sources(backbone) == {"C2": "c", "C3": "d", "C4": "e", "C5": "f"}


def test_levels_choose_among_the_features():
    backbone = backbones.as_backbone(_chain(), levels=(3, 4, 5))
    assert list(backbone.output) == ["C3", "C4", "C5"]


def test_layers_may_be_named():
    model = _chain()
    backbone = backbones.as_backbone(model, stage_names={"C2": "b", "C3": "d"})
    assert _sources(backbone) == {"C2": "b", "C3": "d"}
    assert backbone.get_layer("d") is model.get_layer("d")


def test_unknown_layers_are_listed():
    with pytest.raises(ValueError, match="'chain' has no layer x, y"):
        backbones.as_backbone(_chain(), stage_names={"C2": "x", "C3": "y"})


def test_a_stride_that_no_layer_has_is_named():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, _convolution(inputs, 4, "a", 4), name="short")
    assert list(backbones.as_backbone(model).output) == ["C2"]
    with pytest.raises(ValueError, match="C2, C3 of 'short'. Found: C2. Name"):
        backbones.as_backbone(model, levels=(2, 3))


def test_a_model_without_strides_is_refused():
    inputs = keras.Input((None, None, 3))
    model = keras.Model(inputs, _convolution(inputs, 4, "a", 1), name="flat")
    with pytest.raises(ValueError, match="C2 to C5 of 'flat'. Found: none"):
        backbones.as_backbone(model)


def test_a_model_that_returns_the_dict_serves_as_it_is():
    chain = _chain()
    outputs = {
        "C3": chain.get_layer("d").output,
        "C5": chain.get_layer("f").output,
        "other": chain.get_layer("a").output,
    }
    backbone = backbones.as_backbone(keras.Model(chain.input, outputs))
    assert _sources(backbone) == {"C3": "d", "C5": "f"}


class _Pyramid(keras.Model):
    """Stands for a KerasHub backbone: functional, with pyramid_outputs."""

    def __init__(self):
        chain = _chain()
        super().__init__(chain.input, chain.output, name="pyramid")
        self.pyramid_outputs = {
            "P2": chain.get_layer("b").output,
            "P3": chain.get_layer("d").output,
            "P4": chain.get_layer("e").output,
            "P5": chain.get_layer("f").output,
        }


def test_pyramid_outputs_are_the_features():
    backbone = backbones.as_backbone(_Pyramid())
    assert _sources(backbone) == {"C2": "b", "C3": "d", "C4": "e", "C5": "f"}


class _Subclassed(keras.Model):
    """A model without a graph, as users write them."""

    def __init__(self):
        super().__init__(name="subclassed")
        self.convolution = keras.layers.Conv2D(4, 3, strides=8)

    def call(self, inputs):
        return {"C3": self.convolution(inputs)}


def test_a_subclassed_model_that_returns_the_dict_serves():
    model = _Subclassed()
    backbone = backbones.as_backbone(model)
    outputs = backbone(keras.Input((32, 32, 3), batch_size=1))
    assert outputs["C3"].shape == (1, 4, 4, 4)
    assert len(backbone.trainable_weights) == 2


def test_something_else_than_a_model_is_refused():
    with pytest.raises(TypeError, match="Expected a keras.Model"):
        backbones.as_backbone("resnet50")


def test_two_inputs_are_refused():
    inputs = [keras.Input((8, 8, 3)), keras.Input((8, 8, 3))]
    model = keras.Model(inputs, keras.layers.Add()(inputs))
    with pytest.raises(ValueError, match="with one input"):
        backbones.as_backbone(model)


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="Expected a backbone of resnet18, "):
        backbones.build_backbone(BackboneConfig(name="vgg"))


FAMILIES = {
    "DenseNet121": {"C2": 128, "C3": 256, "C4": 512, "C5": 1024},
    "MobileNetV3Large": {"C2": 72, "C3": 240, "C4": 672, "C5": 960},
    "EfficientNetB0": {"C2": 144, "C3": 240, "C4": 672, "C5": 1280},
    "EfficientNetV2B0": {"C2": 32, "C3": 192, "C4": 672, "C5": 1280},
    "ConvNeXtTiny": {"C2": 96, "C3": 192, "C4": 384, "C5": 768},
}


@pytest.mark.parametrize("name", FAMILIES)
def test_a_pyramid_stands_on_keras_applications(name):
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(None, None, 3)
    )
    backbone = backbones.as_backbone(model)
    channels = {level: t.shape[-1] for level, t in backbone.output.items()}
    assert channels == FAMILIES[name]
    pixels = keras.Input((96, 160, 3), batch_size=1)
    levels = FeaturePyramid(8, min_level=2, max_level=6)(backbone(pixels))
    assert {key: level.shape for key, level in levels.items()} == {
        "P2": (1, 24, 40, 8),
        "P3": (1, 12, 20, 8),
        "P4": (1, 6, 10, 8),
        "P5": (1, 3, 5, 8),
        "P6": (1, 2, 3, 8),
    }
