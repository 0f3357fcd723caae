"""What happens between the steps of `fit`."""

import numpy as np
import pytest
from keras import ops

from keras_fair.models import RetinaNet
from keras_fair.training import callbacks
from tests.models import tiny


class SteepRetinaNet(RetinaNet):
    """A RetinaNet with the root of 0 in its loss, which has no slope."""

    def compute_losses(self, x, y, outputs, training):
        terms = super().compute_losses(x, y, outputs, training)
        root = ops.sqrt(0.0 * ops.sum(self.head.trainable_variables[-1]))
        return {**terms, "box_loss": terms["box_loss"] + root}


def test_the_guard_names_the_term_and_saves_the_weights():
    model = tiny.retinanet()
    model.compile()
    # The head's last bias: every predicted box becomes infinite.
    model.head.trainable_variables[-1].assign(np.full(24, np.inf))
    before = model.get_weights()
    x, y = tiny.batch()
    with pytest.raises(FloatingPointError, match="^box_loss stopped being f"):
        model.fit(x, y, batch_size=2, callbacks=[callbacks.NaNGuard()])
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_guard_counts_gradients_that_are_not_finite(caplog):
    model = SteepRetinaNet(tiny.config(), tiny.backbone())
    model.compile()
    before = model.get_weights()
    x, y = tiny.batch()
    model.fit(x, y, batch_size=1, epochs=2, callbacks=[callbacks.NaNGuard()])
    counts = [record.args for record in caplog.records]
    assert counts == [(2, 2), (2, 2)]
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_evaluations_come_when_due_and_at_the_end():
    model = tiny.retinanet()
    model.compile()
    steps = []

    def evaluate(model):
        steps.append(int(model.optimizer.iterations))
        return {"AP": 0.5, "AP50": 0.75, "AP75": 0.25, "per_class": {}}

    evaluation = callbacks.Evaluation(evaluate, every=2)
    x, y = tiny.batch()
    history = model.fit(
        x, y, batch_size=2, epochs=5, callbacks=[evaluation], verbose=0
    )
    assert steps == [2, 4, 5]
    ap = history.history["val_AP"]
    np.testing.assert_array_equal(ap, [np.nan, 0.5, np.nan, 0.5, 0.5])
    assert evaluation.report["AP75"] == 0.25


def test_parts_of_a_report_are_logged_by_name():
    masks, keypoints = ({"AP": 0.25}, {"AP": 0.75})
    report = {"AP": 0.5, "masks": masks, "keypoints": keypoints}
    evaluation = callbacks.Evaluation(
        lambda model: report,
        every=2,
        names=("AP",),
        has_masks=True,
        has_keypoints=True,
    )
    evaluation.set_params({"epochs": 4})
    first, second = {}, {}
    evaluation.on_epoch_end(0, first)
    evaluation.on_epoch_end(1, second)
    assert list(first) == list(second)
    assert np.isnan(list(first.values())).all()
    assert second == {
        "val_AP": 0.5,
        "val_mask_AP": 0.25,
        "val_keypoint_AP": 0.75,
    }


def test_subsets_of_a_report_are_logged_by_name():
    seen, unseen = {"AP": 0.75}, {"AP": 0.25}
    part = {"AP": 0.5, "AP50": 1.0, "subsets": {"a": seen, "b": unseen}}
    evaluation = callbacks.Evaluation(
        lambda model: {**part, "masks": part},
        every=2,
        names=("AP", "AP50"),
        has_masks=True,
        subsets={"a": "with_masks", "b": "without_masks"},
    )
    evaluation.set_params({"epochs": 4})
    first, second = {}, {}
    evaluation.on_epoch_end(0, first)
    evaluation.on_epoch_end(1, second)
    assert list(first) == list(second)
    assert np.isnan(list(first.values())).all()
    masks = {k: v for k, v in second.items() if k.startswith("val_mask_")}
    assert masks == {
        "val_mask_AP": 0.5,
        "val_mask_AP50": 1.0,
        "val_mask_AP_with_masks": 0.75,
        "val_mask_AP_without_masks": 0.25,
    }
