import math

import pytest

from keras_fair import config
from keras_fair.checkpoints import convert, torchvision, torchvision_models
from keras_fair.models import retinanet
from tests import shared

FIRST = config.RetinaNetConfig(
    num_classes=91, pyramid=config.PyramidConfig(coarse_input="p5")
)
SECOND = config.RetinaNetConfig(
    num_classes=91,
    backbone=config.BackboneConfig(norm="batch"),
    head_norm="group",
)


@pytest.mark.parametrize(
    ("name", "model_config"),
    [
        ("retinanet_resnet50_fpn", FIRST),
        ("retinanet_resnet50_fpn_v2", SECOND),
    ],
)
def test_names_and_sizes_are_those_of_the_peer(name, model_config):
    theirs = shared.state_dict_sizes(f"tv_{name}.keys.txt")
    model = retinanet.RetinaNet(model_config)
    table = torchvision.table(model_config)
    ours = {
        convert.their_name(path, table): math.prod(weight.shape)
        for path, weight in convert.weights_by_name(model).items()
    }
    counters = {n for n in theirs if n.endswith("num_batches_tracked")}
    assert ours == {n: s for n, s in theirs.items() if n not in counters}


def test_the_slots_in_use_are_coco_s_80_categories():
    assert len(torchvision.COCO_SLOTS) == 80
    assert (torchvision.COCO_SLOTS[0], torchvision.COCO_SLOTS[-1]) == (1, 90)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("stem_conv/kernel", "conv1.weight"),
        ("stem_norm/moving_variance", "bn1.running_var"),
        ("res2_0_shortcut/kernel", "layer1.0.downsample.0.weight"),
        ("res2_0_shortcut_norm/beta", "layer1.0.downsample.1.bias"),
        ("res4_22_conv3/kernel", "layer3.22.conv3.weight"),
        ("res5_2_norm1/gamma", "layer4.2.bn1.weight"),
    ],
)
def test_imagenet_names_stand_without_a_prefix(path, expected):
    assert convert.their_name(path, torchvision.backbone_table()) == expected


@pytest.mark.parametrize("name", torchvision_models.MODELS)
def test_presets_resize_and_paste_as_torchvision(name):
    model = torchvision_models.MODELS[name]
    assert model.pixels.resize == "floor"
    if isinstance(model, config.MaskRCNNConfig):
        assert model.paste == "integer"
