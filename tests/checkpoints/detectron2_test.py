import math
import re

import pytest

from keras_fair import config
from keras_fair.checkpoints import convert, detectron2, detectron2_models
from keras_fair.models import retinanet
from tests import shared


def test_names_and_sizes_are_those_of_the_peer():
    theirs = shared.state_dict_sizes("d2_retinanet_R_50_FPN_3x.keys.txt")
    model_config = config.RetinaNetConfig()
    model = retinanet.RetinaNet(model_config)
    table = detectron2.table(model_config)
    ours = {
        convert.their_name(path, table): math.prod(weight.shape)
        for path, weight in convert.weights_by_name(model).items()
    }
    assert ours == theirs


def test_towers_with_normalisation_count_three_modules():
    table = detectron2.table(config.RetinaNetConfig(head_norm="group"))
    name = convert.their_name("head/box_norm_2/gamma", table)
    assert name == "head.bbox_subnet.7.weight"


@pytest.mark.parametrize(
    "name",
    ["pixel_mean", "pixel_std", "head.anchor_generator.cell_anchors.0"],
)
def test_what_the_config_holds_is_ignored(name):
    assert any(re.fullmatch(p, name) for p in detectron2.IGNORED)


@pytest.mark.parametrize("name", detectron2_models.MODELS)
def test_presets_resize_and_paste_as_detectron2(name):
    model = detectron2_models.MODELS[name]
    assert model.pixels.resize == "antialias"
    if isinstance(model, config.MaskRCNNConfig):
        assert model.paste == "sampled"
