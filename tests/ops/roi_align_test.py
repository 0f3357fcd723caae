"""RoIAlign: every implementation, in every mode, equals one definition."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fair.ops import compiled, roi_align, roi_samples
from tests import shared
from tests.ops import roi_reference

BACKEND = keras.backend.backend()
IMPLEMENTATIONS = ("xla",)
# How "xla" is run: compiled, and as the plain graph that files hold.
MODES = ("jit",)
if BACKEND == "tensorflow":
    IMPLEMENTATIONS = ("xla", "sparse", "crop_and_resize")
    MODES = ("jit", "plain")

# float32 coordinates of 300 cells carry an error of 3e-5 cells; features
# differ by up to 6 between neighbours, and crop_and_resize rounds them twice.
TOLERANCE = 4e-4
# A cell's gradient sums up to some hundred such products.
GRADIENT_TOLERANCE = 2e-3


def run(function, mode: str, *arguments):
    """Return what the function gives, run in that mode, as NumPy."""
    if mode == "plain":
        with compiled.plain_graph():
            result = _graph(function, False)(*arguments)
    elif mode == "eager":
        result = function(*arguments)
    elif BACKEND == "jax":
        import jax

        result = jax.jit(function)(*arguments)
    else:
        result = _graph(function, mode == "jit")(*arguments)
    return keras.tree.map_structure(ops.convert_to_numpy, result)


def _graph(function, jit_compile: bool):
    import tensorflow as tf

    return tf.function(function, jit_compile=jit_compile, autograph=False)


def with_gradient(function):
    """Return f(features, upstream) -> (pooled, gradient of the features)."""

    def tensorflow(features, upstream):
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(features)
            pooled = function(features)
        return pooled, tape.gradient(pooled, features, upstream)

    def jax(features, upstream):
        import jax

        pooled, backward = jax.vjp(function, features)
        return pooled, backward(upstream)[0]

    return jax if BACKEND == "jax" else tensorflow


def pyramid(batch=2, channels=3, dtype="float32", seed=0):
    """A pyramid of 160 x 232 pixels: odd sides on the coarse levels."""
    random = np.random.default_rng(seed)
    sides = {2: (40, 58), 3: (20, 29), 4: (10, 15), 5: (5, 8)}
    return {
        f"P{level}": ops.cast(
            random.standard_normal((batch, *side, channels)), dtype
        )
        for level, side in sides.items()
    }


def rois(batch=2, count=10, seed=1):
    """Ordinary boxes of all sizes, then the awkward ones."""
    random = np.random.default_rng(seed)
    size = np.exp(random.uniform(1.5, 6.5, (batch, count, 2)))
    centre = random.uniform(0, 200, (batch, count, 2))
    ordinary = np.concatenate([centre - size / 2, centre + size / 2], -1)
    awkward = [
        [0, 0, 232, 160],  # the whole image
        [-100, -60, 30, 25],  # half outside
        [300, 300, 400, 400],  # outside
        [0, 0, 0, 0],  # padding
        [60, 60, 30, 20],  # inverted
        [0, 70, 232, 73],  # 58 cells wide, one high
        [231.5, 159.5, 232, 160],  # the last corner
    ]
    awkward = np.broadcast_to(np.array(awkward), (batch, len(awkward), 4))
    return np.concatenate([ordinary, awkward], 1).astype("float32")


def as_numpy(features: dict) -> dict:
    return {k: ops.convert_to_numpy(v) for k, v in features.items()}


def modes_of(implementation: str) -> tuple:
    return MODES if implementation == "xla" else ("eager", "graph")


def pool_in(mode, implementation, features, boxes, *arguments):
    """Return `roi_align` of those arguments, run in that mode."""

    def pool(features):
        return roi_align.roi_align(
            features, boxes, *arguments, implementation=implementation
        )

    return run(pool, mode, features)


CASES = [(i, m) for i in IMPLEMENTATIONS for m in modes_of(i)]
# Compiling is slow; where the mode does not matter, the quickest will do.
QUICK = [(i, modes_of(i)[-1]) for i in IMPLEMENTATIONS]


@pytest.mark.parametrize("sampling_ratio", [2, 0])
@pytest.mark.parametrize("implementation,mode", CASES)
def test_every_form_equals_the_definition_with_its_gradient(
    implementation, mode, sampling_ratio
):
    if implementation == "crop_and_resize" and sampling_ratio == 0:
        pytest.skip("crop_and_resize has a fixed grid")
    features, boxes = pyramid(), rois()
    upstream = np.random.default_rng(2).standard_normal((2, 17, 7, 7, 3))
    upstream = upstream.astype("float32")

    def pool(features):
        return roi_align.roi_align(
            features,
            boxes,
            7,
            sampling_ratio=sampling_ratio,
            implementation=implementation,
        )

    pooled, gradient = run(
        with_gradient(pool), mode, features, ops.convert_to_tensor(upstream)
    )

    features = as_numpy(features)
    expected = roi_reference.roi_align(features, boxes, 7, sampling_ratio)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)
    expected = roi_reference.roi_align_gradient(
        features, boxes, upstream, sampling_ratio
    )
    for name in features:
        np.testing.assert_allclose(
            gradient[name], expected[name], atol=GRADIENT_TOLERANCE
        )


@pytest.mark.parametrize("implementation,mode", QUICK)
@pytest.mark.parametrize("output_size,sampling_ratio", [(1, 1), (14, 3)])
def test_other_sizes_and_ratios(
    implementation, mode, output_size, sampling_ratio
):
    features, boxes = pyramid(), rois()
    rule = (output_size, sampling_ratio, False)

    pooled = pool_in(mode, implementation, features, boxes, *rule)

    expected = roi_reference.roi_align(
        as_numpy(features), boxes, output_size, sampling_ratio, aligned=False
    )
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)


@pytest.mark.parametrize("implementation,mode", QUICK)
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [0, 2])
def test_torchvision_gives_the_same(implementation, mode, aligned, ratio):
    if implementation == "crop_and_resize" and ratio == 0:
        pytest.skip("crop_and_resize has a fixed grid")
    golden = shared.fixture("ops_roi_align.npz")
    feature = golden["in_feat"].transpose(0, 2, 3, 1)
    image, boxes = golden["in_rois"][:, 0], golden["in_rois"][:, 1:]
    # All boxes are pooled from both images; each row keeps its own.
    boxes = np.stack([boxes, boxes])
    own = (image.astype(int), np.arange(len(image)))
    upstream = np.zeros((2, len(image), 7, 7, 8), "float32")
    upstream[own] = golden["in_grad_out_7"].transpose(0, 2, 3, 1)

    def pool(features, output_size=7):
        return roi_align.roi_align(
            features, boxes, output_size, ratio, aligned, implementation
        )

    features = {"P2": ops.convert_to_tensor(feature)}
    pooled, gradient = run(
        with_gradient(pool), mode, features, ops.convert_to_tensor(upstream)
    )

    key = f"p7_aligned{aligned:d}_sr{ratio}"
    expected = golden[f"out_{key}"].transpose(0, 2, 3, 1)
    # Two float32 computations of values up to 4.
    np.testing.assert_allclose(pooled[own], expected, atol=2e-5)
    expected = golden[f"grad_{key}"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(gradient["P2"], expected, atol=1e-4)
    if ratio == 2:
        rule = (14, ratio, aligned)
        pooled = pool_in(mode, implementation, features, boxes, *rule)
        pooled = pooled[own][..., ::4]
        expected = golden[f"out_p14_aligned{aligned:d}_sr2"]
        expected = expected.transpose(0, 2, 3, 1)
        np.testing.assert_allclose(pooled, expected, atol=2e-5)


@pytest.mark.parametrize("implementation,mode", QUICK)
@pytest.mark.parametrize(
    "key,ratio,aligned", [("tv_out", 2, False), ("d2_out", 0, True)]
)
def test_pyramids_are_pooled_as_by_the_peers(
    implementation, mode, key, ratio, aligned
):
    if implementation == "crop_and_resize" and ratio == 0:
        pytest.skip("crop_and_resize has a fixed grid")
    golden = shared.fixture("ops_multiscale.npz")
    features = {
        f"P{i + 2}": ops.convert_to_tensor(
            golden[f"in_f{i}"].transpose(0, 2, 3, 1)
        )
        for i in range(4)
    }
    boxes = np.zeros((2, 20, 4), "float32")
    boxes[0], boxes[1, :13] = golden["in_boxes0"], golden["in_boxes1"]

    pooled = pool_in(mode, implementation, features, boxes, 7, ratio, aligned)

    pooled = np.concatenate([pooled[0], pooled[1, :13]])
    expected = golden[key].transpose(0, 2, 3, 1)
    # Two float32 computations of values up to 4.
    np.testing.assert_allclose(pooled, expected, atol=3e-5)


def test_levels_change_exactly_where_the_peers_change_them():
    golden = shared.fixture("ops_multiscale.npz")

    levels = roi_align.assign_levels(golden["in_edge"], 2, 5)

    np.testing.assert_array_equal(levels, golden["d2_levels"])
    np.testing.assert_array_equal(levels, golden["tv_levels"])


@pytest.mark.parametrize("mode", MODES)
def test_levels_follow_equation_1(mode):
    sides = [0.0, 10.0, 111.9, 112.0, 223.9, 224.0, 447.9, 448.0, 9000.0]
    boxes = np.array([[[5.0, 5.0, 5.0 + s, 5.0 + s] for s in sides]])

    levels = run(
        lambda boxes: roi_align.assign_levels(boxes, 2, 5),
        mode,
        ops.convert_to_tensor(boxes.astype("float32")),
    )

    np.testing.assert_array_equal(levels, [[2, 2, 2, 3, 3, 4, 4, 5, 5]])
    assert levels.dtype == "int32"


def test_inverted_boxes_are_pooled_from_the_finest_level():
    boxes = np.array([[[900.0, 900.0, 0.0, 0.0]]], "float32")

    levels = ops.convert_to_numpy(roi_align.assign_levels(boxes, 2, 5))

    assert levels.tolist() == [[2]]


@pytest.mark.parametrize("sampling_ratio", [2, 0])
@pytest.mark.parametrize("implementation,mode", QUICK)
def test_boxes_get_no_gradient(implementation, mode, sampling_ratio):
    if implementation == "crop_and_resize" and sampling_ratio == 0:
        pytest.skip("crop_and_resize has a fixed grid")
    features, boxes = pyramid(batch=1), rois(batch=1)

    def pool(inputs):
        # Boxes that depend on what is differentiated, as proposals do.
        return roi_align.roi_align(
            inputs["features"],
            inputs["boxes"] * 1.5,
            7,
            sampling_ratio,
            implementation=implementation,
        )

    inputs = {"features": features, "boxes": ops.convert_to_tensor(boxes)}
    upstream = ops.ones((1, 17, 7, 7, 3))
    if BACKEND == "tensorflow":
        import tensorflow as tf

        def boxes_gradient(inputs, upstream):
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                pooled = pool(inputs)
            gradient = tape.gradient(pooled, inputs, upstream)
            assert gradient["boxes"] is None
            return gradient["features"]

        gradient = run(boxes_gradient, mode, inputs, upstream)
    else:
        _, gradient = run(with_gradient(pool), mode, inputs, upstream)
        np.testing.assert_array_equal(gradient["boxes"], 0.0)
        gradient = gradient["features"]
    assert np.abs(gradient["P2"]).max() > 0


@pytest.mark.parametrize("sampling_ratio", [2, 0])
@pytest.mark.parametrize("implementation,mode", QUICK)
def test_no_rois_give_no_features_and_no_gradient(
    implementation, mode, sampling_ratio
):
    if implementation == "crop_and_resize" and sampling_ratio == 0:
        pytest.skip("crop_and_resize has a fixed grid")
    boxes = np.zeros((2, 0, 4), "float32")

    def pool(features):
        return roi_align.roi_align(
            features, boxes, 7, sampling_ratio, implementation=implementation
        )

    pooled, gradient = run(
        with_gradient(pool), mode, pyramid(), ops.zeros((2, 0, 7, 7, 3))
    )

    assert pooled.shape == (2, 0, 7, 7, 3)
    assert all(not g.any() for g in gradient.values())


@pytest.mark.parametrize("implementation,mode", QUICK)
def test_half_precision_features_are_summed_in_float32(implementation, mode):
    features, boxes = pyramid(dtype="bfloat16"), rois()

    pooled = pool_in(mode, implementation, features, boxes, 7)

    assert pooled.dtype == "bfloat16"
    exact = {k: ops.cast(v, "float32") for k, v in features.items()}
    expected = roi_reference.roi_align(as_numpy(exact), boxes, 7)
    # Only the result is rounded: to 8 bits, half of the last is 2 ** -9.
    np.testing.assert_allclose(
        pooled.astype("float32"), expected, rtol=2**-8, atol=TOLERANCE
    )


@pytest.mark.parametrize("implementation,mode", CASES)
def test_half_precision_gradients_are_summed_in_float32(implementation, mode):
    features = {"P2": ops.ones((1, 4, 4, 1), "bfloat16")}
    # 600 whole-cell RoIs on one cell. In bfloat16 the sum stops at 256.
    boxes = np.tile(np.array([4.0, 4, 8, 8], "float32"), (1, 600, 1))

    def pool(features):
        return roi_align.roi_align(
            features, boxes, 1, 1, implementation=implementation
        )

    _, gradient = run(
        with_gradient(pool),
        mode,
        features,
        ops.ones((1, 600, 1, 1, 1), "bfloat16"),
    )

    gradient = gradient["P2"].astype("float32")[0, :, :, 0]
    assert gradient[1, 1] == 600.0
    assert gradient.sum() == 600.0


@pytest.mark.parametrize("implementation,mode", QUICK)
def test_one_level_pools_boxes_of_every_size(implementation, mode):
    feature = pyramid()["P4"]
    boxes = rois()

    pooled = pool_in(mode, implementation, {"C4": feature}, boxes, 7)

    expected = roi_reference.roi_align(as_numpy({"C4": feature}), boxes, 7)
    np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)


def test_adaptive_counts_are_exact_at_whole_multiples():
    # 105 * (1 / 7) is above 15 in float32.
    sizes = np.arange(0, 400, dtype="float32")[None] * 7
    boxes = np.stack([sizes * 0, sizes * 0, sizes, sizes], -1)
    features = {"P0": ops.zeros((1, 8, 8, 1))}

    def count(boxes):
        levels = ops.zeros(boxes.shape[:2], "int32")
        return roi_samples.locate(features, boxes, levels, 7, 0, True).x.count

    counts = run(count, MODES[-1], ops.convert_to_tensor(boxes))

    np.testing.assert_array_equal(counts[0], np.arange(400))


class TestTensorFlow:
    """What only TensorFlow has: dynamic shapes, files, and the choice."""

    @pytest.fixture(autouse=True)
    def tensorflow(self):
        if BACKEND != "tensorflow":
            pytest.skip("another backend")

    @pytest.mark.parametrize("sampling_ratio", [2, 0])
    @pytest.mark.parametrize("implementation", ["sparse", "crop_and_resize"])
    def test_any_number_of_rois_and_any_image_size(
        self, implementation, sampling_ratio
    ):
        if implementation == "crop_and_resize" and sampling_ratio == 0:
            pytest.skip("crop_and_resize has a fixed grid")
        import tensorflow as tf

        def pool(features, boxes):
            return roi_align.roi_align(
                features,
                boxes,
                7,
                sampling_ratio,
                implementation=implementation,
            )

        signature = [
            {
                f"P{k}": tf.TensorSpec([None, None, None, 3])
                for k in range(2, 6)
            },
            tf.TensorSpec([None, None, 4]),
        ]
        pool = tf.function(pool, signature, autograph=False)
        features, boxes = pyramid(), rois()

        assert pool.get_concrete_function().structured_outputs.shape[2:] == (
            7,
            7,
            3,
        )
        expected = roi_reference.roi_align(
            as_numpy(features), boxes, 7, sampling_ratio
        )
        np.testing.assert_allclose(
            pool(features, boxes), expected, atol=TOLERANCE
        )
        assert pool(features, boxes[:, :0]).shape == (2, 0, 7, 7, 3)

    def operations(self, jit_compile: bool) -> set:
        """Return the operators that "auto" puts into a graph."""
        import tensorflow as tf

        def pool(features, boxes):
            # A loop's body is a graph of its own.
            return tf.while_loop(
                lambda i, _: i < 1,
                lambda i, _: (i + 1, roi_align.roi_align(features, boxes, 7)),
                (0, tf.zeros((2, 17, 7, 7, 3))),
            )

        function = tf.function(pool, jit_compile=jit_compile, autograph=False)
        concrete = function.get_concrete_function(pyramid(), rois())
        graph = concrete.graph.as_graph_def()
        bodies = [node for f in graph.library.function for node in f.node_def]
        return {node.op for node in [*graph.node, *bodies]}

    def test_auto_is_sparse_in_a_cpu_graph_and_never_in_xla(self):
        import tensorflow as tf

        if tf.config.list_physical_devices("GPU"):
            pytest.skip("auto is xla on a GPU")
        assert "SparseMatrixMatMul" in self.operations(jit_compile=False)
        assert "SparseMatrixMatMul" not in self.operations(jit_compile=True)
        with compiled.plain_graph():
            operations = self.operations(jit_compile=False)
        assert "SparseMatrixMatMul" not in operations
        assert "GatherV2" in operations

    def test_auto_compiles_after_it_has_run_uncompiled(self):
        features, boxes = pyramid(), rois()

        def pool(features):
            return roi_align.roi_align(features, boxes, 7)

        outside = run(pool, "graph", features)
        inside = run(pool, "jit", features)

        np.testing.assert_allclose(inside, outside, atol=TOLERANCE)

    def test_keras_fit_compiles_it_with_its_gradient(self):
        class Pool(keras.Model):
            def __init__(self):
                super().__init__()
                self.lateral = keras.layers.Conv2D(4, 1)

            def call(self, inputs):
                features = {"P4": self.lateral(inputs["features"])}
                return roi_align.roi_align(features, inputs["boxes"], 7)

        inputs = {
            "features": ops.convert_to_numpy(pyramid()["P4"]),
            # Integers, because Keras would cast floats.
            "boxes": rois().astype("int32"),
        }
        targets = np.zeros((2, 17, 7, 7, 4), "float32")
        losses = []
        for jit_compile in (False, True):
            keras.utils.set_random_seed(0)
            model = Pool()
            model.compile("sgd", "mse", jit_compile=jit_compile)
            history = model.fit(
                inputs, targets, batch_size=2, epochs=3, verbose=0
            )
            losses.append(history.history["loss"])
        assert losses[0][2] < losses[0][0]
        np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)

    @pytest.mark.parametrize("sampling_ratio", [2, 0])
    def test_litert_runs_it_with_builtin_operators(self, sampling_ratio):
        import tensorflow as tf

        litert = pytest.importorskip("ai_edge_litert.interpreter")
        features, boxes = pyramid(batch=1), rois(batch=1)

        def pool(p2, p3, p4, p5, boxes):
            features = {"P2": p2, "P3": p3, "P4": p4, "P5": p5}
            return roi_align.roi_align(features, boxes, 7, sampling_ratio)

        inputs = [*features.values(), ops.convert_to_tensor(boxes)]
        with compiled.plain_graph():
            concrete = tf.function(pool, autograph=False).get_concrete_function(
                *[
                    tf.TensorSpec(i.shape, name=f"i{k}")
                    for k, i in enumerate(inputs)
                ]
            )
        converter = tf.lite.TFLiteConverter.from_concrete_functions(
            [concrete], tf.Module()
        )
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        interpreter = litert.Interpreter(model_content=converter.convert())
        runner = interpreter.get_signature_runner()
        (pooled,) = runner(
            **{f"i{k}": i.numpy() for k, i in enumerate(inputs)}
        ).values()

        expected = roi_reference.roi_align(
            as_numpy(features), boxes, 7, sampling_ratio
        )
        np.testing.assert_allclose(pooled, expected, atol=TOLERANCE)

    @pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
    def test_gradients_are_the_same_bits_every_time(self, implementation):
        features, boxes = pyramid(channels=16), rois(count=200)
        upstream = ops.cast(
            np.random.default_rng(0).standard_normal((2, 207, 7, 7, 16)),
            "float32",
        )

        def pool(features):
            return roi_align.roi_align(
                features, boxes, 7, implementation=implementation
            )

        function = _graph(with_gradient(pool), False)
        _, first = function(features, upstream)
        for _ in range(5):
            _, again = function(features, upstream)
            for name in first:
                np.testing.assert_array_equal(first[name], again[name])


@pytest.mark.parametrize(
    "change,message",
    [
        ({"implementation": "cuda"}, "Expected implementation to be one of"),
        ({"sampling_ratio": -1}, "Expected sampling_ratio to be positive"),
        (
            {"implementation": "crop_and_resize", "sampling_ratio": 0},
            "needs a fixed sampling_ratio",
        ),
    ],
)
def test_wrong_arguments_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        roi_align.roi_align(pyramid(), rois(), 7, **change)


@pytest.mark.parametrize("names", [[], ["P2", "P4"], ["P3", "P2"], ["first"]])
def test_levels_must_be_consecutive(names):
    features = {name: np.zeros((1, 4, 4, 1), "float32") for name in names}

    with pytest.raises(ValueError, match="Expected features by consecutive"):
        roi_align.roi_align(features, rois(batch=1), 7)


@pytest.mark.skipif(BACKEND == "tensorflow", reason="TensorFlow has both")
@pytest.mark.parametrize("implementation", ["sparse", "crop_and_resize"])
def test_other_backends_lack_tensorflows_kernels(implementation):
    with pytest.raises(ValueError, match="is TensorFlow's. The backend"):
        roi_align.roi_align(pyramid(), rois(), 7, implementation=implementation)
