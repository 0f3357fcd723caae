"""What an exported detector can be asked: functions of a model, for graphs.

B images of h x w pixels, D detections, N boxes.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from keras_fair.models import MaskRCNN
from keras_fair.serving import images as image_lib

IMAGES = tf.TensorSpec([None, None, None, 3], tf.uint8, "images")
ENCODED = tf.TensorSpec([None], tf.string, "images")
BOXES = tf.TensorSpec([None, None, 4], tf.float32, "boxes")
LABELS = tf.TensorSpec([None, None], tf.int32, "labels")


class Endpoint(NamedTuple):
    """One signature of a SavedModel."""

    function: Callable  # of tensors, one for each spec; returns a dict
    inputs: list[tf.TensorSpec]


def endpoints(model) -> dict[str, Endpoint]:
    """Return what clients may ask of a detector, by the signature's name.

    serving_default   pictures of one size
    serve_bytes       JPEG and PNG files of any sizes
    serve_features    the pyramid's levels, and `image_shape`: what of the
                      canvas is the resized picture
    predict_masks     of a Mask R-CNN: masks for boxes that the client gives

    All take pictures in the client's pixels, and boxes are in these.
    """
    pixels = model.config.pixels

    # One graph, which both signatures call.
    @tf.function(
        input_signature=[IMAGES, tf.TensorSpec([None, 2], tf.int32)],
        autograph=False,
    )
    def find(images, image_shape):
        x = {"images": images, "image_shape": image_shape}
        return model.detections(model(x, training=False))

    def detect(x, original_shape):
        found = find(x["images"], x["image_shape"])
        return image_lib.to_callers(found, x["image_shape"], original_shape)

    def features(images):
        x, _ = image_lib.resize(images, pixels)
        levels, image_shape = model.features(x, training=False)
        return {**levels, "image_shape": image_shape}

    def masks(images, boxes, labels):
        x, original_shape = image_lib.resize(images, pixels)
        boxes = image_lib.scale_boxes(boxes, original_shape, x["image_shape"])
        return {"masks": model.predict_masks(x, boxes, labels)}

    result = {
        "serving_default": Endpoint(
            lambda images: detect(*image_lib.resize(images, pixels)), [IMAGES]
        ),
        "serve_bytes": Endpoint(
            lambda images: detect(*image_lib.decode(images, pixels)), [ENCODED]
        ),
        "serve_features": Endpoint(features, [IMAGES]),
    }
    if isinstance(model, MaskRCNN):
        result["predict_masks"] = Endpoint(masks, [IMAGES, BOXES, LABELS])
    return result


def in_float32(model):
    """Return the model, or one in float32 with the same weights.

    An exported file keeps boxes and masks as exact as it can; LiteRT does not
    convert bfloat16.

    Raises:
        ValueError: Keras runs on JAX; or the backbone was given by the user
            and computes in another type.
    """
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "Expected Keras on TensorFlow, whose graphs are exported. "
            f"Received: {keras.backend.backend()}. Save the model with "
            "save_to_preset and export it with KERAS_BACKEND=tensorflow."
        )
    if model.compute_dtype == "float32":
        return model
    if model.given_backbone is not None:
        raise ValueError(
            "Expected a float32 model, or one whose backbone this package "
            f"made. Received: {model.dtype_policy.name} with a backbone of "
            "its own. Build it in float32 and set_weights."
        )
    twin = type(model)(model.config, dtype="float32")
    twin.set_weights(model.get_weights())
    return twin
