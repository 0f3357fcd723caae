"""What `Detector` gives every model: training, saving, export."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair import contract, optimizers
from keras_fair.models import RetinaNet, build_model, load_preset
from tests.models import tiny

TENSORFLOW = keras.backend.backend() == "tensorflow"


def train(model, x, y, steps: int, epochs: int = 1, **compile_arguments):
    """Fit on one batch again and again; return each epoch's mean losses."""
    model.compile(**compile_arguments)

    def batches():
        while True:
            yield x, y

    history = model.fit(
        batches(), steps_per_epoch=steps, epochs=epochs, verbose=0
    )
    return history.history


def assert_equal_detections(found, expected):
    for key in contract.DETECTION_KEYS:
        np.testing.assert_array_equal(found[key], expected[key])


@pytest.fixture(scope="module")
def trained():
    """A model that learned two images by heart, and its history."""
    model = tiny.retinanet(weight_decay=0.0)
    x, y = tiny.batch()
    optimizer = keras.optimizers.Adam(5e-3)
    return model, train(model, x, y, 30, epochs=5, optimizer=optimizer)


def test_fit_lowers_every_term(trained):
    _, history = trained
    for name in ("class_loss", "box_loss", "loss"):
        assert history[name][-1] < 0.5 * history[name][0]
    assert history["loss"][-1] == pytest.approx(
        history["class_loss"][-1] + history["box_loss"][-1], rel=1e-5
    )


def test_predict_finds_what_fit_has_seen(trained):
    x, y = tiny.batch()
    found = trained[0].predict(x, verbose=0)
    contract.check_detections(found)
    assert found["labels"][0, 0] == y["labels"][0, 0]
    # Half an anchor's stride.
    np.testing.assert_allclose(found["boxes"][0, 0], y["boxes"][0, 0], atol=4)


def test_predict_takes_a_ragged_last_batch(trained):
    x, _ = tiny.batch(size=3)
    found = trained[0].predict(x, batch_size=2, verbose=0)
    assert found["boxes"].shape == (3, 100, 4)


def test_evaluate_reports_every_term(trained):
    x, y = tiny.batch()
    report = trained[0].evaluate(x, y, verbose=0, return_dict=True)
    assert sorted(report) == ["box_loss", "class_loss", "l2_loss", "loss"]


def test_a_saved_model_goes_on_where_it_was(trained, tmp_path):
    model, _ = trained
    x, y = tiny.batch()
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")
    assert_equal_detections(
        read.predict(x, verbose=0), model.predict(x, verbose=0)
    )
    assert isinstance(read.optimizer, keras.optimizers.Adam)
    assert int(read.optimizer.iterations) == 150
    history = read.fit(x, y, verbose=0).history
    assert history["loss"][0] < 0.3


def test_weights_load_before_the_first_call(trained, tmp_path):
    model, _ = trained
    x, _ = tiny.batch()
    model.save_weights(tmp_path / "model.weights.h5")
    other = tiny.retinanet(seed=1, weight_decay=0.0)
    other.load_weights(tmp_path / "model.weights.h5")
    assert_equal_detections(
        other.predict(x, verbose=0), model.predict(x, verbose=0)
    )


def test_config_survives_its_round_trip():
    model = tiny.retinanet(num_classes=2, dtype="mixed_bfloat16")
    twin = RetinaNet.from_config(model.get_config())
    assert twin.config == model.config
    assert twin.dtype_policy.name == "mixed_bfloat16"
    assert twin.count_params() == model.count_params()


def test_a_preset_holds_the_whole_model(tmp_path):
    config = tiny.config(class_names=("circle", "square", "triangle"))
    keras.utils.set_random_seed(0)
    model = build_model(config)
    model.compile()
    model.save_to_preset(tmp_path / "preset")
    read = load_preset(tmp_path / "preset")
    assert read.config.class_names == ("circle", "square", "triangle")
    x, _ = tiny.batch()
    np.testing.assert_array_equal(
        ops.convert_to_numpy(read(x)["class_logits"]["P3"]),
        ops.convert_to_numpy(model(x)["class_logits"]["P3"]),
    )
    files = sorted(path.name for path in (tmp_path / "preset").iterdir())
    assert files == ["config.json", "model.weights.h5"]


def test_a_folder_without_a_preset_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no config.json"):
        load_preset(tmp_path)


