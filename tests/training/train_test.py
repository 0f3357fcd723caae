"""The options of a training do what they promise."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.config import TrainConfig
from keras_fair.training import averages, devices, train
from tests.models import tiny


def trained(config: TrainConfig, workdir, evaluate=None):
    """Return a RetinaNet after `config.steps` on a batch of two."""
    x, y = tiny.batch()
    size = 2 // config.accumulation

    def endless(step):
        while True:
            for start in range(0, 2, size):
                rows = slice(start, start + size)
                yield tuple({k: v[rows] for k, v in d.items()} for d in (x, y))

    # Each image has its own normalizer, so that halves add up to the whole.
    model = tiny.retinanet(normalizer="image")
    train.train(model, endless, config, str(workdir), evaluate=evaluate)
    return model


def settings(**changes) -> TrainConfig:
    values = {
        "batch_size": 2,
        "steps": 3,
        "learning_rate": 0.1,
        "warmup_steps": 2,
        "drop_steps": (2,),
        "clip_norm": 1.0,
        "checkpoint_steps": 1,
        "evaluate_steps": 0,
    }
    return TrainConfig(**{**values, **changes})


def test_a_step_in_parts_equals_one_in_whole(tmp_path):
    whole = trained(settings(), tmp_path / "whole")
    parts = trained(settings(accumulation=2), tmp_path / "parts")
    for found, expected in zip(parts.get_weights(), whole.get_weights()):
        # Sums in another order.
        np.testing.assert_allclose(found, expected, atol=1e-5)
    names = [p.name for p in (tmp_path / "parts" / "checkpoints").iterdir()]
    assert sorted(names)[-1] == "step-000000003.weights.h5"


def test_averaged_weights_are_evaluated_and_saved(tmp_path):
    kernels = {0.0: [], 0.5: []}

    for momentum, seen in kernels.items():

        def evaluate(model, seen=seen):
            seen.append(np.array(first_kernel(model)))
            return dict.fromkeys(("AP", "AP50", "AP75"), 0.0)

        config = settings(ema_momentum=momentum, evaluate_steps=1)
        model = trained(config, tmp_path / str(momentum), evaluate)
    # The first average is the weights after the first step.
    average = kernels[0.0][0]
    for plain, found in zip(kernels[0.0], kernels[0.5], strict=True):
        average = 0.5 * average + 0.5 * plain
        np.testing.assert_allclose(found, average, atol=1e-6)
    np.testing.assert_allclose(first_kernel(model), average, atol=1e-6)
    saved = tiny.retinanet(normalizer="image", seed=1)
    saved.load_weights(tmp_path / "0.5" / "model" / "model.weights.h5")
    found, expected = first_kernel(saved), first_kernel(model)
    np.testing.assert_array_equal(found, expected)


def first_kernel(model):
    return ops.convert_to_numpy(model.trainable_variables[0])


def test_weights_come_back_after_their_averages():
    model = tiny.retinanet()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True))
    before = model.get_weights()
    model.train_on_batch(*tiny.batch())
    after = model.get_weights()
    with averages.in_place(model):
        pass
    for kept, expected in zip(model.get_weights(), after, strict=True):
        np.testing.assert_array_equal(kept, expected)
    assert any((old != new).any() for old, new in zip(before, after))


def test_a_checkpoint_of_other_options_is_refused(tmp_path):
    trained(settings(steps=1), tmp_path)
    with pytest.raises(ValueError, match="train.ema_momentum"):
        trained(settings(ema_momentum=0.9), tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 2}, "train.steps of at least 3, .* Received: 2. Train in"),
        (
            {"steps": 8, "checkpoint_steps": 2},
            "divide the step of the last checkpoint, 3. Received: 2. Try 1",
        ),
    ],
)
def test_a_schedule_without_a_place_for_the_checkpoint_is_refused(
    tmp_path, changes, message
):
    trained(settings(), tmp_path)
    with pytest.raises(ValueError, match=message):
        trained(settings(**changes), tmp_path)


def test_processes_that_see_other_checkpoints_are_refused(tmp_path):
    class SecondOfTwo(devices.OneDevice):
        num_processes, process = 2, 1

        def gather(self, value):
            return [b"3", value]

    with pytest.raises(ValueError, match=r"by process, .* steps \[3, 0\]"):
        train.train(
            tiny.retinanet(),
            None,
            settings(),
            str(tmp_path),
            chosen=SecondOfTwo(),
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("batch_size", 0, "train.batch_size of at least 1. Received: 0"),
        ("accumulation", 0, "train.accumulation of at least 1"),
        ("checkpoint_steps", 0, "train.checkpoint_steps of at least 1"),
        ("keep_checkpoints", -1, "train.keep_checkpoints of at least 1"),
        ("ema_momentum", 1.0, "to below 1. Received: 1.0"),
        ("ema_momentum", -0.5, "to below 1. Received: -0.5"),
    ],
)
def test_numbers_that_no_training_can_have_are_refused(name, value, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**{name: value})


def test_an_unknown_jit_compile_is_refused():
    with pytest.raises(ValueError, match='Expected train.jit_compile "auto"'):
        train.compile_model(tiny.retinanet(), settings(jit_compile="yes"))


def test_the_whole_step_compiles_with_xla():
    model = tiny.retinanet()
    train.compile_model(model, settings(jit_compile="true"))
    assert model.jit_compile is True
    assert np.isfinite(model.train_on_batch(*tiny.batch())).all()


def test_the_backbone_is_recomputed_when_asked_for():
    model = tiny.retinanet()
    train.compile_model(model, settings(recompute_backbone=True))
    assert model.run_backbone is not None


def test_a_remote_work_directory_resumes_like_a_local_one(tmp_path):
    gfile = pytest.importorskip("tensorflow").io.gfile
    whole = trained(settings(steps=2), tmp_path / "whole")
    remote = f"ram://{tmp_path}/run"
    for steps in (1, 2):
        parts = trained(settings(steps=steps), remote)
    for found, expected in zip(parts.get_weights(), whole.get_weights()):
        np.testing.assert_array_equal(found, expected)
    assert set(gfile.listdir(remote)) >= {"checkpoints", "log.csv", "model"}
    assert sorted(gfile.listdir(f"{remote}/model")) == [
        "config.json",
        "model.weights.h5",
    ]
