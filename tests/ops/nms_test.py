import keras
import numpy as np
import pytest

from keras_fair import contract
from keras_fair.ops import compiled, nms
from tests import modes, reference, shared

# Two pairs that overlap by exactly 0.5, a pair of identical boxes, a pair of
# identical points, and one box alone. Scores descend.
HAND_BOXES = np.array(
    [
        [0, 0, 10, 10],
        [0, 0, 10, 5],
        [20, 20, 30, 30],
        [20, 20, 30, 30],
        [50, 50, 50, 50],
        [50, 50, 50, 50],
        [70, 0, 80, 10],
    ],
    "float32",
)
HAND_SCORES = np.linspace(0.9, 0.3, 7, dtype="float32")


def random_problem(seed, num_boxes=60, step=None):
    """Three images; with a step, boxes and scores tie and boxes vanish."""
    rng = np.random.default_rng(seed)
    boxes = np.stack([reference.random_boxes(rng, num_boxes) for _ in range(3)])
    scores = rng.uniform(size=(3, num_boxes)).astype("float32")
    if step:
        boxes = np.round(boxes / step) * np.float32(step)
        scores = np.round(scores, 1)
    scores[rng.uniform(size=scores.shape) < 0.1] = -np.inf
    scores[2] = -np.inf
    labels = rng.integers(0, 3, scores.shape).astype("int32")
    return boxes, scores, labels


def run_nms(boxes, scores, threshold, max_outputs, labels=None, mode="eager"):
    """Return one list of kept indices per image, after checking padding."""
    arrays = [boxes, scores] + ([] if labels is None else [labels])

    def function(boxes, scores, labels=None):
        if labels is None:
            return nms.nms(boxes, scores, threshold, max_outputs)
        return nms.class_nms(boxes, scores, labels, threshold, max_outputs)

    return kept_of(*modes.run(function, *arrays, mode=mode), max_outputs)


def kept_of(index, valid, max_outputs):
    assert index.shape == valid.shape == (len(index), max_outputs)
    assert index.dtype == "int32" and valid.dtype == "bool"
    assert (np.diff(valid.astype(int)) <= 0).all()  # the True entries first
    assert (index[~valid] == 0).all()
    return [i[v].tolist() for i, v in zip(index, valid)]


@modes.every_mode
def test_hand_sized_boxes(mode):
    kept = run_nms(HAND_BOXES[None], HAND_SCORES[None], 0.5, 9, mode=mode)
    # 1 stays: 0.5 is not larger than 0.5. 5 stays: it has no area.
    assert kept == [[0, 1, 2, 4, 5, 6]]


def test_scores_need_no_order_and_outputs_are_capped():
    scores = HAND_SCORES[::-1][None].copy()
    assert run_nms(HAND_BOXES[None], scores, 0.5, 3) == [[6, 5, 4]]


def test_equal_scores_are_taken_in_order():
    scores = np.full((1, 7), 0.5, "float32")
    assert run_nms(HAND_BOXES[None], scores, 0.4, 9) == [[0, 2, 4, 5, 6]]


def test_padding_neither_appears_nor_suppresses():
    scores = HAND_SCORES[None].copy()
    scores[0, [0, 2]] = -np.inf
    assert run_nms(HAND_BOXES[None], scores, 0.5, 9) == [[1, 3, 4, 5, 6]]
    scores[:] = -np.inf
    assert run_nms(HAND_BOXES[None], scores, 0.5, 9) == [[]]


def test_no_candidates_at_all():
    empty = np.zeros((2, 0, 4), "float32")
    assert run_nms(empty, empty[..., 0], 0.5, 3) == [[], []]


def test_labels_never_suppress_each_other():
    boxes = np.zeros((1, 4, 4), "float32") + np.float32([0, 0, 5, 5])
    scores = np.float32([[0.9, 0.8, 0.7, 0.6]])
    labels = np.array([[0, 1, 1, 0]], "int32")
    assert run_nms(boxes, scores, 0.5, 4, labels) == [[0, 1]]


@modes.every_mode
@pytest.mark.parametrize("threshold, max_outputs", [(0.3, 80), (0.7, 10)])
@pytest.mark.parametrize("with_labels", [False, True])
def test_suppression_is_greedy_in_every_mode(
    threshold, max_outputs, with_labels, mode
):
    parts = [random_problem(0), random_problem(1, step=10.0)]
    boxes, scores, labels = map(np.concatenate, zip(*parts))
    labels = labels if with_labels else None
    kept = run_nms(boxes, scores, threshold, max_outputs, labels, mode)
    expected = [
        reference.nms(
            boxes[image],
            scores[image],
            threshold,
            max_outputs,
            None if labels is None else labels[image],
        )
        for image in range(len(boxes))
    ]
    assert kept == expected