@pytest.mark.skipif(not TENSORFLOW, reason="SavedModels are TensorFlow's")
def test_an_exported_model_finds_the_same_at_any_size(trained, tmp_path):
    import tensorflow as tf

    model, _ = trained
    model.export(str(tmp_path / "saved"), verbose=False)
    saved = tf.saved_model.load(tmp_path / "saved")
    images = tiny.batch(size=3)[0]["images"]
    for batch in (images, images[:1], images[:, :50, :70]):
        expected = model.predict_on_batch(batch)
        found = saved.serve(batch)
        np.testing.assert_array_equal(found["labels"], expected["labels"])
        # Other kernels for free sizes: a few float32 roundings of a pixel.
        np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-3)


def test_another_export_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match='format="tf_saved_model"'):
        tiny.retinanet().export(str(tmp_path / "x"), format="onnx")


@pytest.mark.parametrize("empty", [False, True])
def test_batches_without_objects_train(empty):
    model = tiny.retinanet()
    x, y = tiny.batch()
    y["labels"][:1] = -1
    y["boxes"][:1] = 0
    if empty:
        x, y = tiny.batch(empty=True)
    history = train(model, x, y, 2)
    assert np.isfinite(history["loss"]).all()
    assert all(np.isfinite(w).all() for w in model.get_weights())


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_like_float32(policy):
    x, y = tiny.batch()
    expected = train(tiny.retinanet(), x, y, 1)["loss"][0]
    model = tiny.retinanet(dtype=policy)
    assert model.head.compute_dtype == policy.removeprefix("mixed_")
    # float16 skips its first steps, until its loss scale fits.
    history = train(model, x, y, 1, epochs=15)["loss"]
    # bfloat16 keeps 8 bits: 0.4 % a number, and the loss averages many.
    assert history[0] == pytest.approx(expected, rel=0.01)
    assert history[-1] < 0.9 * history[0]


def test_compiled_training_equals_plain_training():
    x, y = tiny.batch()
    plain = train(tiny.retinanet(), x, y, 3, jit_compile=False)
    compiled = train(tiny.retinanet(), x, y, 3, jit_compile=True)
    for name in plain:
        # Sums in another order, over three steps.
        assert compiled[name] == pytest.approx(plain[name], rel=1e-4)


def test_compiled_prediction_equals_plain_prediction(trained):
    x, _ = tiny.batch()
    expected = trained[0].predict(x, verbose=0)
    twin = RetinaNet.from_config(trained[0].get_config())
    twin.set_weights(trained[0].get_weights())
    twin.compile(jit_compile=True)
    found = twin.predict(x, verbose=0)
    np.testing.assert_array_equal(found["labels"], expected["labels"])
    np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-3)


def test_the_l2_of_the_papers_is_half_the_decay_times_the_squares():
    model = tiny.retinanet(weight_decay=0.1)
    kernels = [w for w in model.trainable_variables if w.name == "kernel"]
    squares = [np.square(ops.convert_to_numpy(w)).sum() for w in kernels]
    x, y = tiny.batch()
    loss = train(model, x, y, 1)["l2_loss"][0]
    assert loss == pytest.approx(0.05 * sum(squares), rel=1e-5)


def test_a_gradient_that_is_not_finite_leaves_the_weights():
    variable = keras.Variable([1.0, 2.0])
    other = keras.Variable([3.0])
    optimizer = optimizers.FiniteSGD(0.1, momentum=0.9)
    optimizer.build([variable, other])
    good = [ops.array([1.0, 1.0]), ops.array([1.0])]
    optimizer.apply(good)
    np.testing.assert_allclose(variable, [0.9, 1.9], rtol=1e-6)
    optimizer.apply([ops.array([np.nan, 1.0]), ops.array([1.0])])
    # Momentum alone: 0.9 of the last move, for all of them.
    np.testing.assert_allclose(variable, [0.81, 1.81], rtol=1e-6)
    np.testing.assert_allclose(other, [3.0 - 0.1 - 0.09], rtol=1e-6)


def test_sample_weights_are_refused():
    x, y = tiny.batch()
    model = tiny.retinanet()
    with pytest.raises(ValueError, match="takes no sample_weight"):
        model.compute_loss(x, y, model(x), np.ones(2))


def test_a_loss_of_the_users_is_refused():
    with pytest.raises(ValueError, match="compile it without loss"):
        tiny.retinanet().compile(loss="mse")


def test_another_models_config_is_refused():
    with pytest.raises(TypeError, match="Expected RetinaNetConfig"):
        RetinaNet({"num_classes": 3})
    with pytest.raises(TypeError, match="Expected one of RetinaNetConfig"):
        build_model(None)


def test_images_of_another_shape_are_refused():
    model = tiny.retinanet()
    with pytest.raises(ValueError, match=r"images\[None\]"):
        model(np.zeros((64, 64, 3), "uint8"))
    with pytest.raises(ValueError, match="keys images and image_shape"):
        model({"images": np.zeros((1, 64, 64, 3), "uint8")})
