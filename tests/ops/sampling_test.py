import keras
import numpy as np
import pytest

from keras_fair.ops import matching, sampling
from tests import modes

POSITIVE, NEGATIVE, IGNORE = (
    matching.POSITIVE,
    matching.NEGATIVE,
    matching.IGNORE,
)


def labels(num_positive, num_negative, num_ignore, seed=0):
    label = [POSITIVE] * num_positive + [NEGATIVE] * num_negative
    label += [IGNORE] * num_ignore
    return np.random.default_rng(seed).permutation(label).astype("int32")


def subsample(label, num_samples, fraction=0.5, seed=0, mode="eager"):
    return modes.run(
        lambda tensor: sampling.subsample(tensor, num_samples, fraction, seed),
        label,
        mode=mode,
    )


def counts(label):
    return [
        int((label == value).sum()) for value in (POSITIVE, NEGATIVE, IGNORE)
    ]


@modes.every_mode
def test_counts_are_those_of_detectron2(mode):
    wanted = {
        (30, 60, 10): [10, 10, 80],  # both are capped
        (4, 60, 36): [4, 16, 80],  # negatives fill the rest
        (30, 5, 65): [10, 5, 85],  # positives never exceed their part
        (0, 60, 40): [0, 20, 80],
        (30, 0, 70): [10, 0, 90],
        (0, 0, 100): [0, 0, 100],
    }
    label = np.stack([labels(*have) for have in wanted])
    sampled = subsample(label, 20, mode=mode)
    assert sampled.dtype == "int32"
    assert [counts(image) for image in sampled] == list(wanted.values())
    kept = sampled != IGNORE
    assert (sampled[kept] == label[kept]).all()


@pytest.mark.parametrize(
    "fraction, positives", [(0.0, 0), (0.25, 5), (0.33, 6), (1.0, 20)]
)
def test_the_positives_are_at_most_their_part_rounded_down(fraction, positives):
    sampled = subsample(labels(30, 60, 10)[None], 20, fraction)
    assert counts(sampled) == [positives, 20 - positives, 80]


def test_more_samples_than_labels_keep_all():
    label = labels(3, 4, 2)[None]
    assert (subsample(label, 256) == label).all()


def test_no_label_at_all():
    assert subsample(np.zeros((2, 0), "int32"), 8).shape == (2, 0)


def test_a_whole_seed_repeats_and_a_generator_moves_on():
    label = labels(30, 60, 10)[None]
    assert (subsample(label, 20, seed=3) == subsample(label, 20, seed=3)).all()
    generator = keras.random.SeedGenerator(3)
    first = subsample(label, 20, seed=generator)
    second = subsample(label, 20, seed=generator)
    assert (first != second).any()


def test_images_of_a_batch_draw_independently():
    label = np.tile(labels(30, 60, 10)[None], (6, 1))
    sampled = subsample(label, 20)
    assert (sampled[0] != sampled[1]).any()


def test_every_positive_is_as_likely():
    # 2000 images draw 2 of 5 positives: 800 each, standard deviation 22.
    label = np.tile(labels(5, 5, 0)[None], (2000, 1))
    drawn = (subsample(label, 4) == POSITIVE).sum(axis=0)
    assert drawn.sum() == 4000
    assert abs(drawn[label[0] == POSITIVE] - 800).max() < 110


@modes.only_tensorflow
def test_one_graph_serves_any_number_of_labels():
    tf = pytest.importorskip("tensorflow")

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def run(label):
        return sampling.subsample(label, 8, 0.5, seed=0)

    assert counts(run(labels(9, 9, 2)[None]).numpy()) == [4, 4, 12]
    assert counts(run(labels(2, 3, 0)[None]).numpy()) == [2, 3, 0]
