"""Detection with test-time augmentation over a data set.

He, Gkioxari, Dollár, Girshick: Mask R-CNN, ICCV 2017, appendix B. The order
of work is Detectron2's: detect in every view, unite the boxes, then predict
the masks of the united boxes in every view and average them. So the images
pass twice.

N images, B of a batch, D detections.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import keras
import numpy as np

from keras_fair import contract
from keras_fair.config import MaskProposalsConfig
from keras_fair.evaluation.coco_eval import CocoEvaluator
from keras_fair.models import MaskRCNN, test_time
from keras_fair.training import evaluate as plain_evaluation


class Variant(NamedTuple):
    """One size of the images, plain or mirrored."""

    # (x, y) of contract.py with image_id and original_shape; may be iterated
    # over twice. The order of the images does not matter.
    batches: Iterable
    is_flipped: bool = False


class Found(NamedTuple):
    """Detections by ascending image id, as CocoEvaluator.update takes them."""

    detections: dict  # see contract.py, NumPy
    image_id: np.ndarray  # int64 [N]
    image_shape: np.ndarray  # int32 [N, 2], of the first variant
    original_shape: np.ndarray  # int32 [N, 2]


class AugmentedDetector:
    """Finds in several views of each image what a model finds in one.

    Example:
        >>> detector = AugmentedDetector(model, batch_size=2)
        >>> found = detector.detect([Variant(small), Variant(large, True)])
        >>> evaluator.update(*found)

    Args:
        model: any detector; only a MaskRCNN gives masks.
        batch_size: smaller batches are filled up to so many images, so that
            nothing is compiled anew for them.

    Raises:
        ValueError: a network of mask proposals.
    """

    def __init__(self, model: keras.Model, batch_size: int):
        # Its proposals are not suppressed, and have a mask of their own.
        if isinstance(model.config, MaskProposalsConfig):
            raise ValueError(
                "Expected a detector or an RPN for test-time augmentation, "
                "which unites boxes by NMS. Received: "
                f"{type(model).__name__}. Evaluate it without."
            )
        self.model = model
        self.batch_size = batch_size
        self.masks = None
        if isinstance(model, MaskRCNN):
            self.masks = test_time.MaskPredictor(model)

    def detect(
        self,
        variants: list[Variant],
        count_views: Callable[[int], None] = lambda number: None,
    ) -> Found:
        """Return what is found in all variants together.

        In memory stand the detections of every variant and the masks of one
        (0.3 MB for an image of 100 detections).

        Args:
            variants: the same images in each.
            count_views: is told of so many images each time a batch is done;
                each image counts in each variant, twice where masks are
                predicted.

        Returns:
            Boxes in unflipped pixels of the first variant.

        Raises:
            ValueError: variants without images or of other images.
        """
        each = [self._detect_in(v, count_views) for v in variants]
        _check_same_images(each)
        frame = test_time.View(each[0].image_shape, False)
        moved = [
            test_time.move(found.detections, _view(found, variant), frame)
            for found, variant in zip(each, variants)
        ]
        united = test_time.unite(moved, self.model.config)
        found = each[0]._replace(detections=united)
        if self.masks is not None:
            united["masks"] = self._average_masks(found, variants, count_views)
        return found

    def _detect_in(self, variant: Variant, count_views) -> Found:
        """Return what is found in one variant, in its own pixels."""
        parts = []
        for x, y in _views(variant):
            detections = self._predict(self.model, x)
            keys = contract.DETECTION_KEYS
            part = {key: detections[key] for key in keys}
            shapes = (x["image_shape"], y["original_shape"])
            parts.append(Found(part, y["image_id"], *shapes))
            count_views(len(y["image_id"]))
        if not parts:
            raise ValueError("Expected at least one image in every variant.")
        found = _concatenate(parts)
        order = np.argsort(found.image_id)
        return keras.tree.map_structure(lambda rows: rows[order], found)

    def _average_masks(self, found: Found, variants, count_views):
        """Return the masks of the boxes, float32 [N, D, 28, 28]."""
        total = np.float32(0.0)
        for variant in variants:
            total += self._masks_in(variant, found, count_views)
        return total / np.float32(len(variants))

    def _masks_in(self, variant: Variant, found: Found, count_views):
        """Return one variant's masks, unflipped, in the order of `found`."""
        parts, rows_of_parts = [], []
        for x, y in _views(variant):
            rows = np.searchsorted(found.image_id, y["image_id"])
            some = keras.tree.map_structure(lambda v, r=rows: v[r], found)
            moved = test_time.move(
                some.detections,
                test_time.View(some.image_shape, False),
                test_time.View(x["image_shape"], variant.is_flipped),
            )
            x = {**x, "boxes": moved["boxes"], "labels": moved["labels"]}
            parts.append(self._predict(self.masks, x))
            rows_of_parts.append(rows)
            count_views(len(rows))
        order = np.argsort(np.concatenate(rows_of_parts))
        masks = np.concatenate(parts)[order]
        return masks[..., ::-1] if variant.is_flipped else masks

    def _predict(self, model: keras.Model, x: dict):
        """Predict a batch that may be smaller than the others."""
        size = len(x["images"])
        # The last image stands in for those that are missing.
        rows = np.minimum(np.arange(max(size, self.batch_size)), size - 1)
        x = {key: values[rows] for key, values in x.items()}
        outputs = model.predict_on_batch(x)
        return keras.tree.map_structure(lambda rows: rows[:size], outputs)


def _views(variant: Variant):
    """Yield the variant's batches as NumPy arrays, mirrored if they are."""
    for batch in variant.batches:
        x, y = keras.tree.map_structure(np.asarray, batch)
        if variant.is_flipped:
            images = test_time.flip_images(x["images"], x["image_shape"])
            x = {**x, "images": images}
        yield x, y


def _view(found: Found, variant: Variant) -> test_time.View:
    return test_time.View(found.image_shape, variant.is_flipped)


def _concatenate(parts: list):
    return keras.tree.map_structure(lambda *rows: np.concatenate(rows), *parts)


def _check_same_images(each: list[Found]) -> None:
    ids = [found.image_id.tolist() for found in each]
    for other in ids:
        if other != ids[0]:
            different = sorted(set(other) ^ set(ids[0]))
            raise ValueError(
                "Expected the same images in every variant. Received: "
                f"{len(ids[0])} and {len(other)} images, of which only one "
                f"variant has the image ids {different[:5]}."
            )


def evaluate(
    detector: AugmentedDetector,
    parts: Iterable[list[Variant]],
    evaluator: CocoEvaluator,
    num_views: int,
) -> dict:
    """Detect in every image and return COCO's summary.

    Args:
        detector: of the model.
        parts: the variants of some images, then of others; only one part
            stands in memory.
        evaluator: fresh; it knows the ground truth.
        num_views: images times variants, for the progress bar.
    """
    passes = 1 if detector.masks is None else 2
    progress = keras.utils.Progbar(num_views * passes, unit_name="view")
    for variants in parts:
        evaluator.update(*detector.detect(variants, progress.add))
    return plain_evaluation.summarize(evaluator)
