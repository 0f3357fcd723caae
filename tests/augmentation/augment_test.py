import numpy as np
import tensorflow as tf

from keras_fair.augmentation import augment


def test_image_boxes_and_masks_are_mirrored_together():
    image = np.zeros((4, 10, 3), np.uint8)
    image[1:3, 2:5] = 9
    image[1, 2] = 7  # the object's top-left corner
    masks = np.zeros((1, 2, 3), np.uint8)
    masks[0, 0, 0] = 1  # the same corner
    boxes = np.array([[2, 1, 5, 3]], np.float32)

    image = augment.flip_image(image).numpy()
    boxes = augment.flip_boxes(boxes, np.float32(10)).numpy()
    masks = augment.flip_masks(masks).numpy()

    np.testing.assert_array_equal(boxes, [[5, 1, 8, 3]])
    assert image[1, 7, 0] == 7
    assert masks[0, 0, 2] == 1
    assert masks.sum() == 1


def test_flip_of_no_object_is_no_object():
    boxes = np.zeros((0, 4), np.float32)
    assert augment.flip_boxes(boxes, np.float32(10)).shape == (0, 4)
    assert augment.flip_masks(np.zeros((0, 5, 5), np.uint8)).shape == (0, 5, 5)


def test_mirrored_keypoints_swap_sides_and_unlabelled_ones_stay_zero():
    nose, left, right = [3, 1, 2], [4, 2, 1], [0, 0, 0]
    found = augment.flip_keypoints(
        np.array([[nose, left, right]], np.float32), np.float32(10), (0, 2, 1)
    )
    np.testing.assert_array_equal(found, [[[7, 1, 2], [0, 0, 0], [6, 2, 1]]])


def test_flip_of_no_keypoints_is_none():
    points = np.zeros((0, 3, 3), np.float32)
    found = augment.flip_keypoints(points, np.float32(10), (0, 2, 1))
    assert found.shape == (0, 3, 3)


def colours(seed=5, strength=0.4):
    image = np.random.default_rng(0).integers(0, 256, (6, 7, 3), np.uint8)
    changed = augment.jitter_colors(image, tf.constant(seed), strength)
    return image, changed.numpy()


def test_colours_are_a_function_of_the_seed():
    image, changed = colours()
    assert changed.dtype == np.uint8 and changed.shape == image.shape
    assert (changed != image).mean() > 0.5
    np.testing.assert_array_equal(changed, colours()[1])
    assert (changed != colours(seed=6)[1]).any()


def test_stronger_jitter_changes_more():
    distance = {}
    for strength in (0.05, 0.5):
        pairs = [colours(seed, strength) for seed in range(20)]
        error = [np.abs(a.astype(int) - b).mean() for a, b in pairs]
        distance[strength] = np.mean(error)
    assert 0 < distance[0.05] < 0.3 * distance[0.5]


def test_no_strength_changes_no_colour():
    image, changed = colours(strength=0.0)
    # From and to hue and saturation: one level of rounding.
    np.testing.assert_allclose(changed, image, atol=1)


def test_mirrored_objects_keep_what_has_no_side():
    boxes = np.array([[2, 1, 5, 3]], np.float32)
    objects = {"boxes": boxes, "labels": np.array([4])}
    flipped = augment.flip_objects(objects, tf.constant(10), ())
    np.testing.assert_array_equal(flipped["boxes"], [[5, 1, 8, 3]])
    np.testing.assert_array_equal(flipped["labels"], [4])
    assert sorted(flipped) == ["boxes", "labels"]