@modes.every_mode
def test_the_threshold_is_compared_as_float64(mode):
    # 3 of 10 pixels: the float32 IoU is above the float64 number 0.3.
    boxes = np.float32([[[0, 0, 10, 10], [0, 0, 10, 3]]])
    scores = np.float32([[0.9, 0.8]])
    assert float(np.float32(0.3)) > 0.3
    assert reference.nms(boxes[0], scores[0], 0.3, 2) == [0]
    assert run_nms(boxes, scores, 0.3, 2, mode=mode) == [[0]]


@modes.only_tensorflow
def test_one_graph_serves_any_number_of_candidates():
    tf = pytest.importorskip("tensorflow")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None, None, 4], tf.float32),
            tf.TensorSpec([None, None], tf.float32),
        ]
    )
    def run(boxes, scores):
        return nms.nms(boxes, scores, 0.5, 10)

    for num_boxes in (30, 4, 0):
        boxes, scores, _ = random_problem(2, num_boxes)
        index, valid = run(boxes, scores)
        expected = [reference.nms(b, s, 0.5, 10) for b, s in zip(boxes, scores)]
        assert kept_of(index.numpy(), valid.numpy(), 10) == expected


def test_suppression_inside_a_differentiated_function():
    """Boxes carry gradients in training; the loop has none to give."""
    boxes, scores, _ = random_problem(3)

    def function(tensor):
        index, _ = nms.nms(tensor, scores, 0.5, 5)
        kept = keras.ops.take_along_axis(tensor, index[..., None], axis=1)
        return 2.0 * kept

    slope = modes.gradient(function, boxes, mode="xla")
    expected = run_nms(boxes, scores, 0.5, 5)[0]
    assert (slope[0, expected] == 2.0).all()


@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_suppression_equals_torchvision(threshold):
    golden = shared.fixture("ops_nms.npz")
    boxes, scores = golden["in_boxes"][None], golden["in_scores"][None]
    kept = run_nms(boxes, scores, threshold, 300)
    assert kept == [golden[f"keep_{threshold}"].tolist()]


@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.7])
def test_suppression_by_label_equals_torchvision(threshold):
    golden = shared.fixture("ops_nms.npz")
    kept = run_nms(
        golden["in_boxes"][None],
        golden["in_scores"][None],
        threshold,
        300,
        golden["in_classes"][None].astype("int32"),
    )
    assert kept == [golden[f"batched_vanilla_{threshold}"].tolist()]


def test_ties_and_boxes_without_area_equal_torchvision():
    golden = shared.fixture("ops_nms.npz")
    kept = run_nms(
        golden["in_boxes"][None], golden["in_tied_scores"][None], 0.5, 300
    )
    assert kept == [golden["keep_tied_0.5"].tolist()]
    kept = run_nms(
        golden["in_eq_boxes"][None], golden["in_eq_scores"][None], 0.5, 8
    )
    assert kept == [golden["keep_eq_0.5"].tolist()]


def check_multiclass(boxes, scores, threshold, max_outputs, mode="eager"):
    detections = modes.run(
        lambda b, s: nms.multiclass_nms(b, s, 0.05, threshold, max_outputs),
        boxes,
        scores,
        mode=mode,
    )
    contract.check_detections(detections)
    for image in range(len(boxes)):
        pairs = reference.multiclass_nms(
            boxes[image], scores[image], 0.05, threshold, max_outputs
        )
        count = detections["num_detections"][image]
        assert count == len(pairs)
        rows, labels = np.array(pairs, int).reshape(-1, 2).T
        shared_boxes = boxes.shape[2] == 1
        expected = boxes[image, rows, 0 if shared_boxes else labels]
        assert detections["labels"][image, :count].tolist() == labels.tolist()
        assert (detections["boxes"][image, :count] == expected).all()
        expected = scores[image, rows, labels]
        assert (detections["scores"][image, :count] == expected).all()
    return detections


def multiclass_problem(num_rows=40, num_boxes=1, seed=4):
    rng = np.random.default_rng(seed)
    boxes = [reference.random_boxes(rng, num_rows) for _ in range(num_boxes)]
    boxes = np.stack([np.stack(boxes, 1)] * 2)
    scores = rng.uniform(size=(2, num_rows, 3)).astype("float32") ** 2
    scores[1, :, 0] = 0.01  # a class below the threshold
    return boxes, scores


@modes.every_mode
@pytest.mark.parametrize("num_boxes, max_outputs", [(3, 5), (1, 20)])
def test_multiclass_equals_the_reference(num_boxes, max_outputs, mode):
    # 5 outputs look at the best 50 of 120 pairs first, 20 look at all.
    boxes, scores = multiclass_problem(num_boxes=num_boxes)
    check_multiclass(boxes, scores, 0.5, max_outputs, mode)


@modes.every_mode
def test_multiclass_looks_further_where_the_best_pairs_leave_too_few(mode):
    boxes, scores = multiclass_problem(num_rows=60)
    # The best 50 pairs are one box, of one class; 5 outputs are wanted.
    boxes[0, :55] = [0, 0, 10, 10]
    scores[0, :55, 1] = 1.0 - np.arange(55, dtype="float32") / 1000
    detections = check_multiclass(boxes, scores, 0.5, 5, mode)
    assert (detections["num_detections"] == 5).all()


