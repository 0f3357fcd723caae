import pytest

from keras_fair.config import MaskRCNNConfig
from keras_fair.models import choices


def test_what_is_no_choice_is_refused_with_what_is():
    config = MaskRCNNConfig(masks="all")
    with pytest.raises(
        ValueError, match="masks as one of '', 'class'. Received: 'all'"
    ):
        choices.check(config, mask_head=("fcn",), masks=("", "class"))


def test_a_choice_passes():
    choices.check(MaskRCNNConfig(), masks=("class",), mask_head=("fcn", "mlp"))