def test_multiclass_with_nothing_above_the_threshold():
    boxes, scores = multiclass_problem()
    detections = check_multiclass(boxes, np.zeros_like(scores), 0.5, 5)
    assert (detections["num_detections"] == 0).all()


@modes.every_mode
@pytest.mark.parametrize("k", [1, 7, 40, 200])
def test_top_pairs_equal_the_reference(k, mode):
    rng = np.random.default_rng(5)
    logits = np.round(rng.normal(size=(2, 30, 4)), 6).astype("float32")
    logits[1, 3:] = -np.inf
    values, rows, labels = modes.run(
        lambda tensor: nms.top_pairs(tensor, k), logits, mode=mode
    )
    assert values.shape == rows.shape == labels.shape == (2, k)
    for image in range(2):
        pairs = reference.top_pairs(logits[image], k)
        pairs = [pair for pair in pairs if pair[0] > -np.inf]
        found = list(zip(values[image], rows[image], labels[image]))
        assert found[: len(pairs)] == pairs
        assert all(pair == (-np.inf, 0, 0) for pair in found[len(pairs) :])


def convert_to_litert(function, *shapes):
    """Convert with builtin operators only; return a callable."""
    tf = pytest.importorskip("tensorflow")
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    specs = [tf.TensorSpec(shape, tf.float32) for shape in shapes]
    traced = tf.function(function, autograph=False, input_signature=specs)
    with compiled.plain_graph():
        concrete = traced.get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([concrete])
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    model = interpreter.Interpreter(model_content=converter.convert())

    def call(*arrays):
        inputs = sorted(model.get_input_details(), key=lambda d: d["name"])
        for details, array in zip(inputs, arrays):
            model.resize_tensor_input(details["index"], array.shape)
        model.allocate_tensors()
        for details, array in zip(inputs, arrays):
            model.set_tensor(details["index"], array)
        model.invoke()
        outputs = [
            model.get_tensor(d["index"]) for d in model.get_output_details()
        ]
        return {output.dtype.name: output for output in outputs}

    return call


@modes.only_tensorflow
@pytest.mark.parametrize("batch, count", [(1, 7), (None, None)])
def test_suppression_in_litert_keeps_each_empty_box_once(batch, count):
    call = convert_to_litert(
        lambda boxes, scores: nms.nms(boxes, scores, 0.5, 9),
        (batch, count, 4),
        (batch, count),
    )
    outputs = call(HAND_BOXES[None], HAND_SCORES[None])
    kept = kept_of(outputs["int32"], outputs["bool"], 9)
    assert kept == [[0, 1, 2, 4, 5, 6]]
    if batch is None:
        boxes, scores, _ = random_problem(6, step=10.0)
        outputs = call(boxes, scores)
        expected = [reference.nms(b, s, 0.5, 9) for b, s in zip(boxes, scores)]
        assert kept_of(outputs["int32"], outputs["bool"], 9) == expected


@modes.only_tensorflow
def test_multiclass_in_litert_equals_the_reference():
    boxes, scores = multiclass_problem()
    call = convert_to_litert(
        lambda boxes, scores: nms.multiclass_nms(boxes, scores, 0.05, 0.5, 5)[
            "scores"
        ],
        (2, 40, 1, 4),
        (2, 40, 3),
    )
    found = call(boxes, scores)["float32"]
    for image in range(2):
        pairs = reference.multiclass_nms(
            boxes[image], scores[image], 0.05, 0.5, 5
        )
        assert found[image].tolist() == [scores[image][pair] for pair in pairs]


@modes.every_mode
def test_thousands_of_classes_are_one_long_table(mode):
    """The reference with loops; scores of a few values, so many are equal."""
    rng = np.random.default_rng(0)
    # 12 * 1,500 pairs and ten outputs: blocks of the table are looked at.
    scores = rng.integers(0, 30, (2, 12, 1500)).astype("float32") / 30
    scores = np.where(scores > 0.9, scores, 0).astype("float32")
    corners = rng.uniform(0, 50, (2, 12, 1, 2))
    boxes = np.concatenate([corners, corners + 30], -1).astype("float32")
    boxes = np.tile(boxes, (1, 1, 1500, 1))
    found = modes.run(
        lambda b, s: nms.multiclass_nms(b, s, 0.05, 0.5, 5),
        boxes,
        scores,
        mode=mode,
    )
    assert 12 * 1500 > 4 * nms.BLOCK * nms.FIRST_PAIRS * 5
    for image in range(2):
        pairs = reference.multiclass_nms(
            boxes[image], scores[image], 0.05, 0.5, 5
        )
        rows, classes = zip(*pairs)
        np.testing.assert_array_equal(found["labels"][image], classes)
        np.testing.assert_array_equal(
            found["boxes"][image], boxes[image, rows, classes]
        )
